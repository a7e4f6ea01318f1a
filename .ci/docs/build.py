"""The API page of every public module, from its docstrings, by pdoc: python .ci/docs/build.py FOLDER.

A job's page also says what its --help does. A warning is an error: a type that can't be read, a name that isn't there.
"""

import importlib
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pdoc.doc
import pdoc.render
import pdoc.search
from commands import helps
from docstrings import first_sentence, to_html
from studies import outcomes

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGE, JOBS = ROOT / "raypipe", ROOT / "jobs"
OTHERS = ("jobs.studies.", "jobs.benchmark.")
"""Modules that nobody calls: their RESULTS.md say what they are, and methods' pages what studies show."""


def build(output: Path) -> tuple[int, list[str]]:
    """Write the page of every public module, the index and what is searched: how many modules, and what pdoc warns of.

    Raises
    ------
    ImportError
        If a module can't be imported.
    """
    sys.path.insert(0, str(ROOT))  # in a clone jobs is a folder, where it is installed a part of raypipe
    names = [*public_modules(PACKAGE), *public_modules(JOBS)]
    modules = opened([name for name in names if not name.startswith(OTHERS)])
    pdoc.render.configure(docformat="markdown", show_source=False, template_directory=HERE)
    pdoc.render.env.filters |= {"to_markdown": str, "to_html": to_html, "first_sentence": first_sentence}
    pdoc.render.env.globals["outcomes"] = outcomes(ROOT)
    pdoc.render.env.globals["helps"] = helps()
    pdoc.search.to_html, pdoc.search.to_markdown = to_html, _as_it_is
    with warnings.catch_warnings(record=True) as found:  # what libraries say while they are loaded is theirs
        warnings.simplefilter("always")
        for name, module in modules.items():
            _write(output / f"{name.replace('.', '/')}.html", pdoc.render.html_module(module, modules))
        _write(output / "index.html", pdoc.render.html_index(modules))
        _write(output / "search.js", pdoc.render.search_index(modules))
    return len(modules), sorted({str(one.message) for one in found})


def opened(names: list[str]) -> dict[str, pdoc.doc.Module]:
    """The modules of these names, imported, with what pdoc would not find of them."""
    sys.modules["_typeshed"] = for_types = ModuleType("_typeshed")  # imported for type checkers, which bring it along
    for_types.DataclassInstance = type("DataclassInstance", (), {"__module__": "_typeshed"})
    modules = {name: pdoc.doc.Module(importlib.import_module(name)) for name in names}
    for name, module in modules.items():  # pdoc would leave out those that a package's `__all__` doesn't name
        module.submodules = [modules[other] for other in names if other.rpartition(".")[0] == name]
    package = sys.modules[PACKAGE.name]
    for name in package.__all__:
        setattr(package, name, getattr(package, name))  # it looks into __dict__, where what is made when asked isn't
    return modules


def public_modules(package: Path) -> list[str]:
    """The modules of a package that have no private name on their way, by name."""
    found = []
    for path in package.rglob("*.py"):
        module = path.parent if path.name == "__init__.py" else path.with_suffix("")
        parts = module.relative_to(package.parent).parts
        if not any(part.startswith("_") for part in parts):
            found.append(".".join(parts))
    return sorted(found)


def _as_it_is(docstring: str, *of: Any) -> str:
    return docstring


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    n, found = build(Path(sys.argv[1]))
    print(f"{n} modules: {sys.argv[1]}/index.html", *found, sep="\n")
    sys.exit(1 if found else 0)
