"""What a stage's card compares before a job goes on: every field of its parts that can change a byte of its files.

A field counts unless it says otherwise where it is declared, so a new setting can't be forgotten:

    workers: int = field(default=1, metadata=RUNNING)
    model: str = field(metadata=counts_as(digests_of_model))
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

KEY = "raypipe.identity"
"""In a field's metadata: a function of the field's value that gives entries of the identity by name."""
Json = dict[str, Any]


def counts_as(entries: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Metadata of a field that counts by something else than its value: a model's name by the hash of its weights."""
    return {KEY: entries}


def _nothing(_: Any) -> Mapping[str, Any]:
    return {}


RUNNING: Mapping[str, Any] = counts_as(_nothing)
"""Metadata of a field that can't change a byte of a result, and may change at any time: workers, limits, intervals."""

BY_CONTENT: Mapping[str, Any] = counts_as(_nothing)
"""Metadata of a field that counts by what it leads to, which the stage finds and gives: files by their rows' hash."""


def identity_of(*parts: "DataclassInstance", **found: Any) -> Json:
    """The identity of a stage: the settings of its parts by name, those of parts in parts among them; and what was
    `found` of its inputs. As a card holds it.

    Raises
    ------
    ValueError
        If two give different values by one name.
    """
    identity: Json = {}
    for entries in (*map(_entries, parts), found):
        for name, value in dict(json.loads(json.dumps(entries))).items():
            if identity.setdefault(name, value) != value:
                raise ValueError(f"an identity has one value for {name!r}, got {identity[name]!r} and {value!r}.")
    return identity


def _entries(part: "DataclassInstance") -> Json:
    found: Json = {}
    for field in dataclasses.fields(part):
        if not field.init:
            continue
        value = getattr(part, field.name)
        if (entries := field.metadata.get(KEY)) is not None:
            found |= entries(value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            found |= _entries(value)
        else:
            found[field.name] = value
    return found
