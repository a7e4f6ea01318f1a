"""Label models of others: python label_side.py ASKED.json ANSWERED.json.

ASKED holds sets: name -> votes (rows of class numbers, -1 abstains), n_classes, epochs. ANSWERED gets by name the class
probabilities of snorkel's label model, and those of crowd-kit's Dawid-Skene after so many steps (null where a set asks
for none: `steps`). Imports nothing of raypipe.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main(asked: Path, answered: Path) -> None:
    """Answer what is asked."""
    sets = json.loads(asked.read_text())["sets"]
    versions = {name: version(name) for name in ("snorkel", "crowd-kit")}
    found = {name: answers(**one) for name, one in sets.items()}
    answered.write_text(json.dumps({"versions": versions, "sets": found}))


def answers(
    votes: list[list[int]], n_classes: int, epochs: int = 100, steps: int | None = None
) -> dict[str, list[list[float]] | None]:
    """Probabilities of the rows by both."""
    return {
        "snorkel": of_snorkel(votes, n_classes, epochs),
        "crowd-kit": None if steps is None else of_crowd_kit(votes, n_classes, steps),
    }


def of_snorkel(votes: list[list[int]], n_classes: int, epochs: int) -> list[list[float]]:
    """Its label model with its own defaults, seed 0."""
    import numpy as np
    from snorkel.labeling.model import LabelModel

    model = LabelModel(cardinality=n_classes, verbose=False)
    model.fit(np.array(votes), n_epochs=epochs, seed=0, progress_bar=False)
    found: list[list[float]] = model.predict_proba(np.array(votes)).tolist()
    return found


def of_crowd_kit(votes: list[list[int]], n_classes: int, steps: int) -> list[list[float]]:
    """Its Dawid-Skene; a row that nobody voted on has zeros."""
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    said = [(row, at, vote) for row, of in enumerate(votes) for at, vote in enumerate(of) if vote >= 0]
    table = pd.DataFrame(said, columns=["task", "worker", "label"])
    found: Any = DawidSkene(n_iter=steps, tol=0).fit_predict_proba(table)
    found = found.reindex(index=range(len(votes)), columns=range(n_classes)).fillna(0.0)
    rows: list[list[float]] = found.to_numpy().tolist()
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
