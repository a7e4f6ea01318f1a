"""The denoiser: its schedule, the same seed gives the same weights, and it tells noise that zeros don't."""

import numpy as np
import pytest
import torch

from raypipe.classify.denoiser import N_TIMES, signal_shares, trained
from tests.learning import SEED, require

SETTINGS = {"k": 2, "width": 32, "n_blocks": 1, "batch": 64, "learning_rate": 5e-3}


def rows() -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(200) % 2
    return np.random.default_rng(SEED).normal(0, 0.1, (200, 4)) + 2.0 * at[:, None] - 1, at


def test_the_share_of_the_signal_falls_to_almost_nothing_and_is_the_product_of_what_each_time_leaves():
    shares = signal_shares()
    assert (np.diff(shares) < 0).all()
    assert shares[0] == pytest.approx(1 - 1e-4)
    assert shares[-1] < 1e-4
    assert shares[-1] / shares[-2] == pytest.approx(0.98)
    assert len(shares) == N_TIMES


def test_the_same_seed_gives_the_same_weights_and_draws_nothing_from_others():
    X, at = rows()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, other = (trained(X, at, n_steps=4, seed=3, **SETTINGS).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.learns
def test_it_tells_noise_better_under_a_row_s_own_class():
    X, at = rows()
    model = trained(X, at, n_steps=400, seed=SEED, **SETTINGS)
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal(X.shape)).float()
    share = float(signal_shares()[400])
    noised = share**0.5 * torch.from_numpy(X).float() + (1 - share) ** 0.5 * noise
    times, own = torch.full((200,), 400), torch.from_numpy(at)
    with torch.inference_mode():
        right, wrong = (float(((model(noised, times, of) - noise) ** 2).mean()) for of in (own, 1 - own))
    require(below=0.5, own_class=right)  # zeros have 1
    require(above=0.05, gain=wrong - right)
