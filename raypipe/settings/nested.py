"""A job's settings by name: a dataclass whose fields are settings, or parts, which are such dataclasses again.

A function is handed the part it needs. On the command line, in YAML, in run.json and in a space to search, a setting
goes by its own name alone, so no two of a job may share one.
"""

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")


@dataclass(frozen=True)
class Setting:
    """One setting of a job."""

    name: str
    path: tuple[str, ...]
    """Names of the parts that it lies in, from the outside in."""
    hint: Any
    """Its type."""
    default: Any
    """MISSING: it must be given."""


def settings_of(kind: type) -> Mapping[str, Setting]:
    """The settings of a job or of a part by name, in their order.

    Raises
    ------
    TypeError
        If two have the same name.
    """
    return _settings_of(kind)


@lru_cache
def _settings_of(kind: type) -> Mapping[str, Setting]:
    found: dict[str, Setting] = {}
    for setting in _walk(kind, (), MISSING):
        if setting.name in found:
            ways = (".".join((*one.path, one.name)) for one in (found[setting.name], setting))
            raise TypeError(f"{kind.__qualname__} has two settings called {setting.name!r}: {' and '.join(ways)}.")
        found[setting.name] = setting
    return found


def _walk(kind: type, path: tuple[str, ...], instance: Any) -> Iterator[Setting]:
    """Depth first; `instance`: the part that the one above has for a default."""
    assert dataclasses.is_dataclass(kind), kind
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        default = getattr(instance, field.name) if instance is not MISSING else _default(field)
        if is_part(hints[field.name]):
            yield from _walk(hints[field.name], (*path, field.name), default)
        else:
            yield Setting(field.name, path, hints[field.name], default)


def is_part(hint: Any) -> bool:
    """Whether a field of this type is a part, not a setting."""
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def flat(config: "DataclassInstance") -> dict[str, Any]:
    """Every setting by its name."""
    return {name: value_of(config, setting) for name, setting in settings_of(type(config)).items()}


def value_of(config: "DataclassInstance", setting: Setting) -> Any:
    """What a setting is."""
    part = config
    for name in setting.path:
        part = getattr(part, name)
    return getattr(part, setting.name)


def built(kind: type[C], **values: Any) -> C:
    """A job's settings from those that are given by name; the others have their defaults.

    Raises
    ------
    TypeError
        If there is no such setting, with the nearest; or one that must be given isn't.
    """
    known = settings_of(kind)
    _check_names(values, known, kind)
    if lacking := [name for name, setting in known.items() if setting.default is MISSING and name not in values]:
        raise TypeError(f"{kind.__qualname__} needs {', '.join(lacking)}.")
    return _assembled(kind, {name: values.get(name, setting.default) for name, setting in known.items()})


def changed(config: C, **values: Any) -> C:
    """The same settings with others in the place of those that are given by name.

    Raises
    ------
    TypeError
        If there is no such setting, with the nearest.
    """
    _check_names(values, settings_of(type(config)), type(config))
    return _assembled(type(config), {**flat(config), **values})


def _check_names(values: Mapping[str, Any], known: Mapping[str, Setting], kind: type) -> None:
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
            raise TypeError(f"{kind.__qualname__} has no setting {name!r}; the nearest is {', '.join(near)!r}.")


def _assembled(kind: type[C], values: Mapping[str, Any]) -> C:
    hints = get_type_hints(kind)
    own = [field.name for field in dataclasses.fields(kind) if field.init]
    return kind(**{name: _assembled(hints[name], values) if is_part(hints[name]) else values[name] for name in own})
