"""Seed and threads of the tests that learn (marked `learns`), and what they say of their margins.

They must hold on any processor. By hand: RAYPIPE_TEST_SEED=2 RAYPIPE_TEST_THREADS=2 ATEN_CPU_CAPABILITY=avx2
pytest -m learns -s, and the same with ONEDNN_MAX_CPU_ISA lowered, shows each figure beside its bound.
"""

import os

SEED = int(os.environ.get("RAYPIPE_TEST_SEED", "0"))
THREADS = int(os.environ.get("RAYPIPE_TEST_THREADS", "1"))


def require(*, above: float | None = None, below: float | None = None, **figure: float) -> None:
    """The named figure lies beyond its bound."""
    ((name, value),) = figure.items()
    print(f"{name}: {value:.4f}, above {above}, below {below}")
    assert above is None or value > above
    assert below is None or value < below
