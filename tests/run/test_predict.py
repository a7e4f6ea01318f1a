from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.classify.logistic_regression import LogisticRegression
from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.fitting.sample import ColumnSample
from raypipe.fitting.vectors import NO_VECTOR, NOT_FINITE
from raypipe.models.fitted import save_fitted
from raypipe.run.predict import Predict
from raypipe.storage.folder import Folder


@pytest.fixture
def fitted(tmp_path: Path) -> Folder:
    folder = Folder(str(tmp_path / "fitted"))
    save_fitted(NearestCentroid().fit(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), ["a", "b", "c"]), folder)
    return folder


def through(op: Predict, table: pa.Table) -> tuple[pa.Table, pa.Table]:
    prepared = op.prepare(table)
    op.setup(n_threads=1)
    rows = np.concatenate([*op.batches(prepared), np.empty(0, int)]).astype(int)
    return prepared, op(prepared.take(rows))


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 2)])
def test_vectors_of_any_list_type_and_rows_without_one(fitted: Folder, kind: pa.DataType) -> None:
    vectors = pa.array([[0.1, 0.2], None, [3.5, 0.0], [float("nan"), 1.0], [1.0, 5.0]], kind)
    reasons = pa.array([None, None, None, None, "too long"], pa.string())
    prepared, found = through(Predict(NearestCentroid, fitted, ("e.v",)), pa.table({"e.v": vectors, "reason": reasons}))
    assert prepared["reason"].to_pylist() == [None, NO_VECTOR, None, NOT_FINITE, "too long"]
    assert found["label"].to_pylist() == ["a", "b"]
    assert found["familiarity"].to_pylist() == pytest.approx([-0.05, -0.25], rel=1e-5)
    assert found.schema.equals(Predict(NearestCentroid, fitted, ("e.v",)).adds)


def test_columns_of_numbers_stand_side_by_side_in_the_order_named(fitted: Folder) -> None:
    table = pa.table({"s.y": [0, 4, None], "s.x": [4.0, 0.0, 1.0], "reason": pa.array([None] * 3, pa.string())})
    prepared, found = through(Predict(NearestCentroid, fitted, ("s.x", "s.y")), table)
    assert found["label"].to_pylist() == ["b", "c"]
    assert prepared["reason"].to_pylist() == [None, None, NO_VECTOR]


def test_votes_are_columns_of_numbers_like_others(tmp_path: Path) -> None:
    """Three labelling functions, of which -1 abstains; the third is right where it says anything."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    votes = np.where(rng.random((300, 3)) < 0.5, -1, np.stack([rng.integers(0, 2, 300), rng.integers(0, 2, 300), y], 1))
    table = pa.table({
        **{f"votes.f{at}": pa.array(votes[:, at].astype(np.int8), pa.int8()) for at in range(3)},
        "id": [str(row) for row in range(300)], "text_hash": list(range(300)), "reason": pa.nulls(300, pa.string()),
    })  # fmt: skip
    columns = ("votes.f0", "votes.f1", "votes.f2")
    sample = ColumnSample(columns)
    sample.update(table)
    assert sample.X.tolist() == votes[sample.row_ids.astype(int)].tolist()
    folder = Folder(str(tmp_path / "votes"))
    save_fitted(LogisticRegression().fit(sample.X, y[sample.row_ids.astype(int)]), folder)
    _, found = through(Predict(LogisticRegression, folder, columns), table)
    says = votes[:, 2] >= 0
    assert (np.array(found["label"].to_pylist())[says & (y == 1)] == "1").all()
    assert "familiarity" not in found.column_names


def test_a_table_without_vectors_or_rows_is_one_of_reasons(fitted: Folder) -> None:
    table = pa.table({"e.v": pa.nulls(2, pa.list_(pa.float32())), "reason": pa.array([None, "empty"], pa.string())})
    op = Predict(NearestCentroid, fitted, ("e.v",))
    assert op.prepare(table)["reason"].to_pylist() == [NO_VECTOR, "empty"]
    assert len(op.prepare(table.slice(0, 0))) == 0


def test_vectors_of_several_lengths_are_refused(fitted: Folder) -> None:
    table = pa.table({"e.v": [[1.0], [1.0, 2.0]], "reason": pa.array([None, None], pa.string())})
    with pytest.raises(ValueError, match=r"vectors of a column must be of one length, got \[1, 2\]"):
        Predict(NearestCentroid, fitted, ("e.v",)).prepare(table)


def test_the_identity_follows_what_was_fitted(fitted: Folder) -> None:
    op = Predict(NearestCentroid, fitted, ("e.v",))
    before = op.identity()
    assert before == op.identity()
    save_fitted(NearestCentroid().fit(np.array([[0.0, 0.0], [4.0, 1.0]]), ["a", "b"]), fitted)
    assert op.identity() != before
    with pytest.raises(FileNotFoundError, match="holds no fitted estimator"):
        Predict(NearestCentroid, Folder(f"{fitted.uri}/no"), ("e.v",)).identity()
