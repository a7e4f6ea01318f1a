"""What a run says of itself, step by step: files of JSON lines, TensorBoard where it is asked for.

A file ends where a checkpoint is written, so that after a restart each step stands in exactly one of them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from raypipe.storage.folder import Folder
from raypipe.storage.uris import local_path

INSTALL = "TensorBoard isn't installed; pip install 'raypipe[train]', or --no-tensorboard"


class Board(Protocol):
    """What is used of TensorBoard's writer."""

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """One point of a curve."""
        ...

    def flush(self) -> None:
        """Write what is buffered."""
        ...


@dataclass
class Journal:
    """The metrics of a run, written by its first worker."""

    folder: Folder
    open_board: Callable[[int], Board] | None = None
    """A board for the steps from this one on; opened when it is known which that is."""
    _lines: list[dict[str, Any]] = field(default_factory=list, init=False)
    _board: Board | None = field(default=None, init=False)

    def add(self, line: dict[str, Any]) -> None:
        """What is known of a step."""
        self._lines.append(line)
        if self._board is None:
            return
        for name, value in line.items():
            values = value.items() if isinstance(value, dict) else [("", value)]
            for part, number in values:
                if isinstance(number, int | float) and name != "step":
                    self._board.add_scalar(f"{name}/{part}" if part else name, number, line["step"])

    def close_segment(self) -> None:
        """Write the lines so far as a file named for its first step."""
        if self._board is not None:
            self._board.flush()
        if self._lines:
            content = "".join(json.dumps(line) + "\n" for line in self._lines)
            self.folder.write(f"{self._lines[0]['step']:08d}.jsonl", content.encode())
            self._lines = []

    def rewind(self, step: int) -> None:
        """Forget the steps from this one on: they are done again."""
        self._lines = []
        if self.open_board is not None:
            self._board = self.open_board(step)
        for entry in self.folder.files():
            if entry.path.endswith(".jsonl") and int(entry.path.removesuffix(".jsonl")) >= step:
                self.folder.delete(entry.path)


def read_journal(folder: Folder) -> list[dict[str, Any]]:
    """All lines, by rising step."""
    names = [entry.path for entry in folder.files() if entry.path.endswith(".jsonl")]
    return [json.loads(line) for name in names for line in folder.read(name).decode().splitlines()]


def busy_s(folder: Folder, *, n_workers: int) -> float:
    """Seconds that all workers together spent on the steps that are written down."""
    return n_workers * sum(float(line["step_s"]) for line in read_journal(folder))


def boards(folder: Folder) -> Callable[[int], Board]:
    """Opens a TensorBoard writer for a folder of this machine, whose readers pass over what was there from a step on.

    Raises
    ------
    ValueError
        If it isn't installed, or the folder isn't here.
    """
    path = local_path(folder.uri)
    if path is None:
        raise ValueError(f"TensorBoard writes to a folder of this machine, got {folder.uri}; use --no-tensorboard.")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(INSTALL) from error

    def opened(step: int) -> Board:
        """A writer; what a killed run has written from this step on isn't shown."""
        board: Board = SummaryWriter(path, purge_step=step)
        return board

    return opened
