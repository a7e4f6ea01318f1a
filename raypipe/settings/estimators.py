"""An estimator's settings from words NAME=VALUE, checked against its signature by name and type."""

import difflib
import inspect
import types
from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints


class HasSettings(Protocol):
    """`__init__` takes annotated, keyword-only settings, each with a default."""

    def get_params(self, deep: bool = True) -> Any:
        """Them."""
        ...


E = TypeVar("E", bound=HasSettings)
_WORDS = {"true": True, "yes": True, "false": False, "no": False}


def made_with(kind: type[E], words: Sequence[str]) -> E:
    """An estimator with the settings of words such as `C=0.1`; the others have their defaults.

    Numbers, texts, true or false, one of a few words, `none` where that may be.

    Raises
    ------
    ValueError
        If a word isn't NAME=VALUE, its setting isn't there or is given twice, or the value is of another type.
    """
    hints = get_type_hints(kind.__init__)
    known = [name for name in inspect.signature(kind).parameters if name in hints]
    given: dict[str, Any] = {}
    for word in words:
        name, is_there, value = word.partition("=")
        if not is_there:
            raise ValueError(f"a setting of {kind.__name__} must be given as NAME=VALUE, got {word!r}.")
        if name not in known:
            raise ValueError(f"{kind.__name__} has no setting {name!r}; {_nearest(name, known)}.")
        if name in given:
            raise ValueError(f"{kind.__name__}'s setting {name} may be given once, got {word!r} too.")
        try:
            given[name] = _typed(value, hints[name])
        except ValueError:
            raise ValueError(f"{kind.__name__}'s setting {name} must be {_said(hints[name])}, got {value!r}.") from None
    return kind(**given)


def _nearest(name: str, known: list[str]) -> str:
    if not known:
        return "it has none"
    return f"the nearest of {', '.join(known)} is {difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]!r}"


def _typed(value: str, hint: Any) -> Any:
    """A word as a value of a type; ValueError if it is none."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _first_of(value, get_args(hint))
    if origin is Literal:
        return _one_of(value, get_args(hint))
    if hint is types.NoneType:
        return _one_of(value.lower(), (None,), {"none": None})
    if hint is bool:
        return _one_of(value.lower(), (True, False), _WORDS)
    if hint in (int, float, str):
        return hint(value)
    raise ValueError(f"no word can be a {hint}")


def _first_of(value: str, hints: tuple[Any, ...]) -> Any:
    """`none` before texts, whole numbers before others: a union takes the narrowest type that the word is of."""
    order = (types.NoneType, bool, int, float)
    for hint in sorted(hints, key=lambda of: order.index(of) if of in order else len(order)):
        try:
            return _typed(value, hint)
        except ValueError:
            continue
    raise ValueError(value)


def _one_of(value: str, allowed: tuple[Any, ...], words: dict[str, Any] | None = None) -> Any:
    found = {str(one): one for one in allowed} if words is None else words
    if value not in found:
        raise ValueError(value)
    return found[value]


def _said(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_said(one) for one in get_args(hint))
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    said = {int: "a whole number", float: "a number", bool: "true or false", types.NoneType: "none", str: "a text"}
    return said.get(hint, f"what only code can give ({hint})")
