import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.decontaminate import Config, main

QUESTION = "how many of the apples that she bought on monday did she eat before the end of the week"


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_wrong_benchmarks_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    corpus = write(tmp_path / "a.jsonl", [{"text": "some words"}])
    short = write(tmp_path / "short.jsonl", [{"question": "Why?"}])
    config = {"corpus": (corpus,), "output": str(tmp_path / "run")}
    with pytest.raises(ValueError, match="must have texts of 8 words or more"):
        main(Config(**config, benchmarks=(short,)))
    with pytest.raises(ValueError, match="min_words must be between 1 and n, got 8 and 5"):
        main(Config(**config, benchmarks=(short,), n=5))
    assert not (tmp_path / "run/decontamination").exists()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.timeout(180)
def test_planted_questions_are_found_in_one_pass_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"document {row} of words without a question in it, and some more of them" for row in range(60)]
    for row in (7, 31):
        texts[row] += f" {QUESTION}?"
    corpus = write(tmp_path / "a.jsonl", [{"n": row, "text": text} for row, text in enumerate(texts)])
    asked = write(tmp_path / "gsm.jsonl", [{"id": "g1", "question": QUESTION, "answer": "5"}, {"question": "Why?"}])
    config = Config(corpus=(corpus,), benchmarks=(asked,), output=str(tmp_path / "run"), shard_bytes=900, id_column="n")
    assert main(config) == 0
    assert "60 rows of the corpus; with a run in common: 2 with gsm." in capsys.readouterr().out
    stage = tmp_path / "run/decontamination"
    files = sorted(stage.glob("*.parquet"))
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    found = {row["id"]: (row["benchmark"], row["ngram"]) for row in rows if row["status"] == "skipped"}
    run = " ".join(QUESTION.split()[:13])
    assert found == {"7": ("gsm: g1", run), "31": ("gsm: g1", run)}
    assert len(files) > 1
    stamps = [path.stat().st_mtime_ns for path in files]
    assert main(config) == 0
    assert [path.stat().st_mtime_ns for path in files] == stamps
