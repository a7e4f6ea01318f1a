"""The chain of weak-to-strong learning: every arm of every seed, teachers before their students."""

from collections.abc import Mapping, Sequence
from functools import partial

from raypipe.run.chain import Chain, Link, Step, training_step
from raypipe.storage.folder import Folder

from ..common import stage_name
from .arms import Arm, seeds_of
from .probe import FILE, LINK, plan_probe, plan_states
from .rows import PREDICTIONS, STAGE, arm_name
from .settings import WeakToStrongSettings
from .training import plan_arm


def chain_of(config: WeakToStrongSettings, arms: Sequence[Arm]) -> Chain:
    """Seed by seed, so that the first seeds are whole before later ones begin; what all probes read comes first."""
    states = [Link(LINK, partial(plan_states, config), gives=(FILE,))] if config.probe else []
    links = [_link(config, arm, seed) for seed in seeds_of(config) for arm in arms]
    return Chain(stage_name(STAGE, config.run), (*states, *links))


def _link(config: WeakToStrongSettings, arm: Arm, seed: int) -> Link:
    name, teachers = arm_name(arm.name, seed), tuple(arm_name(teacher, seed) for teacher in arm.teachers)
    if config.probe and arm.role == "strong":
        return Link(name, partial(plan_probe, config, arm, seed), reads=(LINK, *teachers), gives=(PREDICTIONS,))
    return Link(name, partial(_step, config, arm, seed), reads=teachers, gives=(PREDICTIONS,))


def _step(config: WeakToStrongSettings, arm: Arm, seed: int, own: Folder, made: Mapping[str, Folder]) -> Step:
    return training_step(
        plan_arm(config, arm, seed, own),
        n_workers=config.training.workers,
        pool=config.training.pool,
        max_failures=config.training.max_failures,
    )
