"""Pretrain a model on what was selected: python -m jobs.pretrain --output RUN --shape tiny --train-tokens 10000000."""

from dataclasses import dataclass

from .parts import settings
from .parts.common import life_of, run_job, stage_name
from .parts.pretraining import PretrainSettings, plan_pretraining
from .parts.training import run_training


@dataclass(frozen=True, kw_only=True)
class Config(PretrainSettings):
    """Settings of pretrain."""


def main(config: PretrainSettings) -> int:
    """Train, or go on training; writes RUN/train with metrics/, checkpoints/ and model/, then RUN/report.html."""
    stage = stage_name("train", config.run)
    config.check()
    with life_of(config.run, "pretrain", recipe=config, stages=[stage]) as life:
        run_training(config.training, plan_pretraining(config, life.run / stage), life, stage)
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
