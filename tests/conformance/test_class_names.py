"""A public class name of the project stands for one thing; only a job's `Config` is one of many."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


def defined(*roots: str) -> dict[str, list[str]]:
    """Where each public class of these packages is defined."""
    found = defaultdict(list)
    for path in sorted(path for root in roots for path in (ROOT / root).rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(str(path.relative_to(ROOT)))
    return dict(found)


def test_no_class_name_stands_for_two_things() -> None:
    found = defined("raypipe", "jobs")
    assert {name: places for name, places in found.items() if len(places) > 1 and name != "Config"} == {}
    assert len(found["Config"]) > 10  # it does look
