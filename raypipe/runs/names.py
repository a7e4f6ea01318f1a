"""Names of stages: which may be given, and the nearest to one that isn't there."""

import difflib
import re
from collections.abc import Iterable

_STAGE_NAME = re.compile(r"\w[\w.-]*")


def checked_stage(name: str) -> str:
    """The name, if it is one of a folder right inside the run's.

    Raises
    ------
    ValueError
        If it isn't.
    """
    if not _STAGE_NAME.fullmatch(name):
        raise ValueError(f"a stage's name must have only letters, digits and . _ -, got {name!r}.")
    return name


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say behind the refusal of a name: the nearest of those that there are, or that there is none."""
    names = sorted(set(known))
    if not names:
        return "there is none"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
    others = f" (there are: {', '.join(names[:12])}{' ...' if len(names) > 12 else ''})" if len(names) > 1 else ""
    return f"the nearest is {near!r}{others}"
