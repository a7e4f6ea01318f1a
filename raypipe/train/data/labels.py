"""Names of classes: one for each class however it is written, in the order in which their outputs are numbered."""

import math
import re
from collections.abc import Iterable

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
"""What is a number where it stands in a string; 007, 1e3 and +1 are text."""
TRUTH = {"false": "0", "true": "1"}


def class_name(value: object) -> str | None:
    """The one name of a class: `2` for 2, 2.0, "2" and " 2.0"; `true` for True and "true"; None for what is no class.

    Null, NaN, infinities, blanks, lists and objects are no classes.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value) if math.isfinite(value) else None
    if not isinstance(value, str) or not (text := value.strip()):
        return None
    if _NUMBER.fullmatch(text):
        return _number(float(text)) if "." in text or text == "-0" else text
    return text.lower() if text.lower() in TRUTH else text


def renamed_truths(names: Iterable[str]) -> dict[str, str]:
    """How true and false are to be called beside these names: 1 and 0 where every other one is a number."""
    names = set(names)
    numbers = {name for name in names if _NUMBER.fullmatch(name)}
    is_mixed = bool(numbers) and names - numbers <= TRUTH.keys()
    return {name: TRUTH[name] for name in names & TRUTH.keys()} if is_mixed else {}


def in_order(names: Iterable[str]) -> list[str]:
    """The names, each once: by their value where all of them are numbers, else as text."""
    unique = set(names)
    return sorted(unique, key=float) if all(map(_is_number, unique)) else sorted(unique)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)


def _is_number(name: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", name) is not None
