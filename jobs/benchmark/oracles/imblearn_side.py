"""Rows made by imbalanced-learn's SMOTE: python imblearn_side.py ASKED.json ANSWERED.json.

ASKED holds sets: name -> X (rows of numbers), y, n_neighbors. ANSWERED gets by name how many rows there are of each
class afterwards, and seconds of the CPU. Imports nothing of raypipe.
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
    found = {name: filled(**one) for name, one in sets.items()}
    answered.write_text(json.dumps({"versions": {"imbalanced-learn": version("imbalanced-learn")}, "sets": found}))


def filled(X: list[list[float]], y: list[int], n_neighbors: int) -> dict[str, Any]:
    """What imbalanced-learn makes of the rows."""
    import numpy as np
    from imblearn.over_sampling import SMOTE

    rows, labels = np.array(X), np.array(y)
    start = time.process_time()
    _, found = SMOTE(k_neighbors=n_neighbors, random_state=0).fit_resample(rows, labels)
    seconds = {"fit": time.process_time() - start}
    return {"counts": np.bincount(found).tolist(), "seconds": seconds}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
