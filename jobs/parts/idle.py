"""Settings that have no effect beside the others are refused by name: who gives one expects something of it."""

import dataclasses
from collections.abc import Iterable
from typing import Any


def refuse_idle(config: Any, names: Iterable[str], *, because: str) -> None:
    """See that these settings have their defaults.

    Raises
    ------
    ValueError
        With the names of those that don't, and why they do nothing.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    given = [name for name in names if getattr(config, name) != defaults[name]]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{flags} {'has' if len(given) == 1 else 'have'} no effect {because}; leave it out.")


def names_of(*parts: type) -> list[str]:
    """The settings of some parts."""
    return [field.name for part in parts for field in dataclasses.fields(part)]
