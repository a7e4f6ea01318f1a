"""Texts that begin alike: one pass over the beginning equals a pass over each text."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.lm.branches import branch_losses, grown, plan_rows
from raypipe.lm.decoder import Decoder
from tests.tiny import CONFIGS, reference_losses, tiny_model

RNG = np.random.default_rng(0)


def drawn(n_shared, lengths):
    trunk = RNG.integers(0, 200, n_shared)
    return [[*trunk.tolist(), *RNG.integers(0, 200, n).tolist()] for n in lengths]


def marks(texts, n_shared, skip=0):
    return [np.arange(len(text)) >= n_shared + skip for text in texts]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_branch_equals_its_own_text(name):
    decoder = Decoder(tiny_model(name), max_tokens=128)
    asked = [(17, [3, 1, 9]), (1, [5, 5]), (40, [1, 2]), (0, [4, 6])]
    texts = [drawn(n, lengths) for n, lengths in asked]
    scored = [marks(one, n) for one, (n, _) in zip(texts, asked, strict=True)]
    found = branch_losses(decoder, [grown(one, mark) for one, mark in zip(texts, scored, strict=True)])
    for one, mark, losses in zip(texts, scored, found, strict=True):
        for text, is_scored, loss in zip(one, mark, losses, strict=True):
            slow = reference_losses(tiny_model(name), torch.tensor(text), [])
            assert loss == pytest.approx(float(slow[is_scored[1:]].sum()), rel=1e-5)


def test_what_else_goes_through_the_model_changes_nothing():
    decoder = Decoder(tiny_model(), max_tokens=128)
    one, other = (grown(texts, marks(texts, 8)) for texts in (drawn(8, [3, 4]), drawn(60, [7, 9, 2])))
    alone = branch_losses(decoder, [one])[0]
    assert branch_losses(decoder, [other, one])[1] == pytest.approx(alone, rel=1e-5)


def test_what_is_scored_is_never_shared_and_beginnings_may_differ():
    alike = grown([[1, 2, 3], [1, 2, 3]], [np.array([False, False, True])] * 2)
    assert (alike.trunk.tolist(), [one.tolist() for one in alike.branches]) == ([1, 2], [[3], [3]])
    apart = grown([[1, 5, 9, 9], [1, 6, 9, 9]], [np.array([False, False, True, True])] * 2)
    assert apart.trunk.tolist() == [1]
    assert [one.tolist() for one in apart.is_scored] == [[False, True, True]] * 2


@settings(max_examples=60)
@given(st.lists(st.integers(1, 90), max_size=40), st.integers(1, 300))
def test_a_plan_has_every_row_once_within_its_budget(lengths, budget):
    batches = plan_rows(np.array(lengths, np.int64), budget=budget)
    assert sorted(int(row) for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        size = max(lengths[row] for row in batch)
        assert size * len(batch) <= budget or len(batch) == 1
