"""What a task does through the engine's handles holds: in the next pass, in checkpoints, in what is exported."""

import os
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from raypipe.contracts.task import Models
from raypipe.runs.signals import Stopped
from raypipe.storage.folder import Folder
from raypipe.train.engines import deepspeed_engine
from raypipe.train.engines.optimiser import unique
from raypipe.train.loop.checkpoint import Checkpoints
from raypipe.train.tasks.next_token import LanguageModel, NextToken
from tests.train import parts
from tests.train.parts import Run, go, losses, tiny_model, variant
from tests.train.synthetic import write_tokens

DECAY = 0.8


def is_masked(name: str, weight: torch.Tensor) -> torch.Tensor:
    """Every third place, beginning elsewhere in each weight; the same on every worker."""
    places = torch.arange(weight.numel(), device=weight.device).view(weight.shape)
    return (places + len(name)) % 3 == 0


class Masked(NextToken):
    """Weights at masked places stay 0; `averaged` is drawn along by hand as well."""

    def __init__(self, averaged: dict[str, float] | None = None) -> None:
        super().__init__(tiny_model())
        with torch.no_grad():
            for name, weight in self.module.named_parameters():
                weight[is_masked(name, weight)] = 0
        self._averaged, self.moved = dict(averaged or {}), 0
        self.by_hand = {name: weight.detach().clone() for name, weight in self.module.named_parameters()}

    @property
    def models(self) -> Models:
        return Models(self.module, averaged=self._averaged, exported=next(iter(self._averaged), "trained"))

    def after_step(self, weights, step):
        for name in weights.names():
            value = weights.read(name)
            masked = is_masked(name, value)
            self.moved += int((value[masked] != 0).sum())
            weights.write(name, torch.where(masked, 0.0, value))
            assert not weights.read(name)[masked].any()
            self.by_hand[name].lerp_(weights.read(name), 1 - DECAY)


class GradientMasked(NextToken):
    """The same by gradients alone: where a gradient is always 0, so are AdamW's moments, and a weight of 0 stays."""

    def __init__(self) -> None:
        super().__init__(tiny_model())
        with torch.no_grad():
            for name, weight in self.module.named_parameters():
                weight[is_masked(name, weight)] = 0

    def after_backward(self, gradients):
        gradients.map(lambda name, of: of.masked_fill(is_masked(name, of), 0.0))
        for name in gradients.names():
            found = gradients.read(name)
            assert not found[is_masked(name, found)].any()
            assert found.any()


class Taught(NextToken):
    """A loss that a frozen model has a say in."""

    def __init__(self) -> None:
        super().__init__(tiny_model())
        self.teacher = LanguageModel(tiny_model(seed=1))

    @property
    def models(self) -> Models:
        return Models(self.module, frozen={"teacher": self.teacher})

    def loss(self, models, tensors):
        found = super().loss(models, tensors)
        taught = models.frozen["teacher"](tensors["batch"], tensors["sources"], tensors["targets"])
        assert not taught.requires_grad
        assert not self.teacher.training
        return replace(found, losses=found.losses + (found.losses - taught.float()) ** 2)


def run_it(run: Run, task: NextToken):
    """Train; the engine."""
    made = []
    original = parts.engine_of
    parts.engine_of = lambda *given: made.append(original(*given)) or made[-1]
    try:
        go(run, task=task)
    except Stopped:
        pass
    finally:
        parts.engine_of = original
    return made[0]


def computed_with(engine, task: NextToken) -> dict[str, torch.Tensor]:
    """The weights that a pass is computed with, whole."""
    import deepspeed

    weights = dict(task.module.named_parameters())
    if getattr(engine, "_zero", None) and engine._zero.zero_stage == 3:
        with deepspeed.zero.GatheredParameters(list(weights.values())):
            return {name: weight.detach().clone() for name, weight in weights.items()}
    return {name: weight.detach().clone() for name, weight in weights.items()}


def require_masked(weights: dict[str, torch.Tensor]) -> None:
    assert weights
    for name, value in weights.items():
        masked = is_masked(name, value)
        assert not value[masked].any(), name
        assert value[~masked].any(), name


def check_taught(run: Run) -> None:
    """The frozen model has changed the loss, and nothing has changed it; it is no part of what is exported."""
    task = Taught()
    before = {name: weight.detach().clone() for name, weight in task.teacher.named_parameters()}
    engine = run_it(run, task)
    dtype = getattr(torch, run.dtype)
    for name, weight in task.teacher.named_parameters():
        assert torch.equal(weight, before[name].to(dtype)), name
        assert not weight.requires_grad
    exported = engine.exported()
    if engine.workers.rank == 0:
        assert exported.keys() == {name for name, _ in unique(task.module.named_parameters())}
        assert losses(run)[0] > 0


def spread_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stage 3 spreads small weights too."""
    original = deepspeed_engine._config

    def config(*given, **named):
        made = original(*given, **named)
        made["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        return made

    monkeypatch.setattr(deepspeed_engine, "_config", config)


def masked_worker(rank: int, port: int, run: Run) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank),
                   "WORLD_SIZE": "2", "DS_ACCELERATOR": "cpu"}  # fmt: skip
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    if run.zero_stage == 3:
        spread_all(pytest.MonkeyPatch())
    first = Masked({"ema": DECAY})
    require_masked(computed_with(run_it(variant(run, Path(run.output), stop_at=25), first), first))
    assert first.moved > 0  # the optimiser does move them: the hook is what holds them
    second = Masked({"ema": DECAY})
    second.by_hand = first.by_hand  # its own is that of a start
    engine = run_it(run, second)
    require_masked(computed_with(engine, second))
    third = GradientMasked()
    by_gradients = variant(run, Path(run.output) / "gradients", n_steps=4)
    require_masked(computed_with(run_it(by_gradients, third), third))
    check_taught(variant(run, Path(run.output) / "taught", n_steps=2))
    weights = {name: engine.weights.read(name).clone() for name in engine.weights.names()}
    exported = engine.exported()
    assert bool(exported) == (rank == 0)
    if rank == 0:
        require_masked(exported)
        for name, value in exported.items():
            assert torch.allclose(value, second.by_hand[name], atol=1e-6), name
            assert not torch.allclose(value, weights[name], atol=1e-4), name
    dist.destroy_process_group()
    os._exit(0)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hooks")
    write_tokens(folder / "tokens")
    return str(folder / "tokens")


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_mask_and_an_average_hold_for_fifty_steps_and_over_a_restart_under_zero(tokens, tmp_path, stage):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = Run(tokens, str(tmp_path), engine="deepspeed", zero_stage=stage, n_steps=50, dtype="bfloat16")
    mp.spawn(masked_worker, args=(port, run), nprocs=2, join=True)
    assert max(Checkpoints(Folder(str(tmp_path)) / "checkpoints", parts.HERE, {"length": 32}).steps()) == 50


def test_a_mask_of_gradients_holds_by_itself(tokens, tmp_path):
    task = GradientMasked()
    engine = run_it(Run(tokens, str(tmp_path), n_steps=8), task)
    require_masked(engine.exported())


def test_a_frozen_model_is_asked_without_gradients_and_stays_as_it_was(tokens, tmp_path):
    check_taught(Run(tokens, str(tmp_path / "taught"), n_steps=3, dtype="bfloat16"))
    plain = Run(tokens, str(tmp_path / "plain"), n_steps=3, dtype="bfloat16")
    run_it(plain, NextToken(tiny_model()))
    assert losses(variant(plain, tmp_path / "taught"))[0] > losses(plain)[0]  # what it says counts


def test_an_average_is_in_checkpoints_and_is_exported(tokens, tmp_path):
    whole = Masked({"ema": DECAY})
    exported = run_it(Run(tokens, str(tmp_path / "whole"), n_steps=8), whole).exported()
    for name, value in exported.items():
        assert torch.allclose(value, whole.by_hand[name], atol=1e-6), name
        assert not torch.allclose(value, dict(whole.module.named_parameters())[name], atol=1e-4), name
    halves = Run(tokens, str(tmp_path / "halves"), n_steps=8)
    run_it(variant(halves, tmp_path / "halves", stop_at=4), Masked({"ema": DECAY}))
    again = run_it(halves, Masked({"ema": DECAY})).exported()
    assert all(torch.equal(again[name], value) for name, value in exported.items())
