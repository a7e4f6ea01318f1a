"""Rules that a classifier has learnt from columns, written as labelling functions: text that other runs apply."""

from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

if TYPE_CHECKING:
    from raypipe.classify.fold_se import FoldSE
    from raypipe.classify.tsetlin import TsetlinMachine

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


def _yaml(said: list[str], classes: np.ndarray, functions: list[dict[str, Any]]) -> str:
    """The rules in words as comments, and the file."""
    words = [" ".join(line.split()) for line in said]  # a category may hold a line break
    given = {"classes": [str(one) for one in classes], "functions": functions}
    return "".join(f"# {line}\n" for line in words) + yaml.safe_dump(given, sort_keys=False, width=10_000)
