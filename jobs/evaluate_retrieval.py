"""How well documents are found for queries: python -m jobs.evaluate_retrieval --data FOLDER --output RUN.

By BM25, by vectors, by both fused, and by a reranker; RUN/retrieval holds each ranking, and evaluation.json.
"""

import json
from dataclasses import dataclass

from raypipe.runs import card as cards
from raypipe.runs.stage import at_work

from .parts import settings
from .parts.common import RunSettings, life_of, run_job, stage_name
from .parts.retrieval.settings import RetrievalSettings

STAGE, EVALUATION = "retrieval", "evaluation.json"


@dataclass(frozen=True, kw_only=True)
class Config(RetrievalSettings):
    """Settings of evaluate_retrieval."""

    run: RunSettings


def main(config: Config) -> int:
    """Rank what isn't ranked yet, and judge it."""
    from raypipe.report import write_report

    from .parts.retrieval.figures import figures_of, table_of
    from .parts.retrieval.rank import RankingFiles, opened

    config.check()
    stage = stage_name(STAGE, config.run)
    with life_of(config.run, "evaluate_retrieval", recipe=config, stages=[stage]) as life:
        folder, asked = life.run / stage, opened(config)
        card = None if life.is_restarting(stage) else cards.read_card(folder)
        compared, identity = asked.beside((card or {}).get("identity", {}))
        cards.check_identity(stage, card, compared)
        life.begin()
        card = (card or {"stage": stage, "kind": "evaluation"}) | {"identity": identity}
        with at_work(folder, card | {"versions": cards.versions()}) as own:
            rankings = RankingFiles(asked, folder, life.stopping).rankings()
            found = figures_of(rankings, asked.data, ks=config.k, seed=config.seed)
            own["counts"] = {"queries": found["n"], "documents": found["n_documents"]}
            folder.write(EVALUATION, json.dumps(found, indent=1).encode())
        print(table_of(found))
        print(f"Report: {write_report(life.run).removeprefix('file://')}")
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
