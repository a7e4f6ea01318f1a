"""The nearest name to one that isn't there."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say behind the refusal of a name: the nearest of those that there are, or that there is none."""
    names = sorted(set(known))
    if not names:
        return "there is none"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
    others = f" (there are: {', '.join(names[:12])}{' ...' if len(names) > 12 else ''})" if len(names) > 1 else ""
    return f"the nearest is {near!r}{others}"
