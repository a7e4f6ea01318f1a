"""The classify_texts job: rows get the class of the model that finds them likeliest; truth only judges."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.benchmark.chaos_inputs import make_model
from jobs.classify_texts import Config, main
from raypipe.run import cluster
from raypipe.run.cluster import Node, Resources
from tests.run.in_process import use_this_process

TEXTS = [f"some words to begin with, and more of number {number}" for number in range(12)]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    use_this_process(monkeypatch)
    monkeypatch.setattr(cluster, "connect", lambda: Resources((Node(4),)))
    make_model(tmp_path / "model", TEXTS, seed=0)
    rows = [{"id": f"n{row}", "text": text} for row, text in enumerate([*TEXTS, ""])]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Config(
        corpus=(f"{tmp_path}/corpus.jsonl",), id_column="id", output=f"{tmp_path}/run", model=f"{tmp_path}/model",
        prompts=("early=some words: ", "late=more of number "), schedule="1:16", token_budget=128,
    )  # fmt: skip


def rows_of(config: Config) -> list[dict]:
    [path] = Path(f"{config.output}/text_classes").glob("*.parquet")
    return pq.read_table(path).to_pylist()


def test_rows_get_classes_that_truth_judges_and_a_second_start_does_nothing(config, tmp_path, capsys):
    assert main(config) == 0
    found = rows_of(config)
    assert [row["label"] is None for row in found] == [False] * 12 + [True]
    truth = [{"id": row["id"], "label": row["label"]} for row in found[:6]]
    truth += [{"id": row["id"], "label": "late" if row["label"] == "early" else "early"} for row in found[6:8]]
    (tmp_path / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in truth))
    stamps = [path.stat().st_mtime_ns for path in Path(f"{config.output}/text_classes").glob("*.parquet")]
    capsys.readouterr()
    assert main(replace(config, truth=f"{tmp_path}/truth.jsonl")) == 0
    said = capsys.readouterr().out
    assert "12 of 13 rows have a class" in said
    assert "accuracy 0.750 (0.409 to 0.929) of 8 rows with a true label" in said
    assert [path.stat().st_mtime_ns for path in Path(f"{config.output}/text_classes").glob("*.parquet")] == stamps


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompts": ()}, "give either --classes, a model each, or --prompts"),
        ({"classes": ("a=x", "b=y")}, "give either --classes, a model each, or --prompts"),
        ({"prompts": (), "classes": ("a=x", "b=y")}, "--model has no effect with --classes"),
        ({"prompts": ("early", "late=b")}, "must be LABEL=VALUE each, got 'early'"),
        ({"prompts": ("late=b",)}, "classes must be two at least"),
        ({"schedule": "2:16"}, "schedule must be KEEP:EVALUATIONS"),
        ({"truth": "{root}/truth.jsonl"}, "must be among .'early', 'late'., got 'other'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(config, tmp_path, changes, said):
    (tmp_path / "truth.jsonl").write_text('{"id": "n0", "label": "early"}\n{"id": "n1", "label": "other"}\n')
    given = {name: value.format(root=tmp_path) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(ValueError, match=said):
        main(replace(config, **given))
    assert not Path(f"{config.output}/text_classes").exists()
