"""Kill at any step, go on with as many or other workers: the same order, the same curve."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from raypipe.contracts.task import LOSS, Figure
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import BatchLayout
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.loop.checkpoint import CheckpointLost, Checkpoints, State
from raypipe.train.loop.finite import NotFinite
from raypipe.train.loop.loop import Stopped
from raypipe.train.tasks.next_token import NextToken
from tests.learning import require
from tests.train.parts import HERE, Run, engine_of, go, loader_of, losses, on_workers, order, tiny_model, variant
from tests.train.processes import process
from tests.train.synthetic import write_tokens


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    write_tokens(folder / "tokens")
    return Run(str(folder / "tokens"), str(folder / "whole"), n_steps=9, save_every=3)


@pytest.fixture(scope="module")
def whole(base):
    go(base)
    return losses(base), order(base)


def killed(run: Run, *, at: int) -> None:
    """Train in a process that ends at a step as though by kill -9."""
    victim = process(_quietly, variant(run, run.output, die_at=at))
    victim.start()
    victim.join(120)
    assert victim.exitcode == 9


def _quietly(run: Run) -> None:
    torch.set_num_threads(1)
    go(run)


@pytest.mark.parametrize("at", [2, 3, 8])
def test_a_kill_changes_neither_order_nor_curve(base, whole, tmp_path, at):
    run = variant(base, tmp_path)
    killed(run, at=at)
    assert Checkpoints(Folder(run.output) / "checkpoints", HERE, {}).steps() == [n for n in (3, 6) if n < at]
    go(run)
    assert losses(run) == pytest.approx(whole[0], abs=1e-6)
    assert order(run) == whole[1]


def test_a_stop_is_a_checkpoint_and_the_same_command_goes_on(base, whole, tmp_path):
    run, steps = variant(base, tmp_path, save_every=100), iter(range(100))
    with pytest.raises(Stopped, match="stopped at step 5 of 9"):
        go(run, asked=lambda: "stop" if next(steps) >= 4 else None)
    assert len(losses(run)) == 5
    go(run)
    assert losses(run) == pytest.approx(whole[0], abs=1e-6)
    assert order(run) == whole[1]


def test_checkpoints_on_s3_are_gone_on_from(base, whole, s3_bucket):
    run, steps = variant(base, s3_bucket), iter(range(100))
    with pytest.raises(Stopped, match="stopped at step 5 of 9"):
        go(run, asked=lambda: "stop" if next(steps) >= 4 else None)
    assert Checkpoints(Folder(run.output) / "checkpoints", HERE, {}).steps() == [3, 5]
    go(run)
    assert losses(run) == pytest.approx(whole[0], abs=1e-6)
    assert order(run) == whole[1]


def test_a_finished_run_does_nothing_again(base, whole):
    state = go(base)
    assert state == State(9, whole[1], 9 * 4 * 32)
    assert losses(base) == whole[0]


def test_two_workers_go_on_where_one_was_and_back(base, whole, tmp_path):
    run = variant(base, tmp_path)
    first = iter(range(100))
    with pytest.raises(Stopped):
        go(run, asked=lambda: "stop" if next(first) >= 3 else None)
    on_workers(2, run)
    assert losses(run) == pytest.approx(whole[0], abs=1e-3)
    assert order(run) == whole[1]


@pytest.mark.slow
def test_deepspeed_goes_on_after_a_change_of_workers(base, whole, tmp_path):
    runs = [variant(base, tmp_path / f"zero{n}", engine="deepspeed", zero_stage=n) for n in (1, 2, 3)]
    halfway = [variant(run, run.output, n_steps=9, die_at=None) for run in runs]
    on_workers(2, *(variant(run, run.output, stop_at=6) for run in halfway))
    on_workers(2, *(variant(run, run.output, stop_at=8) for run in halfway))  # DeepSpeed's own format
    for run in runs:
        assert losses(run) == pytest.approx(whole[0][:8], abs=1e-4), run.output
    on_workers(1, *runs)  # another number: the universal one
    for run in runs:
        assert losses(run) == pytest.approx(whole[0], abs=1e-3), run.output
        assert order(run) == whole[1]


def test_a_half_written_checkpoint_is_no_checkpoint(base, whole, tmp_path):
    run = variant(base, tmp_path)
    go(run)
    checkpoints = Checkpoints(Folder(run.output) / "checkpoints", HERE, {})
    assert checkpoints.steps() == [6, 9]
    (tmp_path / "checkpoints/00000009/manifest.json").unlink()
    assert checkpoints.steps() == [6]
    checkpoints.sweep()
    assert not list((tmp_path / "checkpoints/00000009").glob("*"))
    go(run)
    assert losses(run) == pytest.approx(whole[0], abs=1e-6)


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_checkpoint_is_passed_over(base, whole, tmp_path, damage, caplog):
    run = variant(base, tmp_path)
    go(run)
    path = tmp_path / "checkpoints/00000009/weights.safetensors"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-7] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    assert go(run).step == 9
    assert "00000009 is left out: weights.safetensors" in caplog.text
    assert losses(run) == pytest.approx(whole[0], abs=1e-6)


def test_a_file_that_the_manifest_doesnt_list_is_never_read(base, tmp_path):
    run = variant(base, tmp_path, n_steps=3)
    go(run)
    folder = tmp_path / "checkpoints/00000003"
    (folder / "optimiser-0.pt").write_bytes(b"not what was saved")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == {"weights.safetensors", "optimiser-0.pt", "task.safetensors"}
    task = NextToken(tiny_model())
    found = Checkpoints(Folder(run.output) / "checkpoints", HERE, {}).restore(engine_of(run, task, HERE), task)
    assert found is None  # rather than unpickle it


def test_the_best_checkpoint_outlives_the_last_ones(base, tmp_path):
    checkpoints = Checkpoints(Folder(str(tmp_path)), HERE, {}, keep=2)
    task = NextToken(tiny_model())
    engine = engine_of(base, task, HERE)
    for step, heldout in ((1, 3.0), (2, 1.0), (3, 2.0), (4, None), (5, None)):
        checkpoints.save(State(step, heldout=heldout), engine, task)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.best() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000002", "00000004", "00000005"]


@pytest.mark.parametrize(
    ("by", "best"), [(LOSS, 3), (Figure("accuracy"), 2), (Figure("error", higher_is_better=False), 1)]
)
def test_the_best_step_is_judged_by_a_named_figure_and_its_better_end(base, tmp_path, by, best):
    checkpoints = Checkpoints(Folder(str(tmp_path)), HERE, {}, keep=1, best_by=by)
    task = NextToken(tiny_model())
    engine = engine_of(base, task, HERE)
    state, seen = State(), []
    figures = ((3.0, 0.5, 1.0), (2.0, 0.9, 2.0), (1.0, 0.7, 3.0), (2.0, float("nan"), 9.0), (2.0, None, None))
    for step, (loss, accuracy, error) in enumerate(figures, start=1):
        found = {} if accuracy is None else {"accuracy": accuracy, "error": error}
        state, is_best = replace(state, step=step, heldout=None, figures={}).measured(loss, found, by=by)
        seen += [step] * is_best
        checkpoints.save(state, engine, task)
    assert checkpoints.best() == seen[-1] == best
    assert checkpoints.steps() == sorted({best, 5})
    assert checkpoints.restore_best(engine, task).step == best


def test_the_best_checkpoint_is_taken_up_instead_of_the_last(base, tmp_path):
    checkpoints = Checkpoints(Folder(str(tmp_path)), HERE, {})
    task = NextToken(tiny_model())
    engine = engine_of(base, task, HERE)
    weight = next(task.module.parameters())
    for step, heldout in ((1, 3.0), (2, 1.0), (3, 2.0)):
        torch.nn.init.constant_(weight, step)
        checkpoints.save(State(step, heldout=heldout), engine, task)
    assert checkpoints.restore_best(engine, task) == State(2, heldout=1.0)
    assert (weight == 2).all()
    with pytest.raises(ValueError, match="must have a held-out loss, got none; hold examples out, or take the last"):
        Checkpoints(Folder(str(tmp_path / "none")), HERE, {}).restore_best(engine, task)


def test_a_full_disk_keeps_the_last_good_checkpoint(base, whole, tmp_path, monkeypatch):
    run, write, is_full = variant(base, tmp_path), Folder.write, [True]

    def full(self, name, content):
        if is_full[0] and "00000006" in self.uri and name == "weights.safetensors":
            raise OSError(28, "No space left on device")
        return write(self, name, content)

    monkeypatch.setattr(Folder, "write", full)
    with pytest.raises(CheckpointLost, match=r"step 6 .*No space left.*the one of step 3 is whole"):
        go(run)
    assert not [path for path in (tmp_path / "checkpoints/00000006").rglob("*") if path.is_file()]
    is_full[0] = False
    go(run)
    assert losses(run) == pytest.approx(whole[0], abs=1e-6)


def test_an_old_checkpoint_that_cannot_be_deleted_does_not_cost_the_new_one(base, whole, tmp_path, monkeypatch):
    run = variant(base, tmp_path)

    def refused(self, name):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Folder, "delete", refused)
    go(run)
    assert Checkpoints(Folder(run.output) / "checkpoints", HERE, {}).steps() == [3, 6, 9]
    assert losses(run) == pytest.approx(whole[0], abs=1e-6)


def test_a_loss_that_is_nan_stops_with_the_documents_and_leaves_the_checkpoint(base, tmp_path):
    run = variant(base, tmp_path)
    task, calls = NextToken(tiny_model()), iter(range(1000))
    original = task.loss

    def broken(models, tensors):
        terms = original(models, tensors)
        return terms.__class__(terms.losses * float("nan"), terms.owners) if next(calls) >= 4 * 4 else terms

    task.loss = broken
    with pytest.raises(NotFinite) as failure:
        go(run, task=task)
    message = str(failure.value)
    assert "the loss of step 5 is nan; the checkpoint of step 3 is kept" in message
    expected = loader_of(run, HERE).batch(4).places()
    assert all(f"{path}:{row}" in message for path, row in expected[:20])
    assert all(bool(torch.isfinite(weight).all()) for weight in task.module.parameters())


@pytest.mark.learns
def test_heldout_loss_is_measured_by_domain_and_isnt_trained_on(base, tmp_path):
    from dataclasses import replace

    from raypipe.train.data.index import every_row_once, read_listing
    from raypipe.train.loop.journal import read_journal

    mix = every_row_once(read_listing(Folder(base.tokens)))
    rows = np.arange(len(mix.weight))
    mix = replace(mix, weight=(rows % 5 > 0).astype(np.float32), is_heldout=rows % 5 == 0)
    optimiser = Optimiser(learning_rate=1e-2)
    run = variant(base, tmp_path, heldout_every=2, n_steps=4, optimiser=optimiser)
    go(run, loader=loader_of(run, HERE, mix))
    lines = read_journal(Folder(run.output) / "metrics")
    assert [("heldout_loss" in line) for line in lines] == [False, True, False, True]
    assert set(lines[1]["heldout_by_domain"]) == {"a", "b"}
    require(share_of_loss_left=lines[3]["heldout_loss"] / lines[1]["heldout_loss"], below=0.995)
    require(heldout_loss=lines[1]["heldout_loss"], below=np.log(64) * 1.1)


def test_a_step_that_cant_be_shared_names_the_nearest_sizes():
    with pytest.raises(ValueError, match=r"10 sequences must be a multiple of 2 workers x 4 .*nearest is 8 or 16"):
        BatchLayout(0, 2, 10, 4)
