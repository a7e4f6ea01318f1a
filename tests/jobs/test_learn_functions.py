"""The learn_functions job: rules from a few labels, and what label_corpus makes of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from jobs import label_corpus
from jobs.learn_functions import Config, main
from tests.jobs.committed import commit_vectors
from tests.run.in_process import use_this_process

KINDS = ("apples", "pears " * 40, "plums and stones of plums")
NAMES = ("apple", "pear", "plum")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    use_this_process(monkeypatch)
    (tmp_path / "corpus").mkdir()
    rows = [{"n": f"n{row}", "text": f"{KINDS[row % 3]} {'x' * (row % 7)}"} for row in range(120)]
    (tmp_path / "corpus/rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    commit_vectors(f"{tmp_path}/corpus", tmp_path / "run", id_column="n")
    return Config(
        corpus=(f"{tmp_path}/corpus",), id_column="n", output=f"{tmp_path}/run",
        labels=labels(tmp_path, range(45), NAMES),
    )  # fmt: skip


def labels(folder: Path, rows: range, names: tuple[str, ...]) -> str:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps({"id": f"n{row}", "label": names[row % 3]}) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("method", ["snuba", "iws"])
def test_learned_functions_label_the_corpus(config: Config, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(replace(config, method=method)) == 0
    said = capsys.readouterr().out
    assert "45 of 45 labelled rows are there, 120 rows to look at" in said
    path = Path(f"{config.output}/functions/functions.yaml")
    written = yaml.safe_load(path.read_text())
    assert written["classes"] == list(NAMES)
    assert {one["kind"] for one in written["functions"]} == {"learned"}
    assert main(replace(config, method=method)) == 0
    assert yaml.safe_load(path.read_text()) == written
    given = label_corpus.Config(
        corpus=config.corpus, id_column="n", output=config.output, functions=str(path), truth=config.labels,
        label_model="dawid-skene", max_workers=1,
    )  # fmt: skip
    assert label_corpus.main(given) == 0
    files = sorted(Path(f"{config.output}/labels").glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    right = [row["label"] == NAMES[int(row["id"][1:]) % 3] for row in rows if row["covered"]]
    assert len(right) > 60
    assert np.mean(right) > 0.7  # 1/3 by chance


def test_two_classes_vote_both_ways(config: Config, tmp_path: Path) -> None:
    assert main(replace(config, labels=labels(tmp_path, range(45), ("apple", "pear", "apple")))) == 0
    written = yaml.safe_load(Path(f"{config.output}/functions/functions.yaml").read_text())
    votes = {one.get(side) for one in written["functions"] for side in ("above", "below")}
    assert {"apple", "pear"} <= votes


def test_what_can_t_be_learned_is_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pool must be at least 1, got 0"):
        main(replace(config, pool=0))
    with pytest.raises(ValueError, match="all 120 have one; label fewer"):
        main(replace(config, labels=labels(tmp_path, range(120), NAMES)))
    path = Path(labels(tmp_path, range(45), NAMES))
    path.write_text(path.read_text() + json.dumps({"id": "absent", "label": "quince"}) + "\n")
    with pytest.raises(ValueError, match="class 'quince' of --labels has no row"):
        main(config)
    with pytest.raises((KeyError, FileNotFoundError), match="no stage 'vectors'"):
        main(replace(config, columns=("vectors.embedding",)))
