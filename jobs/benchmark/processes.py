"""Processes for one measurement each, that end when the benchmark does, however it ends."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
LOOK_S = 0.5


@contextmanager
def fresh_process(**settings: Any) -> Iterator[ProcessPoolExecutor]:
    """One process that finds no threads, caches or memory of another; killed if the block is left by an exception."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, context, initializer=_end_with, initargs=(os.getpid(),), **settings)
    try:
        yield pool
    except BaseException:
        for child in multiprocessing.active_children():  # it may be in the middle of a minute's work
            child.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """A call in a fresh process."""
    with fresh_process() as process:
        return process.submit(function, *arguments).result()


def _end_with(parent: int) -> None:
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """A benchmark that was killed can't tell: then another process is this one's parent."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)
