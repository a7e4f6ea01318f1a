"""Processes for what is trained on several, or killed: forked from one that has loaded the libraries, once for all."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

import torch.multiprocessing as mp

LOADED = [
    "tests.train.parts",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "deepspeed",
    "pytest",
]
"""Five seconds of a core for each process that would load them itself; none of them starts a thread."""


def run_workers(function: Callable[..., None], args: tuple[Any, ...], *, world: int) -> None:
    """Call function(rank, *args) in so many processes; the first exception in one is raised here."""
    _prepare()
    mp.start_processes(function, args=args, nprocs=world, join=True, start_method="forkserver")


def process(function: Callable[..., None], *args: Any) -> BaseProcess:
    """One process that calls a function, not yet started."""
    _prepare()
    return multiprocessing.get_context("forkserver").Process(target=function, args=args)


def _prepare() -> None:
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # or DeepSpeed looks for a device, with pages of words
    os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "error")
    multiprocessing.set_forkserver_preload(LOADED)
