"""Rows to vectors: the encoder as an Op, how texts are cut for it, and how vectors are stored.

The package can be called: `raypipe.embed(texts)` is `raypipe.embed.texts.embed`.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The package as a function, so that the plainest use has the plainest name."""

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """See `raypipe.embed.texts.embed`."""
        from raypipe.embed.texts import embed

        return embed(*args, **settings)


sys.modules[__name__].__class__ = _Callable
