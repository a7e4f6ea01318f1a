import itertools
import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from transformers import LlamaConfig

from raypipe.lm.layer import check_float8_sizes
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.influence import Influence
from raypipe.score.number_format import LIMIT_S, agreement, compare_formats
from raypipe.score.perplexity import Perplexity

from .test_forward_pass import source

TEXTS = [f"{'word ' * (at % 13)}document {at} of {at * at}" for at in range(60)]


def make(tiny_folder, **changes):
    settings = {"heads": ((1, 1),), "max_tokens": 64, "token_budget": 256, "dtype": "float8"} | changes
    return ForwardPass(model=str(tiny_folder), statistics=(Influence(), Perplexity()), **settings)


def test_agreement_by_hand():
    reference = np.arange(50.0)
    scores = reference.copy()
    scores[[49, 0]] = scores[[0, 49]]  # the best became the worst
    domains = np.array(["a"] * 25 + ["b"] * 15 + ["c"] * 10)
    found = agreement("influence", scores, reference, domains)
    assert (found.score, found.documents) == ("influence", 50)
    assert found.rank_correlation == pytest.approx(spearmanr(scores, reference)[0])
    assert found.worst_domain == "a"  # b and c are too small for a rank correlation of their own
    assert found.worst_rank_correlation == pytest.approx(spearmanr(scores[:25], reference[:25])[0])
    assert found.same_top == 0.9


def test_rows_without_a_score_do_not_count():
    scores, reference = np.array([1.0, np.nan, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, np.nan])
    found = agreement("loss", scores, reference, np.array(["a"] * 4))
    assert found.documents == 2
    assert found.worst_domain is None
    assert found.worst_rank_correlation is None


def test_8_bits_are_compared_with_the_same_model_in_bfloat16(tiny_folder):
    influence, perplexity = compare_formats(make(tiny_folder), source(TEXTS), 1)
    assert (influence["score"], perplexity["score"]) == ("influence", "perplexity")
    assert influence["documents"] == len(TEXTS)
    assert 0.5 < influence["rank_correlation"] < 1  # a random model: the orders differ, though not much
    assert 0.9 < perplexity["rank_correlation"] < 1
    assert influence["worst_domain"] == "d"
    json.dumps([influence, perplexity])  # they go into a card


def test_the_same_format_agrees_with_itself(tiny_folder):
    for found in compare_formats(make(tiny_folder, dtype="bfloat16"), source(TEXTS), 1):
        assert found["rank_correlation"] == pytest.approx(1)
        assert found["same_top"] == 1


def test_comparing_ends_after_its_time(tiny_folder):
    clock = itertools.chain([0.0, 1.0], itertools.repeat(LIMIT_S + 1)).__next__
    op = make(tiny_folder)
    (first, *_) = compare_formats(op, source(TEXTS), 1, clock=clock)
    batches = op.batches(op.prepare(source(TEXTS)))
    assert len(batches) > 2
    assert first["documents"] == len(batches[0]) + len(batches[1])


def test_a_sample_without_rows_to_score_says_nothing(tiny_folder):
    assert compare_formats(make(tiny_folder), source(["", "x"], ["empty", None]), 1) == []


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"intermediate_size": 100}, "ffn size must be a multiple of 16 for dtype float8, got 100; use bfloat16"),
        ({"hidden_size": 40}, "hidden size must be a multiple of 16 for dtype float8, got 40"),
        ({"head_dim": 12, "num_key_value_heads": 1}, "query, key and value size .* got 72"),
        ({"head_dim": 10}, "query size .* got 40"),
    ],
)
def test_sizes_that_no_gpu_takes_in_8_bits_are_refused_before_anything_is_loaded(sizes, message):
    plain = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}
    check_float8_sizes(LlamaConfig(**plain))
    with pytest.raises(ValueError, match=message):
        check_float8_sizes(LlamaConfig(**(plain | sizes)))
