import numpy as np
import pytest
from scipy.stats import spearmanr
from transformers import LlamaConfig

from raypipe.lm.shape import check_float8_sizes
from raypipe.score.number_format import agreement


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
