"""No module of the project leads back to itself by its imports, those for types and those inside functions included."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def modules() -> dict[str, Path]:
    """Every module by name, a package by its own."""
    paths = [path.relative_to(ROOT) for top in ("raypipe", "jobs") for path in (ROOT / top).rglob("*.py")]
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): ROOT / path for path in paths}


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The project's modules that one imports."""
    found: set[str] = set()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            whole = (f"{source}.{alias.name}" for alias in node.names)
            found |= {module if module in known else source for module in whole}
    return (found & set(known)) - {name}


def test_imports_make_no_circle() -> None:
    known = modules()
    graph = {name: imported(name, path, known) for name, path in known.items()}
    assert len(graph) > 300  # it does look
    assert {"raypipe.score.forward_pass"} < graph["raypipe.score.proxy"]
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names them
