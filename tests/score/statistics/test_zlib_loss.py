import numpy as np

from raypipe.score.statistics.zlib_loss import ZlibLoss
from raypipe.score.text import zlib_bytes


def test_it_is_the_log_probability_over_the_compressed_size():
    found = ZlibLoss()({"nll": np.array([1, 3, 2], np.float32), "zlib_bytes": np.array([10, 20])}, np.array([2, 1]))
    assert found["zlib_loss"].tolist() == [-0.2, -0.1]
    assert found["loss"].tolist() == [2.0, 2.0]


def test_of_two_texts_as_likely_the_one_that_compresses_worse_is_the_more_familiar():
    """What it is for: repetition is likely to any model, so it says nothing of having been seen."""
    sizes = np.array([zlib_bytes(b"the same again " * 20), zlib_bytes(bytes(range(32, 126)) * 3)])
    found = ZlibLoss()({"nll": np.full(2, 1.5, np.float32), "zlib_bytes": sizes}, np.array([1, 1]))["zlib_loss"]
    assert found[1] > found[0]
