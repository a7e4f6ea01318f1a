"""Rows to scores: the forward pass, the statistics that share it, and the retrieval heads they neutralise.

The package can be called: `raypipe.score(texts)` is `raypipe.score.texts.score`.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The package as a function, so that the plainest use has the plainest name."""

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """See `raypipe.score.texts.score`."""
        from raypipe.score.texts import score

        return score(*args, **settings)


sys.modules[__name__].__class__ = _Callable
