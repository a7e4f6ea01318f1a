"""Python as on a machine that has torch, transformers, safetensors, numpy and pyarrow with what they need, no more.

Put first on the path as `sitecustomize`, it hides every other package from each process that is started; our own
modules may import those five and the standard library only.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

OURS, THEIRS = {"raypipe", "jobs", "tests"}, {"torch", "transformers", "safetensors", "numpy", "pyarrow"}
NOT_NEEDED = {"rich", "typer", "pydantic"}
"""Of what the five ask for, only their command lines and servers use these."""


def modules_of(packages):
    """Top-level modules of packages and all that they require, extras left out."""
    found, ahead = set(), list(packages)
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found.add(name)
        for line in metadata.requires(name) or [] if _is_there(name) else []:
            if "extra ==" not in line:
                ahead.append(_plain(re.match(r"[\w.-]+", line).group()))
    by_module = metadata.packages_distributions()
    return {module for module, owners in by_module.items() if {*map(_plain, owners)} & found}


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_there(name):
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


class OnlyThese:
    """A finder that finds what the one behind it does, but for what is hidden."""

    def __init__(self, behind, allowed):
        self.behind, self.allowed = behind, allowed

    def __getattr__(self, name):
        return getattr(self.behind, name)

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if path is None and top not in self.allowed and not top.startswith("_sysconfigdata"):
            return None
        spec = self.behind.find_spec(name, path, target)
        if path is None and spec is not None and top not in THEIRS | OURS | sys.stdlib_module_names:
            for_whom = _importer()
            if for_whom.partition(".")[0] in OURS:
                raise ImportError(f"{for_whom} must do without {top}.")
        return spec


def _importer():
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("importlib", "sitecustomize")):
        frame = frame.f_back
    return frame.f_globals.get("__name__", "") if frame is not None else ""


def hide():
    allowed = (modules_of(THEIRS) - NOT_NEEDED) | OURS | sys.stdlib_module_names
    sys.meta_path[:] = [
        OnlyThese(finder, allowed) if "Path" in str(finder) or "editable" in str(finder) else finder
        for finder in sys.meta_path
    ]


if Path(__file__).stem == "sitecustomize":
    hide()
