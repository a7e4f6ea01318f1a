import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raypipe.lm.packing import pack
from raypipe.lm.plan import plan_batches

CPU = torch.device("cpu")


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(50, 120))
def test_every_document_is_in_one_batch_and_no_batch_is_over_budget(lengths, budget):
    lengths = np.array(lengths, dtype=np.int64)
    batches = plan_batches(lengths, budget=budget)
    rows = np.concatenate([*batches, np.zeros(0, dtype=np.int64)])
    assert sorted(rows) == list(np.flatnonzero(lengths))
    assert all(lengths[batch].sum() <= budget for batch in batches)


def test_batches_are_nearly_full_on_lengths_of_a_corpus():
    lengths = np.minimum(np.random.default_rng(0).lognormal(np.log(600), 0.9, 3000), 4096).astype(int)
    batches = plan_batches(lengths, budget=32_768)
    assert lengths.sum() / (32_768 * (len(batches) - 1)) > 0.99


def test_the_plan_is_a_function_of_lengths_and_budget_alone():
    lengths = np.random.default_rng(1).integers(1, 90, 200)
    first, second = (plan_batches(lengths.copy(), budget=256) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_document_longer_than_the_budget_is_refused():
    with pytest.raises(ValueError, match="longest document, 9 tokens, got 8"):
        plan_batches(np.array([3, 9]), budget=8)


def test_positions_restart_and_targets_stay_inside_documents():
    batch = pack([np.array([5, 6, 7]), np.array([8]), np.array([9, 10])], device=CPU, size=8)
    assert batch.positions.tolist() == [0, 1, 2, 0, 0, 1, 0, 1]
    assert batch.sources.tolist() == [0, 1, 4]
    assert batch.targets.tolist() == [6, 7, 10]
    assert batch.padding == 2
    assert batch.lengths.tolist() == [3, 1, 2]
    assert batch.cuts.tolist() == [0, 3, 4, 6, 8]


def test_much_padding_becomes_short_documents():
    batch = pack([np.array([1, 2])], device=CPU, size=400)
    assert np.diff(batch.cuts).tolist() == [2, 128, 128, 128, 14]
    assert batch.n_documents == 1


def test_documents_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="at least the 3 tokens"):
        pack([np.array([1, 2, 3])], device=CPU, size=2)
