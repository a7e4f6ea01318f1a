"""raypipe chooses the data that language models are trained on, with small models and no labels.

    raypipe.score(texts)        texts -> a table of scores, in this process
    raypipe.embed(texts)        texts -> a table of vectors, in this process
    raypipe.open_run(uri)       the stages of a run as one table
    raypipe.read(uri)           the same, lazy: columns are chosen, then rows flow

None is imported before it is used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "embed", "open_run", "read", "score"]


def __getattr__(name: str) -> Any:
    if name in ("embed", "score"):
        return import_module(f"raypipe.{name}")  # the package, which can be called
    if name == "open_run":
        return import_module("raypipe.corpus.open_run").open_run
    if name == "read":
        return import_module("raypipe.corpus.lazy").read
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # what is offered where somebody presses Tab
