"""Learning rates, optimisers, initialisations, operation counts."""

import numpy as np
import pytest
import torch
from torch import nn

from raypipe.contracts.rows import Document
from raypipe.models.presets import SHAPES, config_of, new_model
from raypipe.train.engines.handles import plainly
from raypipe.train.engines.optimiser import Optimiser, set_learning_rate
from raypipe.train.loop.flops import matrix_parameters, step_flops
from raypipe.train.loop.schedule import Schedule
from raypipe.train.tasks.next_token import NextToken
from tests.train.parts import tiny_model


def test_wsd_warms_up_stays_and_decays_as_in_the_paper():
    factors = np.array([Schedule().factor(step, 10_000) for step in range(10_000)])
    assert (np.diff(factors[:11]) > 0).all()
    assert (factors[10:7510] == 1).all()
    assert (np.diff(factors[7510:]) < 0).all()
    assert 0 < factors[-1] < 0.001


@pytest.mark.parametrize("n_steps", [10, 100, 1499])
def test_a_warm_up_of_one_step_is_at_half_the_peak(n_steps):
    assert [Schedule().factor(step, n_steps) for step in range(3)] == [0.5, 1.0, 1.0]
    assert Schedule().factor(0, 1600) == pytest.approx(1 / 3)


@pytest.mark.parametrize("shape", ["linear", "cosine", "1-sqrt", "exponential"])
def test_every_decay_falls_from_the_peak_to_the_floor(shape):
    schedule = Schedule(decay_shape=shape, lr_floor=0.1)
    factors = [schedule.factor(step, 1000) for step in range(1000)]
    assert max(factors) == 1
    assert 0.1 < factors[-1] < 0.12
    assert (np.diff(factors[751:]) < 0).all()


def test_cosine_and_constant():
    cosine = [Schedule(schedule="cosine", warmup_fraction=0.1).factor(step, 100) for step in range(100)]
    assert cosine[10] > 0.99
    assert cosine[54] == pytest.approx(0.5, abs=0.02)
    assert {Schedule(schedule="constant", warmup_fraction=0).factor(step, 9) for step in range(9)} == {1.0}


def test_wrong_fractions_are_refused():
    with pytest.raises(ValueError, match=r"lr_floor must be in \[0, 1\], got 2"):
        Schedule(lr_floor=2)


def test_norms_have_no_decay_and_every_weight_one_optimiser():
    for kind in ("adamw", "muon"):
        module = NextToken(tiny_model()).module
        built = Optimiser(optimiser=kind).build(module)
        groups = [group for optimiser in built for group in optimiser.param_groups]
        weights = [weight for group in groups for weight in group["params"]]
        assert len(weights) == len({id(w) for w in weights}) == len(list(module.parameters()))
        assert all((group["weight_decay"] == 0) == (w.ndim == 1) for group in groups for w in group["params"])
        assert len(built) == (2 if kind == "muon" else 1)
        set_learning_rate(groups, 0.5)
        assert groups[0]["lr"] == pytest.approx(1.5e-4)


def test_nothing_to_train_is_refused():
    module = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ValueError, match="must have weights to train"):
        Optimiser().build(module)


def test_initialisations_have_their_deviations_and_the_seed_decides():
    config = config_of("4m", vocabulary_size=300, length=64, end=0)
    normal, scaled = (new_model(config, seed=1, initialisation=kind) for kind in ("normal", "scaled"))
    assert normal.model.layers[0].mlp.down_proj.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert scaled.model.layers[0].mlp.down_proj.weight.std().item() == pytest.approx(0.02 / 8**0.5, rel=0.05)
    again, other = (new_model(config, seed=seed, initialisation="normal") for seed in (1, 2))
    assert torch.equal(again.lm_head.weight, normal.lm_head.weight)
    assert not torch.equal(other.lm_head.weight, normal.lm_head.weight)
    assert set(SHAPES) >= {"tiny", "135m", "1b"}


def test_operations_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    causal = tiny_model(num_key_value_heads=4)
    task = NextToken(causal)
    document = Document(np.arange(64, dtype=np.int32) % 64, "a", "p", 0)
    with FlopCounterMode(display=False) as counter:
        task.loss(plainly(task.models), task.collate([document], torch.device("cpu"))).losses.sum().backward()
    n_layers = causal.config.num_hidden_layers
    attention = 6 * n_layers * causal.config.hidden_size * 64**2  # on a CPU torch doesn't count it
    expected = step_flops(matrix_parameters(causal), causal.config, [document])
    assert counter.get_total_flops() == pytest.approx(expected - attention, rel=0.01)


def test_attention_costs_by_the_length_of_each_document():
    config = tiny_model().config
    one, two = [np.zeros(64, np.int32)], [np.zeros(32, np.int32)] * 2
    whole, halves = (step_flops(0, config, [Document(ids, "a", "p", 0) for ids in docs]) for docs in (one, two))
    assert whole == 2 * halves == 6 * 2 * 32 * 64**2
