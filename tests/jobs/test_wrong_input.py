"""Wrong input ends a job with a message, before anything is scored and before Ray starts."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from jobs import score_corpus
from jobs.benchmark.chaos_inputs import make_model
from jobs.parts import settings
from jobs.parts.common import run_job
from raypipe.run import cluster
from raypipe.run.cluster import Node, Resources

TEXTS = ["some words to begin with", "and some more of them", "the last ones"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    make_model(folder, TEXTS, seed=0)
    return str(folder)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    pq.write_table(pa.table({"text": TEXTS, "lang": ["en"] * 3}), tmp_path / "corpus/b.parquet")
    return tmp_path / "corpus"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the job says when it refuses these arguments; status 2."""
    with pytest.raises(SystemExit) as ended:
        run_job(lambda: score_corpus.main(settings.parse(score_corpus.Config, [str(word) for word in arguments])))
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def _broken_models(model: str, tmp_path: Path) -> None:
    """Copies of the model, each with one fault."""
    for name in ("cut", "garbage", "no-config", "no-tokenizer"):
        shutil.copytree(model, tmp_path / name)
    weights = tmp_path / "cut/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (tmp_path / "garbage/model.safetensors").write_bytes(b"\x10" + bytes(40))
    (tmp_path / "no-config/config.json").write_text("{")
    (tmp_path / "no-tokenizer/tokenizer.json").unlink()


@pytest.mark.usefixtures("_broken_models")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus": "{root}/nothing"}, "nothing at"),
        ({"corpus": "{root}/corpus/*.json"}, "has no file to read"),
        ({"corpus": "{root}/corpus/a.txt"}, "nothing at"),
        ({"text-column": "body"}, "has no column 'body'"),
        ({"id-column": "uid"}, "has no column 'uid'"),
        ({"corpus": "sample", "text-column": "body"}, "sample has its own columns"),
        ({"where": "size >"}, "can't be used"),
        ({"where": "lang = (SELECT 1)"}, "a subquery"),
        ({"domain-from-path": "(x"}, "is not a regular expression"),
        ({"model": "{root}/no-model"}, "model must be a folder"),
        ({"model": "{root}/corpus"}, "must hold config.json"),
        ({"model": "{root}/cut", "dtype": "auto"}, "bytes that its header says"),
        ({"model": "{root}/garbage", "dtype": "auto"}, "must be a safetensors file"),
        ({"model": "{root}/no-config"}, "must have a config.json that transformers reads"),
        ({"model": "{root}/no-tokenizer", "dtype": "auto"}, "must have a fast tokenizer"),
        ({"gpus-per-worker": "1", "dtype": "auto"}, "or give --gpus-per-worker 0"),
        ({"cpus-per-worker": "4096"}, "for a reader, must fit on the machines"),
        ({"max-tokens": "1"}, "max_tokens must be at least 2"),
        ({"max-tokens": "100000", "token-budget": "100000"}, "max_tokens must be at most the 512 tokens"),
        ({"token-budget": "10"}, "token_budget must be at least max_tokens"),
        ({"scorer": "influence"}, "heads must be given"),
        ({"scorer": "influence", "heads": "{root}/corpus/a.jsonl"}, "must be a heads file"),
        ({"corpus": "ftp://host/x"}, "can't be opened"),
        ({"corpus": "s3://AKIA:hush@bucket/x"}, "must not hold credentials"),
    ],
)
def test_it_is_named_before_ray_starts(
    tmp_path: Path,
    corpus: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    said: str,
) -> None:
    def fail() -> None:
        raise AssertionError("Ray was asked for")

    monkeypatch.setattr(cluster, "connect", fail)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # by a test before this one
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    given: dict[str, Any] = {
        "corpus": corpus, "output": tmp_path / "run", "model": model, "scorer": "perplexity", "max-tokens": "64",
        "token-budget": "256", "dtype": "float32", "shard-bytes": "400",
    }  # fmt: skip
    given |= {name: value.format(root=tmp_path) for name, value in changes.items()}
    message = refused(capsys, *(word for name, value in given.items() for word in (f"--{name}", value)))
    assert said in message
    assert "hush" not in message
    assert list((tmp_path / "run").rglob("*.parquet")) == []
    assert not (tmp_path / "run/lock.json").exists()
    written = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not any(b"hush" in content for content in written)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus-per-worker", "1"], "or give --gpus-per-worker 0"),
        (["--cpus-per-worker", "4"], "for a reader, must fit on the machines"),
        (["--min-workers", "9", "--max-workers", "9", "--cpus-per-worker", "1"], "min_workers 9"),
    ],
)
def test_workers_that_do_not_fit_are_found_at_planning(
    tmp_path: Path,
    corpus: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(cluster, "connect", lambda: Resources((Node(4),)))
    message = refused(
        capsys, "--corpus", corpus, "--output", tmp_path / "run", "--model", model, "--scorer", "perplexity",
        "--max-tokens", "64", "--dtype", "float32", "--shard-bytes", "400", *arguments,
    )  # fmt: skip
    assert said in message


def test_settings_are_read_by_a_safe_loader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    (tmp_path / "recipe.yaml").write_text(f"output: !!python/object/apply:os.mkdir ['{tmp_path}/exploded']\n")
    with pytest.raises((SystemExit, yaml.YAMLError)):
        settings.parse(score_corpus.Config, ["--config", str(tmp_path / "recipe.yaml")])
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["../escape", "/etc", "a/../../b"])
def test_a_stage_cannot_be_named_out_of_its_run_folder(
    tmp_path: Path, corpus: Path, model: str, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    message = refused(
        capsys, "--corpus", corpus, "--output", tmp_path / "run", "--model", model, "--scorer", "perplexity",
        "--max-tokens", "64", "--dtype", "float32", "--shard-bytes", "400", "--token-budget", "256", "--name", name,
    )  # fmt: skip
    assert re.search("a stage's name must have only letters|must be relative and without", message)
    assert not (tmp_path / "escape").exists()
