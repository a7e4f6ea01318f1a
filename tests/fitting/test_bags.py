import numpy as np
import pyarrow as pa
import pytest

from raypipe.fitting.bags import BagSample


def table_of(bags, *, ids=None):
    names = ids or [f"n{at}" for at in range(len(bags))]
    lists = pa.array(bags, pa.large_list(pa.list_(pa.float32())))
    none = pa.array([None] * len(bags), pa.string())
    return pa.table({"id": names, "text_hash": pa.array(range(len(bags)), pa.int64()), "a.b": lists, "reason": none})


def test_of_large_bags_so_many_vectors_are_drawn_and_small_ones_stay_whole():
    bags = [[[float(at), float(row)] for at in range(n)] for row, n in enumerate([2, 5000, 1, 40])]
    found = BagSample("a.b", max_vectors=20)
    found.update(table_of(bags))
    sizes = {name: len(bag) for name, bag in zip(found.row_ids, found.bags, strict=True)}
    assert sizes == {"n0": 2, "n1": 20, "n2": 1, "n3": 20}
    assert dict(zip(found.row_ids, found.sizes, strict=True)) == {"n0": 2, "n1": 5000, "n2": 1, "n3": 40}
    of_large = found.bags[found.row_ids.index("n1")]
    assert set(of_large[:, 1]) == {1.0}
    assert (np.diff(of_large[:, 0]) > 0).all()
    assert of_large[:, 0].max() > 2500  # not the first ones
    other = BagSample("a.b", max_vectors=20, seed=1)
    other.update(table_of(bags))
    assert not np.array_equal(other.bags[other.row_ids.index("n1")], of_large)


def test_rows_without_a_whole_vector_are_counted_and_broken_vectors_left_out():
    found = BagSample("a.b", ids=frozenset(["n0", "n1", "n2", "n9"]))
    found.update(table_of([[[1.0, 2.0], None, [3.0, float("nan")]], [], None, [[5.0, 6.0]]]))
    assert (found.n_seen, found.n_without, found.row_ids) == (3, 2, ["n0"])
    assert found.bags[0].tolist() == [[1.0, 2.0]]


def test_what_holds_no_bags_is_refused():
    numbers = table_of([[[1.0]]]).set_column(2, "a.b", pa.array([1.0]))
    with pytest.raises(ValueError, match="must be of lists of vectors, got double"):
        BagSample("a.b").update(numbers)
    found = BagSample("a.b")
    found.update(table_of([[[1.0]]]))
    with pytest.raises(ValueError, match=r"vectors must be of one length, got \[1, 2\]"):
        found.update(table_of([[[1.0, 2.0]]]))
    with pytest.raises(ValueError, match="at least 1, got 0 and 256"):
        BagSample("a.b", n_bags=0)
