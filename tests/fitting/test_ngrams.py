from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from raypipe.fitting.inputs import input_for, open_input
from raypipe.fitting.ngrams import HashedNGrams
from raypipe.fitting.words import NO_TEXT

TEXTS = ["Red apples and red apples", "green pears", "pears green"]
TABLE = pa.table({"text": TEXTS})


def products(texts: list[str], longest: int) -> np.ndarray:
    """Cosines of counts of n-grams, in dictionaries."""
    counts = []
    for text in texts:
        words = text.lower().split()
        runs = [" ".join(words[at : at + n]) for n in range(1, longest + 1) for at in range(len(words) - n + 1)]
        counts.append(Counter(runs))
    sizes = [sum(n * n for n in of.values()) ** 0.5 for of in counts]
    return np.array(
        [
            [sum(one[run] * other[run] for run in one) / (m * n) for other, n in zip(counts, sizes, strict=True)]
            for one, m in zip(counts, sizes, strict=True)
        ]
    )


@pytest.mark.parametrize("longest", [1, 2])
def test_products_are_those_of_counts_in_dictionaries(longest: int) -> None:
    X, reasons = HashedNGrams(("text",), longest=longest).fit(TABLE).encode(TABLE)
    np.testing.assert_allclose((X @ X.T).toarray(), products(TEXTS, longest), atol=1e-12)
    assert reasons == [None] * 3


def test_the_order_of_words_counts_from_two_words_on() -> None:
    one, two = (HashedNGrams(("text",), longest=n).encode(TABLE)[0] for n in (1, 2))
    assert (one[1] != one[2]).nnz == 0
    assert (two[1] != two[2]).nnz == 2


def test_it_comes_back_from_its_state_and_says_which_rows_have_no_text() -> None:
    fitted = HashedNGrams(("text",), n_hashes=64).fit(TABLE)
    again = open_input(fitted.about(), fitted.state())
    assert again == fitted
    X, reasons = again.encode(pa.table({"text": ["", None, "pears"]}))
    assert X.shape == (3, 64)
    assert reasons == [NO_TEXT, NO_TEXT, None]
    assert again.encode(TABLE.slice(0, 0))[0].shape == (0, 64)


def test_texts_without_words_and_columns_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="column 'text' must have texts with words, got 2 without any"):
        HashedNGrams(("text",)).fit(pa.table({"text": ["", "! ?"]}))
    with pytest.raises(ValueError, match="a method of words must have one column of texts, got n"):
        input_for("ngrams", pa.table({"n": [1.0]}), ("n",), n_dimensions=2)
    assert input_for("ngrams", TABLE, ("text",), n_dimensions=2) == HashedNGrams(("text",))
