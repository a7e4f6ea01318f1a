"""FOLD-SE at FOLD-R++'s settings beside foldrpp itself, rule by rule; skips itself where foldrpp isn't."""

import json
import os
from pathlib import Path

import pytest

from jobs.benchmark.oracles.foldrpp_side import main as ask_foldrpp
from tests.classify.mixed_tables import STORED, stored, tables

pytestmark = pytest.mark.parity
pytest.importorskip("foldrpp")


def test_what_is_stored_is_what_foldrpp_learns(tmp_path: Path) -> None:
    asked = {name: {"cells": X.tolist(), "y": y.tolist()} for name, (X, y) in tables().items()}
    (tmp_path / "asked.json").write_text(json.dumps({"tables": asked}))
    ask_foldrpp(tmp_path / "asked.json", tmp_path / "answered.json")
    found = json.loads((tmp_path / "answered.json").read_text())
    for table in found["tables"].values():
        del table["seconds"], table["predicted"]
    if os.environ.get("STORE"):
        STORED.parent.mkdir(exist_ok=True)
        STORED.write_text(json.dumps(found) + "\n")
    assert found["tables"] == stored()["tables"]
