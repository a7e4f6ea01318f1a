"""Evaluate a model: python -m jobs.evaluate_model --model MODEL --benchmarks arc=arc.parquet --output RUN."""

import json
from dataclasses import dataclass

from raypipe.runs import card as cards
from raypipe.runs.stage import at_work

from .parts import settings
from .parts.common import life_of, run_job, stage_name
from .parts.evaluation.settings import EvaluationSettings

STAGE, EVALUATION = "evaluation", "evaluation.json"


@dataclass(frozen=True, kw_only=True)
class Config(EvaluationSettings):
    """Settings of evaluate_model."""


def main(config: Config) -> int:
    """Measure what isn't measured yet; writes RUN/evaluation/ with a file of items a benchmark, and evaluation.json."""
    from raypipe.report import write_report

    from .parts.evaluation.measure import measure  # not before: help needs no torch
    from .parts.evaluation.model import EvaluatedModel
    from .parts.evaluation.read import read_all
    from .parts.evaluation.terminal import table_of

    stage = stage_name(STAGE, config.run)
    with life_of(config.run, "evaluate_model", recipe=config, stages=[stage]) as life:
        folder, model = life.run / stage, EvaluatedModel(config.evaluated, life.stopping)
        asked = read_all(config, model)
        identity = asked.identity(config.evaluated)
        card = None if life.is_restarting(stage) else cards.read_card(folder)
        cards.check_identity(stage, card, identity)
        life.begin()
        card = card or {"stage": stage, "kind": "evaluation", "identity": identity}
        with at_work(folder, card | {"versions": cards.versions()}) as own:
            found = measure(asked, model, folder)
            n_documents = len(asked.documents) if asked.documents is not None else 0
            own["counts"] = {"questions": sum(map(len, asked.suites)), "documents": n_documents}
            folder.write(EVALUATION, json.dumps(found, indent=1).encode())
        print(table_of(found))
        life.conclude()  # before the report, which says so
        print(f"Report: {write_report(life.run).removeprefix('file://')}")
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
