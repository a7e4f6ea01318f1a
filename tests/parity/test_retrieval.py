"""nDCG, recall and reciprocal rank beside those of ir-measures and ranx themselves; skips itself where they aren't."""

import json
import os
from pathlib import Path

import pytest

from jobs.benchmark.oracles.retrieval_side import main as ask_them
from tests.evaluate.stored_retrieval import STORED, asked

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:.*unsafe cast")]  # ranx compiles with numba
pytest.importorskip("ir_measures")
pytest.importorskip("ranx")


def test_what_is_stored_is_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "asked.json").write_text(json.dumps(asked()))
    ask_them(tmp_path / "asked.json", tmp_path / "answered.json")
    found = json.loads((tmp_path / "answered.json").read_text())
    if os.environ.get("STORE"):
        for of in found["measures"].values():
            for name, values in of.items():
                of[name] = {query: round(value, 9) for query, value in values.items()}
        STORED.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    stored = json.loads(STORED.read_text())["measures"]
    assert stored.keys() == found["measures"].keys()
    for program, of in stored.items():
        for name, values in of.items():
            assert found["measures"][program][name] == pytest.approx(values, abs=1e-8)
