"""The card, the versions, and the speed of a large matrix product in each number format."""

import platform
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import raypipe
from raypipe.lm.products import check_float8
from raypipe.train.loop.flops import measured_peak

DTYPES = ("bfloat16", "float32", "float8")
PACKAGES = ("torch", "transformers", "safetensors", "numpy", "pyarrow", "triton")


def steps(group: str, folder: Path, *, rehearse: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """The steps of this group."""
    return {
        "machine": partial(machine, rehearse=rehearse),
        **{f"peak-{dtype}": partial(peak, dtype) for dtype in DTYPES},
    }


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def machine(*, rehearse: bool) -> dict[str, Any]:
    """What the figures were taken on."""
    versions = {name: metadata.version(name) for name in PACKAGES if _is_installed(name)}
    return {
        "rehearsed": rehearse or not torch.cuda.is_available(),
        "card": _card(),
        "versions": {"python": platform.python_version(), "cuda": torch.version.cuda, **versions,
                     "raypipe": raypipe.__version__},
        "system": {"platform": sys.platform, "processor": platform.machine(), "threads": torch.get_num_threads()},
    }  # fmt: skip


def peak(dtype: str) -> dict[str, Any]:
    """FLOPs a second of a large product, the best of a few: what shares of the peak are shares of."""
    if dtype == "float8":
        check_float8(device())
    return {"flops_per_s": measured_peak(device(), dtype)}


def _card() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {"name": "CPU"}
    of = torch.cuda.get_device_properties(0)
    return {
        "name": of.name, "memory_gb": round(of.total_memory / 1e9, 1), "processors": of.multi_processor_count,
        "capability": f"{of.major}.{of.minor}", "cudnn": torch.backends.cudnn.version(),
    }  # fmt: skip


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
