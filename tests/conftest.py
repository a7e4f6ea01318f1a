import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for all tests that don't break it: six logical CPUs, a small store, workers that can import tests."""
    import ray

    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ.pop("RAY_ADDRESS", None)
    os.environ["PYTHONPATH"] = str(ROOT)  # inherited by workers
    ray.init(num_cpus=6, object_store_memory=150 << 20, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
