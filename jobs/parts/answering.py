"""Let a trained model answer after its training: here, or on a worker of the cluster."""

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from raypipe.run.one_task import Interrupted, on_a_worker
from raypipe.runs.signals import Stopped
from raypipe.storage.folder import Folder
from raypipe.storage.uris import local_path

from .training import TrainSettings

T = TypeVar("T")


def where_it_trained(
    training: TrainSettings, function: Callable[..., T], *arguments: Any, stopping: threading.Event
) -> T:
    """What a function makes of its arguments: in this process, or on a worker where several trained.

    Its last argument, `is_stopping`, is given to it.

    Raises
    ------
    Stopped
        If `stopping` was set.
    """
    if training.workers == 1:
        return function(*arguments, stopping.is_set)
    try:
        return on_a_worker(training.pool(), function, *arguments, is_stopping=stopping.is_set)
    except Interrupted as interrupted:
        raise Stopped(str(interrupted)) from interrupted


def start_device(n_threads: int | None) -> str:
    """This machine's first device, with so many threads of the CPU."""
    import torch

    if n_threads is not None:
        torch.set_num_threads(n_threads)
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def here(model: str | Folder) -> Iterator[str]:
    """A model as `open_model` takes it: of a folder at any URI the files are fetched to this machine."""
    if isinstance(model, str):
        yield model
        return
    if (path := local_path(model.uri)) is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="raypipe-model-") as local:
        for entry in model.files():
            (Path(local) / entry.path).write_bytes(model.read(entry.path))
        yield local
