"""Losses, gradients and weights that aren't finite: nothing is updated or written, and the right one is named."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from raypipe.storage.folder import Folder
from raypipe.train.data.index import every_row_once, read_listing
from raypipe.train.loop.checkpoint import Checkpoints, State
from raypipe.train.loop.finite import NotFinite, require_finite
from raypipe.train.tasks.next_token import NextToken
from tests.train.parts import HERE, Run, engine_of, go, loader_of, losses, on_workers, tiny_model, variant
from tests.train.synthetic import write_tokens


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finite")
    write_tokens(folder / "tokens")
    return Run(str(folder / "tokens"), str(folder / "whole"), n_steps=6, save_every=2)


def checkpoints_of(run: Run) -> Checkpoints:
    return Checkpoints(Folder(run.output) / "checkpoints", HERE, {})


def is_named(message: str, run: Run, *, step: int) -> None:
    """The step, its documents and the checkpoint before it."""
    assert re.search(rf"the gradient of step {step} has the norm (inf|nan), though its loss is [\d.]+;", message)
    assert f"the checkpoint of step {step - 1 - (step - 1) % 2} is kept" in message
    places = loader_of(run, HERE).batch(step - 1).places()
    assert all(f"{path}:{row}" in message for path, row in places[:20])


def test_an_infinite_gradient_stops_before_the_update_and_training_goes_on_from_the_checkpoint(base, tmp_path):
    go(base)
    run, task = variant(base, tmp_path, poison_at=4), NextToken(tiny_model())
    with pytest.raises(NotFinite) as failure:
        go(run, task=task)
    is_named(str(failure.value), run, step=4)
    assert all(bool(torch.isfinite(weight).all()) for weight in task.module.parameters())
    assert checkpoints_of(run).steps() == [2]
    healed = variant(run, tmp_path, poison_at=None)
    go(healed)
    assert losses(healed) == pytest.approx(losses(base), abs=1e-6)


def all_stop(run: Run, engines: list[dict], folder) -> None:
    """One worker's gradient is infinite: both workers of every engine stop, say the same and can go on."""
    runs = [variant(run, folder / str(at), poison_at=4, **engine) for at, engine in enumerate(engines)]
    on_workers(2, *runs)
    for each in runs:
        first, second = (Folder(each.output).read(f"failure-{rank}.txt").decode() for rank in (0, 1))
        assert first == second
        is_named(first, each, step=4)
        assert checkpoints_of(each).steps() == [2]


def test_one_workers_infinite_gradient_stops_both(base, tmp_path):
    all_stop(base, [{}, {"engine": "deepspeed", "zero_stage": 2}], tmp_path)


@pytest.mark.slow
def test_one_workers_infinite_gradient_stops_both_in_every_stage_of_zero(base, tmp_path):
    dtypes = ("float32", "bfloat16")
    all_stop(
        base, [{"engine": "deepspeed", "zero_stage": n, "dtype": dtype} for dtype in dtypes for n in range(4)], tmp_path
    )


@pytest.mark.slow
def test_the_norm_is_the_same_in_every_stage_of_zero(base, tmp_path):
    from raypipe.train.loop.journal import read_journal

    stages = [variant(base, tmp_path / str(n), engine="deepspeed", zero_stage=n, n_sequences=8) for n in range(4)]
    plain = variant(base, tmp_path / "plain", n_sequences=8)
    on_workers(2, plain, *stages)
    norms = [
        [line["gradient_norm"] for line in read_journal(Folder(run.output) / "metrics")] for run in (plain, *stages)
    ]
    np.testing.assert_allclose(norms, np.tile(norms[0], (5, 1)), rtol=1e-3)


@pytest.mark.parametrize("where", ["weight", "moment"])
def test_no_checkpoint_is_written_of_weights_or_moments_that_arent_finite(base, tmp_path, where):
    task = NextToken(tiny_model())
    engine = engine_of(base, task, HERE)
    checkpoints = Checkpoints(Folder(str(tmp_path)), HERE, {})
    terms = task.loss(engine.models, task.collate(loader_of(base, HERE).batch(0).micro[0], HERE.device))
    engine.backward(terms.losses.mean())
    engine.gradient_norm()
    engine.step(1.0)
    checkpoints.save(State(1), engine, task)
    weight = next(task.module.parameters())
    if where == "weight":
        weight.data[0, 0] = float("nan")
    else:
        next(iter(engine._optimisers[0].state.values()))["exp_avg_sq"][0, 0] = float("inf")
    with pytest.raises(NotFinite, match=r"after step 2: no checkpoint .* the checkpoint of step 1 is kept"):
        checkpoints.save(State(2), engine, task)
    assert checkpoints.steps() == [1]


def test_a_checkpoint_of_weights_that_arent_finite_is_refused(base, tmp_path, monkeypatch):
    task = NextToken(tiny_model())
    engine = engine_of(base, task, HERE)
    checkpoints = Checkpoints(Folder(str(tmp_path)), HERE, {})
    next(task.module.parameters()).data[0, 0] = float("nan")
    monkeypatch.setattr(Checkpoints, "_require_finite", lambda *_: None)  # as they were written before
    checkpoints.save(State(1), engine, task)
    with pytest.raises(NotFinite, match=r"the checkpoint of step 1 in .* holds weights that aren't finite"):
        checkpoints.restore(engine, task)


def test_weights_that_were_broken_before_arent_blamed_on_the_documents(base, tmp_path):
    task = NextToken(tiny_model())
    next(task.module.parameters()).data.fill_(float("nan"))
    with pytest.raises(NotFinite, match="the weights are not finite at the start of step 1: an earlier update") as said:
        go(variant(base, tmp_path), task=task)
    assert "source:row" not in str(said.value)


def test_a_heldout_loss_that_isnt_finite_stops_and_names_its_domain(base, tmp_path):
    mix = every_row_once(read_listing(Folder(base.tokens)))
    rows = np.arange(len(mix.weight))
    mix = dataclasses.replace(mix, weight=(rows % 5 > 0).astype(np.float32), is_heldout=rows % 5 == 0)
    task = NextToken(tiny_model())
    original = task.loss

    def broken(models, tensors):
        terms = original(models, tensors)
        return terms if task.module.training else dataclasses.replace(terms, losses=terms.losses * float("nan"))

    task.loss = broken
    with pytest.raises(NotFinite, match="held-out loss after step 6 isn't finite in a, b; the checkpoint of step 4"):
        go(variant(base, tmp_path), task=task, loader=loader_of(base, HERE, mix))


def test_what_is_finite_passes():
    require_finite(1.0, 2.0, step=1, places=[], last=None, is_sound=True)
    with pytest.raises(NotFinite, match=r"the loss of step 7 is inf; .*no checkpoint yet.*: a:1, a:2\."):
        require_finite(float("inf"), None, step=7, places=[("a", 1), ("a", 2)], last=None, is_sound=True)
