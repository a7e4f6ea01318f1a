"""SS3's values beside those of pyss3 itself, word by word and class by class; skips itself where pyss3 isn't."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from jobs.benchmark.oracles.pyss3_side import main as ask_pyss3
from tests.classify.word_tables import SETTINGS, STORED, counts_of, stored, texts_of

pytestmark = pytest.mark.parity
pytest.importorskip("pyss3")


def test_what_is_stored_is_what_pyss3_says(tmp_path: Path) -> None:
    sets = {
        name: {"counts": counts_of(name).tolist(), "settings": settings, "texts": texts_of(name)}
        for name, settings in SETTINGS.items()
    }
    (tmp_path / "asked.json").write_text(json.dumps({"sets": sets}))
    ask_pyss3(tmp_path / "asked.json", tmp_path / "answered.json")
    found = json.loads((tmp_path / "answered.json").read_text())
    for one in found["sets"].values():
        del one["seconds"]
        one["values"] = {name: [[float(f"{x:.11g}") for x in row] for row in of] for name, of in one["values"].items()}
    if os.environ.get("STORE"):
        STORED.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    for name, one in stored()["sets"].items():
        assert found["sets"][name]["said"] == one["said"]
        for value, of in one["values"].items():
            np.testing.assert_allclose(found["sets"][name]["values"][value], of, atol=1e-10)
