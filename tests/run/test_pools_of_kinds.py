import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.run.stages import assert_scored, write_corpus


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_machines_without_gpus_read_for_those_that_score(tmp_path: Path) -> None:
    texts = write_corpus(tmp_path / "corpus", n_files=4)
    (tmp_path / "nodes").mkdir()
    with tempfile.TemporaryDirectory(prefix="ray-") as home:  # sockets want a short path
        environment = {**os.environ, "RAY_TMPDIR": home, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
        environment.pop("RAY_ADDRESS", None)
        done = subprocess.run(
            [sys.executable, "-m", "tests.run.placed_op", str(tmp_path)],
            env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    kinds_of = {"read": set(), "scored": set()}
    for path in (tmp_path / "nodes").iterdir():
        what, node = path.name.split("-", 1)
        kinds_of[what].add(said["kinds"][node])
    assert kinds_of == {"read": {"cpu"}, "scored": {"gpu"}}
    assert re.fullmatch(
        r"1 to 2 workers of 1 CPUs and 1 GPUs; room for 2 on \S+; \S+, \S+ only read\.", said["placing"]
    )
    assert "scores: 1 to 2 workers" in done.stderr  # before the first shard
    assert_scored(tmp_path, texts)
