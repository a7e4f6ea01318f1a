"""This machine, and the Ray that a job starts on it when it is given none; nothing here imports Ray."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

READERS_BESIDE = 2
"""CPUs of a machine left to readers; on this one logical ones, beyond its cores."""
OBJECT_STORE_BYTES = 1 << 30


def is_own() -> bool:
    """Whether Ray is still to be started, and on this machine: no cluster is named or joined."""
    joined = sys.modules.get("ray")
    return "RAY_ADDRESS" not in os.environ and not (joined and joined.is_initialized())


def options() -> dict[str, Any]:
    """How Ray is started here."""
    store = min(OBJECT_STORE_BYTES, psutil.virtual_memory().available // 8)
    return {
        "address": "local",  # not a cluster that happens to run on this machine
        "num_cpus": n_cpus(),
        "object_store_memory": store,
        "include_dashboard": False,
    }


def n_cpus() -> int:
    """CPUs that a Ray of our own has, readers' included."""
    return (os.cpu_count() or 1) + READERS_BESIDE


def n_gpus() -> int:
    """GPUs that torch can use here; it is only asked, which takes a second, where there is a driver."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return 0
    import torch

    return torch.cuda.device_count()


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Nothing on file descriptor 2, where Ray announces that it found its log level; errors are raised all the same."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
