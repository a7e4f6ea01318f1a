"""Values of words by pyss3's own formulas: python pyss3_side.py ASKED.json ANSWERED.json.

ASKED holds sets: name -> counts (classes x words), settings (s, l, p, and its modes sg_m and cv_m), texts to be
classified as rows of word numbers. ANSWERED gets by name lv, sg, sn, gv and cv of each class and word, the classes of
the texts, and seconds of the CPU for learning and for classifying. Imports nothing of raypipe.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

VALUES = ("lv", "sg", "sn", "gv", "cv")


def main(asked: Path, answered: Path) -> None:
    """Answer what is asked."""
    sets = json.loads(asked.read_text())["sets"]
    found = {name: learnt(**one) for name, one in sets.items()}
    answered.write_text(json.dumps({"versions": {"pyss3": version("pyss3")}, "sets": found}))


def learnt(counts: list[list[int]], settings: dict[str, Any], texts: list[list[int]]) -> dict[str, Any]:
    """What pyss3 makes of the counts."""
    from pyss3 import SS3, set_verbosity

    set_verbosity(0)
    model = SS3(**settings)
    documents = [" ".join(f"w{word}" for word, n in enumerate(row) for _ in range(int(n))) for row in counts]
    start = time.process_time()
    for of, document in enumerate(documents):
        model.learn(document, f"c{of}", prep=False, update=False)
    model.update_values()
    learning = time.process_time() - start
    words = [f"w{word}" for word in range(len(counts[0]))]
    values = {
        name: [[float(getattr(model, name)(word, f"c{of}")) for word in words] for of in range(len(counts))]
        for name in VALUES
    }
    asked = [" ".join(f"w{word}" for word in text) for text in texts]
    start = time.process_time()
    said = model.predict(asked, prep=False, leave_pbar=False) if asked else []
    seconds = {"fit": learning, "predict": time.process_time() - start}
    return {"values": values, "said": [int(name[1:]) for name in said], "seconds": seconds}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
