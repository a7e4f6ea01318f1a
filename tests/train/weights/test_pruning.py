"""Masks in training: exact budgets, zeros where masked, nothing remembered there, the same mask after a restart."""

import contextlib
import dataclasses
import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from raypipe.fitting.masks import gradual_sparsity, n_kept
from raypipe.runs.signals import Stopped
from raypipe.train.engines.handles import Weights, plainly, trained_weights
from raypipe.train.tasks import next_token
from raypipe.train.tasks.next_token import NextToken
from raypipe.train.tasks.pruned import Pruned, saliency
from raypipe.train.weights.pruning import Pruner, Pruning, matrices_of, sparsity_of
from tests.train import parts
from tests.train.parts import HERE, Run, go, loader_of, tiny_model, variant
from tests.train.synthetic import write_tokens

N_STEPS, EVERY, SPARSITY = 12, 2, 0.8
OFTEN = {"prune_every": EVERY, "exchange": 0.5, "sparsity": SPARSITY}


class Watched(Pruned):
    """Looks after each step at all that must hold, and counts what moved."""

    moved, remembered = 0, 0

    def after_step(self, weights, step):
        before = {name: mask.clone() for name, mask in self.pruner.masks.items()}
        super().after_step(weights, step)
        kept = {name: int(mask.sum()) for name, mask in self.pruner.masks.items()}
        if self.pruner._pruning.prune == "gmp":
            sizes = {name: mask.numel() for name, mask in before.items()}
            first, last = self.pruner._span()
            done = last if step >= last else first + (step - first) // EVERY * EVERY
            assert sum(kept.values()) == n_kept(sizes, gradual_sparsity(done, first, last, SPARSITY))
        else:
            assert kept == {name: int(mask.sum()) for name, mask in before.items()}
        for name, mask in self.pruner.masks.items():
            now = weights.read(name)
            assert not now[~mask].any(), name
            grown = mask & ~before[name]
            self.moved += int((mask != before[name]).sum())
            assert not now[grown].any(), name
            for moment in self.moments(weights, name):
                assert not moment[~mask].any(), name
                assert not moment[grown].any(), name
                self.remembered += int(moment.any())

    def moments(self, weights, name):
        from deepspeed.utils import safe_get_full_optimizer_state

        weight = weights._weights[name]
        if hasattr(weight, "ds_id") or hasattr(weight, "_hp_mapping"):
            return [safe_get_full_optimizer_state(weight, key) for key in ("exp_avg", "exp_avg_sq")]
        held = weights._optimisers[0].state[getattr(weights, "_masters", {}).get(id(weight), weight)]
        return [held["exp_avg"], held["exp_avg_sq"]]


def task_of(prune: str, *, n_steps: int = N_STEPS, run: Run | None = None) -> Watched:
    task = NextToken(tiny_model())
    pruner = Pruner(Pruning(prune=prune, **OFTEN), n_steps=n_steps, seed=3)
    scores = None
    if prune in ("snip", "grasp"):
        scores = saliency(task, loader_of(run, HERE).batch(0).micro, HERE, is_second_order=prune == "grasp")
    pruner.begin(matrices_of(trained_weights(task.module)), scores)
    return Watched(task, pruner)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pruning")
    write_tokens(folder / "tokens")
    return Run(str(folder / "tokens"), str(folder / "plain"), n_steps=N_STEPS)


OTHERS = [pytest.param(prune, marks=pytest.mark.slow) for prune in ("snip", "magnitude", "random", "set")]


@pytest.mark.parametrize("prune", ["grasp", "rigl", "gmp", "pattern", "units", *OTHERS])
def test_masked_weights_stay_0_and_budgets_are_exact(base, tmp_path, prune):
    run = variant(base, tmp_path)
    task = task_of(prune, run=run)
    weights = trained_weights(task.module)
    if prune not in ("gmp", "pattern", "units"):
        sizes = {name: weight.numel() for name, weight in matrices_of(weights).items()}
        assert sum(int(mask.sum()) for mask in task.pruner.masks.values()) == n_kept(sizes, SPARSITY)
    go(run, task=task)
    assert task.remembered > N_STEPS * len(task.pruner.masks)  # of twice as many; a score may leave a layer nothing
    assert (task.moved > 0) == (prune in ("set", "rigl", "gmp"))
    expected = {"pattern": 0.5, "units": SPARSITY}.get(prune, SPARSITY)
    held = {name: weights[name] for name in task.pruner.masks}
    assert sparsity_of(held)["of_matrices"] == pytest.approx(expected, abs=0.02)
    assert sparsity_of(weights)["of_all"] < sparsity_of(weights)["of_matrices"]


@pytest.mark.parametrize("prune", ["rigl", "gmp"])
def test_a_restarted_training_ends_with_the_same_masks_and_weights(base, tmp_path, prune):
    whole, halves = task_of(prune), variant(base, tmp_path / "halves")
    go(variant(base, tmp_path / "whole"), task=whole)
    with pytest.raises(Stopped):
        go(dataclasses.replace(halves, stop_at=5), task=task_of(prune))
    again = task_of(prune)
    go(halves, task=again)
    for name, mask in whole.pruner.masks.items():
        assert torch.equal(mask, again.pruner.masks[name])
    for name, weight in whole.module.state_dict().items():
        assert torch.equal(weight, again.module.state_dict()[name]), name


def test_scores_are_those_of_the_whole_step(base):
    task, passes = NextToken(tiny_model()), loader_of(base, HERE).batch(0).micro
    weights = matrices_of(trained_weights(task.module))
    rows = [row for of in passes for row in of]

    def gradients():
        loss = task.loss(plainly(task.models), task.collate(rows, HERE.device)).losses.mean()
        return dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))

    first = gradients()
    snip = saliency(task, passes, HERE, is_second_order=False)
    for name, weight in weights.items():
        torch.testing.assert_close(snip[name], (weight * first[name]).abs().detach(), atol=1e-6, rtol=1e-4)
    grasp = saliency(task, passes, HERE, is_second_order=True)
    step = 1e-2
    with torch.no_grad():
        for name, weight in weights.items():
            weight += step * first[name]
    beyond = gradients()
    with torch.no_grad():
        for name, weight in weights.items():
            weight -= 2 * step * first[name]
    short = gradients()
    with torch.no_grad():
        for name, weight in weights.items():
            weight += step * first[name]
    numeric = torch.cat([(weights[n] * (beyond[n] - short[n]) / (2 * step)).flatten() for n in weights]).detach()
    found = torch.cat([grasp[name].flatten() for name in weights])
    assert torch.corrcoef(torch.stack([numeric, found]))[0, 1] > 0.98  # differences in float32 are coarse


def test_second_derivatives_are_there_where_logits_are_computed_in_chunks(base, monkeypatch):
    task, passes = NextToken(tiny_model()), loader_of(base, HERE).batch(0).micro
    whole = saliency(task, passes, HERE, is_second_order=True)
    monkeypatch.setitem(next_token.CHUNK_LOGITS, "cpu", 1)
    found = saliency(task, passes, HERE, is_second_order=True)
    for name, scores in whole.items():
        torch.testing.assert_close(found[name], scores, atol=1e-6, rtol=1e-3)
    assert task.module.head.holds_logits is False


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sparsity": 1.0}, r"sparsity must be in \[0, 1\), got 1.0: with 1 no weight is left to train"),
        ({"pattern": "4:4"}, "pattern must be N:M with 1 <= N < M, got '4:4'"),
        ({"pattern": "two of four"}, "pattern must be N:M, such as 2:4, got 'two of four'"),
        ({"prune_every": 0}, "prune_every must be at least 1, got 0"),
        ({"exchange": 1.5}, r"exchange must be in \[0, 1\], got 1.5"),
        ({"prune_from": 0.7}, "prune_from must be below prune_until, got 0.7 and 0.65"),
    ],
)
def test_wrong_settings_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        Pruning(**wrong)


def test_a_model_that_can_t_be_pruned_so_is_refused():
    matrices = matrices_of(trained_weights(NextToken(tiny_model()).module))
    with pytest.raises(ValueError, match=r"inputs in whole groups of m, got 2:7 for weights of"):
        Pruner(Pruning(prune="pattern", pattern="2:7"), n_steps=2, seed=0).begin(matrices)
    with pytest.raises(ValueError, match="must have feed-forward layers"):
        Pruner(Pruning(prune="units"), n_steps=2, seed=0).begin({"a.layers.0.weight": torch.ones(2, 2)})
    with pytest.raises(ValueError, match="the model has none"):
        Pruner(Pruning(prune="gmp"), n_steps=2, seed=0).begin({})
    with pytest.raises(ValueError, match="must be given scores"):
        Pruner(Pruning(prune="snip"), n_steps=2, seed=0).begin(matrices)


def test_a_held_mask_reaches_the_weights():
    module = NextToken(tiny_model()).module
    handles = Weights(trained_weights(module))
    pruner = Pruner(Pruning(prune="random", sparsity=0.5), n_steps=1, seed=0)
    pruner.begin(matrices_of(trained_weights(module)))
    pruner.hold(handles)
    assert sparsity_of(dict(module.named_parameters()))["of_matrices"] == pytest.approx(0.5, abs=1e-3)


def _worker(rank: int, port: int, run: Run) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank),
                   "WORLD_SIZE": "2", "DS_ACCELERATOR": "cpu"}  # fmt: skip
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=120))
    if run.zero_stage == 3:
        from tests.train.test_task_hooks import spread_all

        spread_all(pytest.MonkeyPatch())
    for prune in ("rigl", "gmp"):
        here = variant(run, Path(run.output) / prune)
        with contextlib.suppress(Stopped):
            go(dataclasses.replace(here, stop_at=5), task=task_of(prune))
        task = task_of(prune)
        made, original = [], parts.engine_of
        parts.engine_of = lambda *given, original=original, made=made: made.append(original(*given)) or made[-1]
        go(here, task=task)
        parts.engine_of = original
        assert task.moved > 0
        exported = made[0].exported()
        for name, value in exported.items():
            if name in task.pruner.masks:
                assert not value[~task.pruner.masks[name].cpu()].any(), name
        whole = variant(run, Path(run.output) / f"whole-{prune}")
        uninterrupted = task_of(prune)
        go(whole, task=uninterrupted)
        same = [torch.equal(mask, uninterrupted.pruner.masks[name]) for name, mask in task.pruner.masks.items()]
        assert all(same)
    dist.destroy_process_group()
    os._exit(0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_masks_hold_and_resume_under_zero_on_two_workers(base, tmp_path, stage, dtype):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = variant(base, tmp_path, engine="deepspeed", zero_stage=stage, dtype=dtype)
    mp.spawn(_worker, args=(port, run), nprocs=2, join=True)
