"""Plain torch and DeepSpeed: the same loop gives the same loss curve."""

import numpy as np
import pytest

from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.zero import Zero
from tests.learning import SEED, require
from tests.train.parts import Run, go, losses, on_workers, order, variant
from tests.train.synthetic import write_tokens


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    write_tokens(folder / "tokens")
    return Run(str(folder / "tokens"), str(folder / "plain"))


@pytest.mark.learns
def test_training_learns_the_rule(base, tmp_path):
    run = variant(base, tmp_path, n_steps=60, seed=SEED, optimiser=Optimiser(learning_rate=1e-2))
    go(run)
    curve = losses(run)
    assert curve[0] == pytest.approx(np.log(64), rel=0.05)
    require(share_of_loss_left=np.mean(curve[-5:]) / curve[0], below=0.6)


def test_accumulation_doesnt_change_the_curve(base, tmp_path):
    curves = []
    for micro in (1, 2, 4):
        run = variant(base, tmp_path / str(micro), micro=micro)
        go(run)
        curves.append(losses(run))
    assert np.abs(np.array(curves) - curves[0]).max() < 1e-5


def test_two_workers_zero_2_and_plain_agree_with_one(base, tmp_path):
    alone = variant(base, tmp_path / "alone", n_steps=6)
    plain = variant(base, tmp_path / "plain", n_steps=6)
    zero = variant(base, tmp_path / "zero", n_steps=6, engine="deepspeed", zero_stage=2)
    go(alone)
    on_workers(2, plain, zero)
    assert losses(plain) == pytest.approx(losses(alone), abs=1e-5)
    assert losses(zero) == pytest.approx(losses(alone), abs=1e-4)
    assert order(plain) == order(zero) == order(alone)


@pytest.mark.slow
def test_fifty_steps_are_equal_for_every_stage_on_two_workers(base, tmp_path):
    runs = {
        tie: [variant(base, tmp_path / f"plain-{tie}", n_steps=50, tie=tie)]
        + [
            variant(base, tmp_path / f"zero{n}-{tie}", n_steps=50, tie=tie, engine="deepspeed", zero_stage=n)
            for n in range(4)
        ]
        for tie in (True, False)
    }
    on_workers(2, *runs[True], *runs[False])
    for tie, (plain, *stages) in runs.items():
        reference = np.array(losses(plain))
        worst = {run.zero_stage: float(np.abs(np.array(losses(run)) - reference).max()) for run in stages}
        print(f"tied {tie}: largest difference from plain by ZeRO stage:", worst)
        assert max(worst.values()) < 1e-4
        assert len({order(run) for run in (plain, *stages)}) == 1


@pytest.mark.learns
def test_muon_trains_and_needs_the_plain_engine(base, tmp_path):
    run = variant(base, tmp_path, n_steps=30, seed=SEED, optimiser=Optimiser(optimiser="muon", learning_rate=1e-2))
    go(run)
    require(share_of_loss_left=losses(run)[-1] / losses(run)[0], below=0.9)


@pytest.mark.learns
def test_bfloat16_learns_too(base, tmp_path):
    run = variant(base, tmp_path, n_steps=30, seed=SEED, dtype="bfloat16", optimiser=Optimiser(learning_rate=1e-2))
    go(run)
    require(share_of_loss_left=losses(run)[-1] / losses(run)[0], below=0.9)


def test_wrong_settings_of_an_engine_are_refused():
    with pytest.raises(ValueError, match="zero_stage must be 0, 1, 2 or 3, got 4"):
        Zero(4)
