"""Clauses of pyTsetlinMachine's own learner: python tsetlin_side.py ASKED.json ANSWERED.json.

ASKED holds sets: name -> bits to learn (rows of 0 and 1), y (0 to k - 1), bits to tell, settings (n_clauses, T, s,
n_epochs). ANSWERED gets by name the literals that each clause of each class includes (bits, then their negations), the
classes told, and seconds of the CPU for fitting and predicting. Imports nothing of raypipe.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main(asked: Path, answered: Path) -> None:
    """Answer what is asked."""
    sets = json.loads(asked.read_text())["sets"]
    found = {name: learnt(**one) for name, one in sets.items()}
    answered.write_text(json.dumps({"versions": {"pyTsetlinMachine": version("pyTsetlinMachine")}, "sets": found}))


def learnt(bits: list[list[int]], y: list[int], told: list[list[int]], settings: dict[str, Any]) -> dict[str, Any]:
    """What pyTsetlinMachine makes of the rows."""
    import numpy as np
    from pyTsetlinMachine.tm import MultiClassTsetlinMachine

    X, labels, X_told = (np.array(one, np.int32) for one in (bits, y, told))
    model = MultiClassTsetlinMachine(settings["n_clauses"], settings["T"], settings["s"])
    start = time.process_time()
    model.fit(X, labels, epochs=settings["n_epochs"])
    fitted = time.process_time()
    said = model.predict(X_told)
    seconds = {"fit": fitted - start, "predict": time.process_time() - fitted}
    included = [
        [
            [literal for literal in range(2 * X.shape[1]) if model.ta_action(of, clause, literal)]
            for clause in range(settings["n_clauses"])
        ]
        for of in range(int(labels.max()) + 1)
    ]
    return {"included": included, "said": [int(one) for one in said], "seconds": seconds}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
