import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.describe_corpus import Config, main

TEXTS = ["The cat sat on the mat.\n" * 4, "", "Write to a.b@c.org, please, and say that you have it with you."]


def test_wrong_settings_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parts must be some of gopher"):
        main(Config(corpus=(str(tmp_path),), output=str(tmp_path / "run"), parts=()))
    with pytest.raises(FileNotFoundError):
        main(Config(corpus=(str(tmp_path / "none"),), output=str(tmp_path / "run")))
    assert not (tmp_path / "run/columns").exists()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.timeout(180)
def test_a_corpus_is_described_once_and_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({"text": text}) for text in TEXTS * 20]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    config = Config(corpus=(str(tmp_path / "a.jsonl"),), output=str(tmp_path / "run"), shard_bytes=900, max_workers=1)
    assert main(config) == 0
    assert "40 of 60 rows are described in " in capsys.readouterr().out
    files = sorted((tmp_path / "run/columns").glob("*.parquet"))
    assert len(files) > 1
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    assert [row["n_words"] for row in rows] == [24, None, 12] * 20
    assert [row["n_emails"] for row in rows[:3]] == [0, None, 1]
    assert rows[0]["duplicate_lines"] == pytest.approx(3 / 5)
    stamps = [path.stat().st_mtime_ns for path in files]
    assert main(config) == 0
    assert [path.stat().st_mtime_ns for path in files] == stamps
