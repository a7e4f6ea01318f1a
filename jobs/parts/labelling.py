"""Labelling functions as they are written in a file: the classes, and for each function its kind and its settings."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from raypipe.label.functions.graph import Graph
from raypipe.label.functions.keywords import Keywords
from raypipe.label.functions.learned import Learned
from raypipe.label.functions.model import Model
from raypipe.label.functions.nearest import Nearest
from raypipe.label.functions.prompt import Prompt
from raypipe.label.functions.regex import Regex
from raypipe.label.functions.similarity import Similarity
from raypipe.label.functions.sql import Sql
from raypipe.label.functions.threshold import Threshold
from raypipe.train.data.labels import class_name

from .settings import read_yaml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Function = Keywords | Regex | Sql | Threshold | Model | Similarity | Prompt | Learned | Nearest | Graph
"""The kinds of labelling functions; each goes by its name in lower case, and a new one is a word more here."""
_KINDS: dict[str, type] = {kind.__name__.lower(): kind for kind in get_args(Function)}
MAX_CLASSES = 127


@dataclass(frozen=True)
class Functions:
    """What a file of labelling functions says."""

    classes: tuple[str, ...]
    functions: tuple[Function, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the functions."""
        return tuple(function.name for function in self.functions)


def read_functions(path: str) -> Functions:
    """The classes and labelling functions of a YAML file; see the head of jobs/label_corpus.py.

    Raises
    ------
    OSError, ValueError
        If it can't be read, a function can't be what it says, or a class has no function that may vote for it; with
        the function's name.
    """
    given = read_yaml(path)
    if not isinstance(given, dict) or set(given) != {"classes", "functions"}:
        raise ValueError(f"{path} must map `classes` and `functions` to lists, got {_short(given)}.")
    classes = _classes(given["classes"], path)
    entries = given["functions"]
    if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
        raise ValueError(f"{path}: functions must be a list of mappings with kind and name, got {_short(entries)}.")
    found = tuple(_function(entry, number) for number, entry in enumerate(entries))
    names = [function.name for function in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: every function must have a name of its own, got {twice[0]!r} more than once.")
    for function in found:
        voted = _voted(function)
        if strange := [one for one in voted if one is not None and one not in classes]:
            raise ValueError(f"labelling function {function.name!r}: vote must be one of {list(classes)}, got "
                             f"{strange[0]!r}.")  # fmt: skip
        function.check()
    votes = {one for function in found for one in _voted(function)}
    if not any(_is_free(function) for function in found) and (without := [one for one in classes if one not in votes]):
        raise ValueError(f"{path}: no function votes for class {without[0]!r}; give it one, or leave it out.")
    return Functions(classes, found)


def _voted(function: Function) -> list[str | None]:
    """The classes that it names."""
    if isinstance(function, Prompt):
        return list(function.answers.values())
    if isinstance(function, Nearest | Graph):
        return list(function.keywords if isinstance(function, Nearest) else function.nodes)
    return [function.above, function.below] if isinstance(function, Learned) else [function.vote]


def _is_free(function: Function) -> bool:
    """Whether it may vote for classes that it doesn't name."""
    return function.vote is None and not isinstance(function, Learned | Prompt | Nearest | Graph)


def _classes(given: Any, path: str) -> tuple[str, ...]:
    names = [class_name(one) for one in given] if isinstance(given, list) else []
    if None in names or not 2 <= len(set(names)) == len(names) <= MAX_CLASSES:
        raise ValueError(f"{path}: classes must be a list of 2 to {MAX_CLASSES} different names, got {_short(given)}.")
    return tuple(name for name in names if name is not None)


def _function(entry: Mapping[str, Any], number: int) -> Function:
    known, called = list(_KINDS), repr(entry.get("name", f"number {number + 1}"))
    if (kind := entry.get("kind")) not in known:
        near = get_close_matches(str(kind), known, n=1)
        raise ValueError(f"labelling function {called}: kind must be one of {known}, got {kind!r}"
                         f"{f'; did you mean {near[0]!r}?' if near else '.'}")  # fmt: skip
    settings = {name: value for name, value in entry.items() if name != "kind"}
    found: Function = _made(_KINDS[kind], settings, called)
    return found


def _made(kind: "type[DataclassInstance]", given: dict[str, Any], called: str) -> Any:
    known = {field.name: field for field in fields(kind) if field.init}
    hints = get_type_hints(kind)
    for name in given:
        if name not in known:
            near = get_close_matches(name, list(known), n=1, cutoff=0.0)
            raise ValueError(f"labelling function {called}: there is no setting {name!r}; the nearest is {near[0]!r}.")
    for name, field in known.items():
        if field.default is MISSING and name not in given:
            raise ValueError(f"labelling function {called}: {name} must be given.")
    return kind(**{name: _value(hints[name], value, f"{called}: {name}") for name, value in given.items()})


def _value(hint: Any, value: Any, what: str) -> Any:
    """A value of YAML as a setting of this type; a class may be written as a number or a truth."""
    is_list = hint == tuple[str, ...]
    if is_list and isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return tuple(map(str, value))
    if hint == Mapping[str, tuple[str, ...]] and isinstance(value, Mapping):
        return {class_name(of) or str(of): _value(tuple[str, ...], words, f"{what} of {of!r}")
                for of, words in value.items()}  # fmt: skip
    if get_origin(hint) is Mapping and isinstance(value, Mapping):
        if what.endswith(": nodes"):
            return {class_name(of) or str(of): None if node is None else str(node) for of, node in value.items()}
        return {str(answer): None if one is None else class_name(one) for answer, one in value.items()}
    kinds = () if is_list else get_args(hint) or (hint,)
    if what.endswith((": vote", ": above", ": below")):
        return class_name(value)
    if bool in kinds and isinstance(value, bool):
        return value
    if int in kinds and isinstance(value, int) and not isinstance(value, bool):
        return value
    if float in kinds and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if str in kinds and isinstance(value, str):
        return value
    if get_origin(hint) is Mapping:
        kinds_of = {"keywords": "classes to lists of words", "nodes": "classes to nodes"}
        maps = kinds_of.get(what.rpartition(": ")[2], "answers to classes")
        raise ValueError(f"labelling function {what} must map {maps}, got {_short(value)}.")
    wanted = "a list of words" if is_list else "a number" if float in kinds else "text in quotes"
    raise ValueError(f"labelling function {what} must be {wanted}, got {_short(value)}.")


def _short(value: Any) -> str:
    return repr(value)[:200]
