"""Mean states of a cut model against one document at a time through the whole one."""

import numpy as np
import pytest
import torch

from raypipe.lm.states import keep_layers, mean_states
from raypipe.models.presets import config_of, new_model


def model():
    return new_model(config_of("tiny", vocabulary_size=50, length=32, end=None), seed=0, initialisation="normal").eval()


def documents(n=9):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 50, size) for size in rng.integers(1, 12, n)]


@pytest.mark.parametrize("batch", [1, 4])
def test_states_are_those_of_each_document_alone_through_the_whole_model(batch):
    expected = []
    with torch.no_grad():
        for ids in documents():
            states = model().model(torch.from_numpy(ids)[None], output_hidden_states=True).hidden_states[1]
            expected.append(states[0].mean(dim=0).numpy())
    found = mean_states(keep_layers(model(), 1), documents(), batch=batch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-5)


def test_no_document_has_no_state():
    assert mean_states(keep_layers(model(), 1), []).shape == (0, model().config.hidden_size)


def test_a_document_without_tokens_and_layers_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="documents must have tokens, number 1 has none"):
        mean_states(keep_layers(model(), 1), [np.array([1]), np.array([], int)])
    for n_layers in (0, 99):
        with pytest.raises(ValueError, match=f"n_layers must be between 1 and the model's .*, got {n_layers}"):
            keep_layers(model(), n_layers)
