"""The process that a group of steps runs in: it writes a line when a step begins and one when it ends.

It ends by itself when the process above is gone, whose end of a pipe is its standard input.
"""

import importlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def main(words: Sequence[str]) -> int:
    """Run the named steps in their order; the first that fails is the last."""
    module, group, lines, folder, size, *steps = words
    threading.Thread(target=_end_with_parent, daemon=True).start()
    make = importlib.import_module(module).steps
    known: dict[str, Callable[[], dict[str, Any]]] = make(group, Path(folder), rehearse=size == "tiny")
    with Path(lines).open("a") as file:
        for step in steps:
            _say(file, step=step, event="begins")
            begun = time.monotonic()
            try:
                told: dict[str, Any] = {"found": known[step]()}
            except Exception:  # whatever it is, it is what this step has to tell
                told = {"trouble": traceback.format_exc(limit=-4)[-1500:]}
            _say(file, step=step, event="ended", seconds=time.monotonic() - begun, **told)
            if "trouble" in told:
                return 1
    return 0


def _say(file: Any, **line: Any) -> None:
    file.write(json.dumps(line) + "\n")
    file.flush()


def _end_with_parent() -> None:
    os.read(0, 1)  # returns when the other end is closed, by a kill too; sys.stdin would hold up the interpreter's end
    os._exit(1)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # a device that is lost could hang the interpreter's own way out
