"""Orders of epochs in which like examples stand together."""

import numpy as np
import pytest

from raypipe.contracts.rows import Document
from raypipe.train.data.clustered import ClusteredBatches, ClusteredOrder, clusters_of
from raypipe.train.data.loader import BatchLayout, ExampleLoader

RNG = np.random.default_rng(0)
GROUP = RNG.integers(0, 16, 512)
X = RNG.normal(size=(16, 12))[GROUP] + 0.6 * RNG.normal(size=(512, 12))
SIZES = ClusteredBatches(cluster_rows=32).sizes
ORDER = ClusteredOrder(clusters_of(X, SIZES, seed=0), 2, seed=3)


def similarity(order: np.ndarray, batch: int = 32) -> float:
    """Of the ten nearest other rows of a batch, on average: how hard its negatives are."""
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    found = []
    for rows in order.reshape(-1, batch):
        cosines = unit[rows] @ unit[rows].T
        np.fill_diagonal(cosines, -1)
        found.append(np.sort(cosines, axis=1)[:, -10:].mean())
    return float(np.mean(found))


def test_clusters_double_up_to_the_largest():
    assert SIZES == (2, 4, 8, 16, 32)
    assert ClusteredBatches(cluster_rows=24).sizes == (2, 4, 8, 16, 24)
    assert ClusteredBatches().sizes == ()


def test_each_row_is_in_each_epoch_once_and_batches_harden_as_clusters_grow():
    orders = [ORDER(epoch) for epoch in range(12)]
    assert all(np.array_equal(np.sort(order), np.arange(512)) for order in orders)
    hardness = [similarity(orders[epoch]) for epoch in (0, 2, 4, 6, 8, 10)]
    assert hardness == sorted(hardness)
    assert hardness[-1] > hardness[0] + 0.2


def test_clusters_stand_together_and_epochs_differ():
    of, order = ORDER.clusters[-1], ORDER(11)
    assert np.count_nonzero(np.diff(of[order])) + 1 == len(np.unique(of)) == 16
    assert not np.array_equal(order, ORDER(10))
    assert np.array_equal(order, ORDER(11))


def test_before_the_first_doubling_rows_are_permuted_as_without_clusters():
    examples = [Document(np.array([n, n]), domain="d", path="a", row=n) for n in range(512)]
    plain, ours = (
        ExampleLoader(examples, [], BatchLayout(0, 1, 32, 32), 3, lambda _: 1, order=order) for order in (None, ORDER)
    )
    assert plain.batch(0).digest == ours.batch(0).digest
    assert plain.batch(16 * 2).digest != ours.batch(16 * 2).digest  # the third epoch


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cluster_rows": 0}, "cluster_rows must be from 1 to the rows of a batch, 16, got 0"),
        ({"cluster_rows": 17}, "got 17"),
        ({"cluster_epochs": 0}, "cluster_epochs must be at least 1, got 0"),
    ],
)
def test_what_no_batch_can_hold_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ClusteredBatches(**settings).check(batch=16)
