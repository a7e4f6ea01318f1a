"""The votes of several functions on rows, and the labels that a label model makes of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.contracts.parts import apply
from raypipe.label.dawid_skene import DawidSkene
from raypipe.label.functions.cast_votes import BATCH_ROWS, CastVotes
from raypipe.label.functions.keywords import Keywords
from raypipe.label.functions.sql import Sql
from raypipe.label.labels import LabelRows
from raypipe.models.fitted import save_fitted
from raypipe.storage.folder import Folder


def rows(texts: list[str | None]) -> pa.Table:
    return pa.table({
        "text": pa.array(texts, pa.large_string()),
        "reason": pa.array([None if text else "empty" for text in texts], pa.string()),
    })  # fmt: skip


def test_each_function_has_its_place_and_what_fails_is_said_beside_the_row() -> None:
    functions = (
        Keywords("good", "for", ("good",)),
        Sql("number", "CASE WHEN CAST(text AS INT) > 1 THEN 'against' END"),
        Sql("other", "CASE WHEN length(text) = 1 THEN 'abroad' END"),
    )
    op = CastVotes(functions, ("against", "for"))
    found = apply(op, rows(["good", None, "7", "1"]))
    assert found["votes"].to_pylist() == [[1, -1, -1], None, [-1, 0, -1], [-1, -1, -1]]
    assert found["failed"].to_pylist() == [[1], None, [2], [2]]
    assert "Could not convert" in found["failures"].to_pylist()[0][0]
    assert found["failures"].to_pylist()[2] == ["'abroad' is no class"]
    assert found["reason"].to_pylist() == [None, "empty", None, None]


@pytest.mark.slow
def test_a_rows_votes_do_not_depend_on_the_rows_beside_it() -> None:
    op = CastVotes(
        (Keywords("even", "for", ("even",)), Sql("cast", "CAST(text AS INT) > 1", vote="for")), ("no", "for")
    )
    texts = [("even" if n % 2 else "odd") if n % 7 else str(n) for n in range(BATCH_ROWS + 30)]
    whole = apply(op, rows(texts))
    assert whole.slice(0, 20).equals(apply(op, rows(texts[:20])))
    assert whole.slice(BATCH_ROWS).equals(apply(op, rows(texts[BATCH_ROWS:])))


def test_labels_are_the_models_and_an_uncovered_row_has_the_prior(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    votes = rng.integers(-1, 2, (50, 4)).astype(np.int8)
    votes[3] = -1
    votes[3, 1] = 1  # of a function that isn't kept
    kept = (0, 2, 3)
    model = DawidSkene().fit(votes[:, kept])
    save_fitted(model, Folder(str(tmp_path)))
    op = LabelRows(DawidSkene, Folder(str(tmp_path)), "votes.votes", ("no", "yes"), kept)
    op.setup(n_threads=1)
    lists = pa.array([*votes.tolist(), None], pa.list_(pa.int8()))
    found = apply(op, pa.table({"votes.votes": lists, "reason": pa.array([None] * 50 + ["empty"], pa.string())}))
    probabilities = np.array(found["probabilities"].to_pylist()[:50])
    np.testing.assert_allclose(probabilities, model.predict_proba(votes[:, kept]), atol=1e-6)
    np.testing.assert_allclose(probabilities[3], model.prior_, atol=1e-6)
    best = [("no", "yes")[at] for at in probabilities.argmax(axis=1)]
    covered = (votes[:, kept] >= 0).any(axis=1)
    assert found["label"].to_pylist() == [*(one if has else None for one, has in zip(best, covered, strict=True)), None]
    assert found["covered"].to_pylist()[:50] == covered.tolist()
    assert found["reason"].to_pylist()[50] == "empty"
