"""Every class of a role, found by what it has: sources are read, and only modules of what is found are imported."""

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Source(NamedTuple):
    """A class as its file has it."""

    module: str
    members: frozenset[str]
    bases: tuple[str, ...]


def classes_with(*members: str, without: tuple[str, ...] = (), under: str = "raypipe") -> list[type]:
    """The public classes under a package, protocols apart, that have all of these members, their own or a base's."""
    found = _sources()
    return [
        getattr(importlib.import_module(source.module), name.rpartition(".")[2])
        for name, source in sorted(found.items())
        if source.module.startswith(under)
        and "Protocol" not in source.bases
        and set(members) <= _members(name, found)
        and not set(without) & _members(name, found)
    ]


def _members(name: str, found: dict[str, Source]) -> frozenset[str]:
    source = found[name]
    above = [
        _members(other, found)
        for base in source.bases
        for other in found
        if other.rpartition(".")[2] == base and other != name
    ]
    return source.members.union(*above)


@cache
def _sources() -> dict[str, Source]:
    found = {}
    for path in sorted((ROOT / "raypipe").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = tuple(ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases)
                found[f"{module}.{node.name}"] = Source(module, frozenset(_names(node)), bases)
    return found


def _names(node: ast.ClassDef) -> list[str]:
    names = []
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            names.append(part.name)
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            names.append(part.target.id)
        elif isinstance(part, ast.Assign):
            names += [target.id for target in part.targets if isinstance(target, ast.Name)]
    return names


def head_of(kind: type) -> str:
    """The docstring of the file that a class is in."""
    return importlib.import_module(kind.__module__).__doc__ or ""
