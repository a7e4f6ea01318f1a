"""Search over a training job's settings, by trials that run the job.

    python -m jobs.tune --job finetune --config base.yaml --space space.yaml --trials 40 --scheduler asha --output RUN

The space maps settings to lists of values or to ranges:

    learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}
    lora_rank: [4, 16, 64]

Each trial runs the job in RUN/trials/HASH; the best settings end as RUN/best.yaml, which the job takes as --config.
"""

from dataclasses import dataclass
from typing import Any

from raypipe.runs import card as cards
from raypipe.runs.space import parse_space
from raypipe.runs.stage import at_work
from raypipe.runs.trials import TrialFiles

from .parts import settings
from .parts.common import life_of, run_job, stage_name
from .parts.tune_settings import TuneSettings, refuse_searches_without_effect


@dataclass(frozen=True, kw_only=True)
class Config(TuneSettings):
    """Settings of tune."""


def main(config: Config) -> int:
    """Search, or go on searching; 1 if no trial finished."""
    refuse_searches_without_effect(config)
    space = parse_space(settings.read_yaml(config.space))
    from .parts import tune_run  # not before: a refusal needs no Ray
    from .parts.tune_plan import plan_search

    search, stage = plan_search(config, space), stage_name("trials", config)
    with life_of(config, "tune", stages=[stage], has_shards=True) as life:
        folder = life.run / stage
        if not life.is_restarting(stage):
            cards.check_identity(stage, cards.read_card(folder), search.identity)
        life.begin()
        card: dict[str, Any] = {"stage": stage, "kind": "search", "identity": search.identity}
        with at_work(folder, card):
            files = TrialFiles(folder, search.trial_identity)
            try:
                results = tune_run.run_trials(config, search, files, life)
            finally:
                ended = files.all()
                card["times"]["busy_s"] = sum(result.seconds for result in ended)
                card["counts"] = {kind: sum(result.status == kind for result in ended)
                                  for kind in ("finished", "stopped", "failed")}  # fmt: skip
        tune_run.conclude(search, results, files, life)
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
