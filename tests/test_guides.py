"""The code of the guides runs as it stands, one block after another."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GUIDES = ["raypipe/README.md"]


@pytest.fixture
def _demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run as `make demo` leaves it, of four rows."""
    keys = {"id": ["a", "b", "c", "d"], "text_hash": [1, 2, 3, 4]}
    scores = {"domain": ["web", "web", "code", "code"], "influence": [0.1, 0.2, 0.3, 0.4]}
    stages = {"scores": scores, "selection": {"domain": scores["domain"], "selected": [False, True, False, True]}}
    for stage, columns in stages.items():
        (tmp_path / "runs/demo" / stage).mkdir(parents=True)
        name = "a.jsonl-0123abcd-000000000000000.parquet"
        pq.write_table(pa.table({**keys, **columns}), tmp_path / "runs/demo" / stage / name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_demo")
@pytest.mark.parametrize("guide", GUIDES)
def test_every_block_of_a_guide_runs(guide: str) -> None:
    blocks, names = BLOCK.findall((ROOT / guide).read_text()), {"__name__": "guide"}
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, guide, "exec"), names)
    assert names["best"]["id"].tolist() == ["b", "d"]
    assert names["by_domain"].to_pylist() == [
        {"domain": "code", "n": 1, "influence": 0.4}, {"domain": "web", "n": 1, "influence": 0.2},
    ]  # fmt: skip


def test_the_workflow_runs_what_ci_runs() -> None:
    assert "- run: .ci/run\n" in (ROOT / ".github/workflows/ci.yml").read_text()
    assert (ROOT / ".ci/run").stat().st_mode & 0o100
