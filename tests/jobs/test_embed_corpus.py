"""embed_corpus to its end: every row accounted for, gone on with, classes read its vectors; wrong input ends it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs import predict
from jobs.embed_corpus import Config, main
from jobs.parts import settings
from jobs.parts.common import run_job
from jobs.parts.embedding import AroundText
from raypipe import open_run
from raypipe.models.encoder import open_encoder
from raypipe.runs.card import IdentityChanged
from raypipe.settings.nested import built
from tests.embed.tiny_encoders import save
from tests.run.in_process import use_this_process

TEXTS = [f"{'apples' if row % 2 else 'a pear'} and number {row}" for row in range(24)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    save(folder, "xlm-roberta")
    return str(folder)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    lines = [{"text": text, "n": str(row)} for row, text in enumerate([*TEXTS, None, ""])]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(tmp_path / "rows.jsonl")


def test_a_corpus_is_embedded_once_and_its_vectors_are_classified(
    model: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_this_process(monkeypatch)
    check(model, rows, tmp_path)


def check(model: str, rows: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "corpus": (rows,), "output": str(tmp_path / "run"), "id_column": "n", "cpus_per_worker": 1.0,
        "max_workers": 2, "model": model, "shard_bytes": 400, "dtype": "float32",
    }  # fmt: skip
    assert main(built(Config, **given)) == 0
    folder = tmp_path / "run/embeddings"
    card = json.loads((folder / "card.json").read_text())
    assert (card["counts"]["rows"], card["counts"]["scored"]) == (26, 24)
    assert card["counts"]["skipped"] == {"null text": 1, "empty": 1}
    assert card["identity"]["template"] == "passage: {text}"
    assert len(list(folder.glob("*.parquet"))) > 2
    found = open_run(str(tmp_path / "run")).table("embeddings.embedding", "embeddings.n_tokens")
    assert found.schema.field("embeddings.embedding").type == pa.list_(pa.float32(), 16)
    lengths = np.linalg.norm(np.stack(found["embeddings.embedding"].drop_null().to_numpy()), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)

    stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main(built(Config, **given)) == 0
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps
    with pytest.raises(IdentityChanged, match="dimensions"):
        main(built(Config, **given, dimensions=8))

    (tmp_path / "labels.jsonl").write_text(
        "".join(json.dumps({"id": str(row), "label": "ab"[row % 2]}) + "\n" for row in range(12))
    )
    read = {name: given[name] for name in ("corpus", "output", "id_column")}
    config = built(predict.Config, **read, columns=("embeddings.embedding",), labels=str(tmp_path / "labels.jsonl"))
    assert predict.main(config) == 0
    labels = open_run(str(tmp_path / "run")).table("classes.label")["classes.label"].to_pylist()
    assert sum(label == "ab"[row % 2] for row, label in enumerate(labels[:24])) >= 22
    assert labels[24:] == [None, None]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.timeout(1500)
def test_on_workers_too(model: str, rows: str, tmp_path: Path) -> None:
    check(model, rows, tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        run_job(lambda: main(settings.parse(Config, list(words))))
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pooling", "cls"], "pooling must be 'mean', as the files of encoder"),
        (["--dimensions", "99"], "dimensions must be between 1 and the 16 of"),
        (["--template", "no place"], "template must hold {text} once"),
        (["--template", "{text}", "--instruction", "find"], "--instruction has no effect with --template"),
        (["--demonstrations", "d.jsonl"], "--demonstrations has no effect without --instruction"),
        (["--bidirectional", "--max-tokens", "0"], "max_tokens must be between 1 and"),
    ],
)
def test_wrong_settings_end_the_job_before_anything_starts(
    words: list[str], said: str, model: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--corpus", rows, "--output", str(tmp_path / "run"), "--model", model]
    assert said in refused(capsys, *given, *words)
    assert not [*(tmp_path / "run").rglob("*")]


def test_what_stands_around_a_text(model: str, tmp_path: Path) -> None:
    def template(**changes: Any) -> str:
        return AroundText(**changes).whole(open_encoder(model).prompt)

    assert template() == "passage: {text}"
    assert template(texts_are="query") == "query: {text}"
    assert template(texts_are="text") == "{text}"
    (tmp_path / "shown.jsonl").write_text('{"query": "a", "passage": "b"}\n')
    assert template(instruction="find", demonstrations=str(tmp_path / "shown.jsonl")) == (
        "Instruct: find\nQuery: a\nResponse: b\n\nInstruct: find\nQuery: {text}"
    )
    (tmp_path / "shown.jsonl").write_text('{"query": "a"}\n')
    with pytest.raises(ValueError, match="row 0: must have texts `query` and `passage`"):
        template(instruction="find", demonstrations=str(tmp_path / "shown.jsonl"))
