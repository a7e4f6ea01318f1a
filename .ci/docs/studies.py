"""What studies made of the methods that they try, for the methods' pages: from the committed results, as they stand."""

import ast
import json
from collections import Counter
from pathlib import Path
from typing import Any

METHODS = ("classify", "evaluate.limit", "fitting", "label", "losses", "retrieve", "score", "train.choices")
"""Packages that hold methods; what else a study imports it only works with."""
MANY = 2
"""What more studies than these import is no method of theirs."""


def outcomes(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Module of a method -> the studies that try it: name, date, how many claims came out how, and the claims."""
    of_module: dict[str, list[dict[str, Any]]] = {}
    for file in sorted((root / "jobs/studies/results").glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        counts = Counter(claim["verdict"] for claim in found["claims"])
        said = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items(), reverse=True))
        study = {"name": found["study"], "date": found["date"][:10], "said": said, "claims": found["claims"]}
        for name in methods_of(root / "jobs/studies" / f"{file.stem.replace('-', '_')}.py"):
            of_module.setdefault(name, []).append(study)
    return {name: studies for name, studies in of_module.items() if len(studies) <= MANY}


def methods_of(study: Path) -> set[str]:
    """The modules of methods that a study imports."""
    nodes = [
        node for node in ast.walk(ast.parse(study.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    packages = tuple(f"raypipe.{name}." for name in METHODS)
    return {str(node.module) for node in nodes if str(node.module).startswith(packages)}
