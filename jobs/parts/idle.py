"""Settings that have no effect beside the others are refused by name: who gives one expects something of it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from raypipe.settings.nested import flat, settings_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def refuse_idle(part: "DataclassInstance", names: Iterable[str] | None = None, *, because: str) -> None:
    """See that these settings of a part have their defaults; None: all of them.

    Raises
    ------
    ValueError
        With the names of those that don't, and why they do nothing.
    """
    known, found = settings_of(type(part)), flat(part)
    given = [name for name in (known if names is None else names) if found[name] != known[name].default]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{flags} {'has' if len(given) == 1 else 'have'} no effect {because}; leave it out.")


def names_of(*parts: "type[DataclassInstance]") -> list[str]:
    """The settings of some parts."""
    return [name for part in parts for name in settings_of(part)]
