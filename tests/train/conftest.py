"""One thread for the tests of training: tiny products on a busy machine are slower with two."""

import pytest
import torch

from tests.learning import THREADS


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)
