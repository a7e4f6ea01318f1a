"""Whether a selection helps: small models on rival selections, judged with error bars.

    python -m jobs.ablate --output RUN --selectors influence longest lowest-loss --seeds 5 --train-tokens 2000000

RUN holds scores and tokens (score_corpus or curate, then tokenize_corpus). Every arm is trained on by one recipe for
equal tokens; a random selection of the same size and the full corpus are always among the arms. An arm wins only where
the 95 % interval of its effect against random, paired over seeds and corrected for the number of arms, excludes zero.
"""

from dataclasses import dataclass
from typing import Any

from raypipe.runs import card as cards
from raypipe.runs.stage import at_work
from raypipe.runs.trials import TrialFiles

from .parts import settings
from .parts.ablate_settings import AblateSettings
from .parts.common import life_of, run_job, stage_name
from .parts.pretraining import Sequences

STAGE = "ablation"


@dataclass(frozen=True, kw_only=True)
class Config(AblateSettings):
    """Settings of ablate: its own, and those of pretrain that all trials share."""

    sequences: Sequences = Sequences(heldout_documents=2000)  # the same ones for every arm and seed


def main(config: Config) -> int:
    """Compare the arms, or go on comparing; 1 if no trial finished."""
    from .parts.ablate_plan import arms_of, check, check_run  # not before: help needs neither Ray nor torch
    from .parts.ablate_run import conclude, run_trials
    from .parts.ablate_work import plan_work

    check(config)
    config.check()
    if config.plan:
        from .parts.ablate_forecast import forecast

        print("\n".join(forecast(config)))
        return 0
    stage = stage_name(STAGE, config.run)
    with life_of(config.run, "ablate", recipe=config, stages=[stage], has_shards=True) as life:
        folder, listing = life.run / stage, check_run(config, life.run)
        work = plan_work(config, arms_of(config, life.run), listing, life.run, stage)
        if not life.is_restarting(stage):
            cards.check_identity(stage, cards.read_card(folder), work.identity)
        life.begin()
        card: dict[str, Any] = {"stage": stage, "kind": "ablation", "identity": work.identity}
        with at_work(folder, card):
            with life.at_once():
                work = work.with_mixes(life.run)
            files = TrialFiles(folder, work.identity)
            try:
                results = run_trials(config, work, files, life)
            finally:
                ended = files.all()
                card["times"]["busy_s"] = sum(result.seconds for result in ended)
                card["counts"] = {kind: sum(result.status == kind for result in ended)
                                  for kind in ("finished", "failed")}  # fmt: skip
        conclude(work, results, files, life)
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
