"""Units that are 0 are taken out of a model: the same logits from smaller matrices."""

import pytest
import torch

from raypipe.train.engines.handles import Weights, trained_weights
from raypipe.train.weights.pruning import Pruner, Pruning, matrices_of
from raypipe.train.weights.units import take_out_units
from tests.train.parts import tiny_model


def pruned(sparsity: float):
    model = tiny_model()
    pruner = Pruner(Pruning(prune="units", sparsity=sparsity), n_steps=1, seed=0)
    pruner.begin({name: weight.detach() for name, weight in matrices_of(trained_weights(model)).items()})
    pruner.hold(Weights(trained_weights(model)))
    return model


def test_the_smaller_model_answers_alike():
    model, ids = pruned(0.75), torch.arange(1, 9)[None]
    before = model(ids, use_cache=False).logits
    assert take_out_units(model) == model.config.intermediate_size == 16
    assert model.model.layers[1].mlp.down_proj.weight.shape == (32, 16)
    torch.testing.assert_close(model(ids, use_cache=False).logits, before, atol=1e-5, rtol=1e-5)
    again = tiny_model(intermediate_size=16)
    again.load_state_dict(model.state_dict())


def test_a_dense_model_stays_as_it_is_and_unlike_layers_are_refused():
    model = tiny_model()
    assert take_out_units(model) == 64
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[:3] = 0
    with pytest.raises(ValueError, match=r"must have kept as many units, got \[61, 64\]"):
        take_out_units(model)
