import subprocess
import sys

import pytest

import raypipe
from raypipe.score.statistics.influence import Influence
from raypipe.score.statistics.min_k import MinK
from raypipe.score.statistics.perplexity import Perplexity

TEXTS = ["one two three", None, "", "a much longer text than the others are", "a"]


def test_texts_come_back_scored_in_their_order(tiny_folder):
    found = raypipe.score(TEXTS, [Influence(), MinK()], model=str(tiny_folder), heads=[(1, 1)], max_tokens=64)
    assert found["status"].to_pylist() == ["scored", "skipped", "skipped", "scored", "skipped"]
    assert found["reason"].to_pylist() == [None, "null text", "empty", None, "too short"]
    for row in (0, 3):
        alone = raypipe.score([TEXTS[row]], model=str(tiny_folder), heads=[(1, 1)], max_tokens=64)
        assert found["influence"][row].as_py() == pytest.approx(alone["influence"][0].as_py(), rel=1e-4)
    assert found["influence"].null_count == 3


def test_one_scorer_without_heads_needs_none(tiny_folder):
    found = raypipe.score(["one two three"] * 3, Perplexity(), model=str(tiny_folder), max_tokens=64, token_budget=64)
    assert len(set(found["perplexity"].to_pylist())) == 1
    assert "influence" not in found.column_names


def test_no_texts_give_no_rows(tiny_folder):
    found = raypipe.score([], Perplexity(), model=str(tiny_folder), max_tokens=64)
    assert (found.num_rows, found.column_names[-2:]) == (0, ["status", "reason"])


def test_heads_of_another_model_must_be_given_and_be_its(tiny_folder):
    with pytest.raises(ValueError, match="heads must be given for model"):
        raypipe.score(["one two"], model=str(tiny_folder))
    with pytest.raises(ValueError, match="within 2 layers x 4 heads"):
        raypipe.score(["one two"], model=str(tiny_folder), heads=[(99, 0)], max_tokens=64)


def test_import_raypipe_imports_nothing_heavy():
    heavy = "{'torch', 'transformers', 'ray', 'pyarrow', 'numpy', 'scipy'}"
    said = f"import sys, raypipe, raypipe.score; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_raypipe_lacks_is_named():
    with pytest.raises(AttributeError, match="module 'raypipe' has no attribute 'scores'"):
        _ = raypipe.scores
