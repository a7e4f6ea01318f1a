"""Rules of foldrpp's own learner: python foldrpp_side.py ASKED.json ANSWERED.json.

ASKED holds tables: name -> cells (rows of numbers, texts and nulls) and y (whether a row is positive); ANSWERED gets by
name the rules as [[[column, op, value], ...], exceptions], how many a program of them prints, the predictions, and CPU
seconds of fitting and predicting. Ties among categories fall in the order of a Python set there, which differs from run
to run; here its sets are sorted. Imports nothing of raypipe.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main(asked: Path, answered: Path) -> None:
    """Answer what is asked."""
    tables = json.loads(asked.read_text())["tables"]
    found = {name: learnt(**table) for name, table in tables.items()}
    answered.write_text(json.dumps({"versions": {"foldrpp": version("foldrpp")}, "tables": found}))


def learnt(cells: list[list[Any]], y: list[bool]) -> dict[str, Any]:
    """What foldrpp makes of a table."""
    from foldrpp import foldrpp

    class Sorted(set):
        """A set that is gone through in order."""

        def __iter__(self) -> Any:
            return iter(sorted(super().__iter__()))

    foldrpp.set = Sorted
    names = [f"x{column}" for column in range(len(cells[0]))]
    rows = [
        {"label": int(of)} | {name: cell for name, cell in zip(names, row, strict=True) if cell is not None}
        for row, of in zip(cells, y, strict=True)
    ]
    model = foldrpp.Foldrpp([], names, "label", "1")
    start = time.process_time()
    model.fit(rows)
    fitted = time.process_time()
    said = model.predict(rows)
    seconds = {"fit": fitted - start, "predict": time.process_time() - fitted}
    rules = [as_lists(rule) for rule in model.rules]
    return {"rules": rules, "n_printed": len(model.asp()), "predicted": [bool(one) for one in said], "seconds": seconds}


def as_lists(rule: Any) -> list[Any]:
    """Conditions by the number of their column, and exceptions."""
    return [[[int(name[1:]), op, value] for name, op, value in rule[1]], [as_lists(one) for one in rule[2]]]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
