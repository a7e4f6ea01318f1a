"""Rules that a classifier has learnt from columns, written as labelling functions: text that other runs apply."""

from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

if TYPE_CHECKING:
    from raypipe.classify.fold_se import FoldSE
    from raypipe.classify.tsetlin import TsetlinMachine
    from raypipe.label.autows.bands import Bounds
    from raypipe.label.autows.rules import Rules

N_CLAUSES = 20
"""Of a Tsetlin machine, the most precise ones for a class."""


def of_fold_se(model: "FoldSE", columns: list[str]) -> str:
    """YAML for `label_corpus`: a function a class, which votes where the model would predict it; the program above."""
    functions = [
        {"kind": "sql", "name": str(of), "vote": str(of), "sql": model.condition(of, columns)} for of in model.classes_
    ]
    return _yaml(model.program(columns), model.classes_, functions)


def of_tsetlin(model: "TsetlinMachine", columns: list[str], X: np.ndarray, y: np.ndarray) -> str:
    """YAML for `label_corpus`: a function a clause that is for a class, with its figures on these rows [n, d], [n]."""
    found = [one for one in model.clauses(X, y, columns) if one["side"] == "for"]
    kept = [one for of in model.classes_ for one in [one for one in found if one["class"] == of][:N_CLAUSES]]
    said = [
        f"{one['class']} if {one['clause']} (of the rows learned: support {one['support']:.2f}, precision "
        f"{one['precision']:.2f})"
        for one in kept
    ]
    functions = [
        {"kind": "sql", "name": f"{one['class']} {number}", "vote": str(one["class"]), "sql": one["sql"]}
        for number, one in enumerate(kept, start=1)
    ]
    return _yaml(said, model.classes_, functions)


def of_autows(runs: "list[Rules]", classes: list[str], columns: list[str], method: str) -> tuple[str, list[str]]:
    """YAML for `label_corpus` of rules learned for two classes at once, or for each class against the rest; and lines.

    Raises
    ------
    ValueError
        If a class has no rule.
    """
    from raypipe.label.autows.bands import bounds_of

    functions: list[dict[str, Any]] = []
    for label, run in enumerate(runs):
        rest = classes[0] if len(classes) == 2 else None
        both: dict[int, str | None] = {0: rest, 1: classes[1] if len(classes) == 2 else classes[label]}
        for bounds in bounds_of(run):
            own = _function(bounds, both, columns)
            if "above" in own or "below" in own:
                functions.append({"kind": "learned", "name": f"{method} {len(functions) + 1}", **own})
    counts = {of: sum(of in (one.get("above"), one.get("below")) for one in functions) for of in classes}
    if without := [of for of, n in counts.items() if not n]:
        raise ValueError(
            f"{method} found no rule that votes for class {without[0]!r}; label more of its rows or give other columns."
        )
    said = [f"{of}: {n} rule{'s' if n > 1 else ''}" for of, n in counts.items()]
    return _yaml([f"learned by {method}", *said], np.array(classes), functions), said


def _function(bounds: "Bounds", names: dict[int, str | None], columns: list[str]) -> dict[str, Any]:
    """Its settings; a vote for the rest is none."""
    column, entry = (columns[0], bounds.entry) if len(columns) == 1 else (columns[bounds.entry], None)
    found: dict[str, Any] = {"column": column} if entry is None else {"column": column, "entry": entry}
    if bounds.above is not None and (above := names[bounds.above]) is not None:
        found |= {"above": above, "at_least": bounds.at_least}
    if bounds.below is not None and (below := names[bounds.below]) is not None:
        found |= {"below": below, "at_most": bounds.at_most}
    return found


def _yaml(said: list[str], classes: np.ndarray, functions: list[dict[str, Any]]) -> str:
    """The rules in words as comments, and the file."""
    words = [" ".join(line.split()) for line in said]  # a category may hold a line break
    given = {"classes": [str(one) for one in classes], "functions": functions}
    return "".join(f"# {line}\n" for line in words) + yaml.safe_dump(given, sort_keys=False, width=10_000)
