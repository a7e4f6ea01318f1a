"""Names that aren't there, or settings that would have no effect, are refused with the nearest; nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs import curate, score_corpus, select_corpus, tokenize_corpus
from jobs.benchmark.chaos_inputs import make_model
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import learnt_size, train_tokenizer
from raypipe.run import cluster
from raypipe.run import stage as run_stage
from raypipe.run.cluster import Node, Resources
from raypipe.settings.nested import built
from tests.select.conftest import corpus as scored_rows
from tests.select.conftest import write_run
from tests.train.synthetic import write_selection, write_tokens

TEXTS = [f"some words to begin with, and more of number {number}" for number in range(10)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_model(folder / "model", TEXTS, seed=0)
    (folder / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return folder


@pytest.fixture(autouse=True)
def _without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "connect", lambda: Resources((Node(4),)))
    monkeypatch.setattr(run_stage.Annotate, "_work", lambda *_: None)


def files(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def tokenise(inputs: Path, run: Path, **changes: Any) -> int:
    settings = {"corpus": (str(inputs / "rows.jsonl"),), "tokenizer": str(inputs / "model"), "output": str(run)}
    return tokenize_corpus.main(tokenize_corpus.Config(**{**settings, **changes}))


def test_a_misspelt_selection_does_not_export_every_row(inputs: Path, tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens")
    for arm in ("selection", "selection-random"):
        write_selection(tmp_path / "run" / arm, tokens, weight=lambda n: 1.0, identity={"arm": arm})
    before = files(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="no stage 'selection-rnadom'; the nearest is 'selection-random'"):
        tokenise(inputs, tmp_path / "run", export="megatron", selection="selection-rnadom")
    assert files(tmp_path / "run") == before


def test_the_default_selection_must_be_there_where_another_is(inputs: Path, tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens")
    write_selection(tmp_path / "run/selection-random", tokens, weight=lambda n: 1.0, identity={})
    with pytest.raises(FileNotFoundError, match="the nearest is 'selection-random'"):
        tokenise(inputs, tmp_path / "run", export="megatron")


def test_a_selection_whose_file_another_writer_put_is_not_exported(tmp_path: Path) -> None:
    from raypipe.train.data.index import read_listing, read_mix

    tokens = write_tokens(tmp_path / "tokens")
    selection = write_selection(tmp_path / "selection", tokens, weight=lambda n: 1.0, identity={"share": 0.2})
    read_mix(read_listing(tokens), selection)
    card = selection.read("card.json")
    write_selection(tmp_path / "selection", tokens, weight=lambda n: 0.0, identity={"share": 0.3})
    selection.write("card.json", card)
    with pytest.raises(ValueError, match="was made by other settings"):
        read_mix(read_listing(tokens), selection)


def test_a_tokenizer_of_another_size_is_not_taken_for_the_one_to_learn(inputs: Path, tmp_path: Path) -> None:
    train_tokenizer(TEXTS, vocabulary_size=4000, folder=tmp_path / "own")
    assert learnt_size(tmp_path / "own") == 4000  # what was asked for, though the texts gave fewer
    tokenise(inputs, tmp_path / "run", tokenizer=str(tmp_path / "own"), train_vocabulary=4000)
    for folder, size in ((tmp_path / "own", "4,000"), (inputs / "model", "")):
        with pytest.raises(ValueError, match=f"train_vocabulary is 4,096, but the tokenizer in .* made with {size}"):
            tokenise(inputs, tmp_path / "run", tokenizer=str(folder), train_vocabulary=4096)


def test_misspelt_scores_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", scored_rows(sizes={"web": 40}))
    before = files(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="no stage 'score'; the nearest is 'scores'"):
        select_corpus.main(built(select_corpus.Config, run=run, scores="score"))
    assert files(tmp_path / "run") == before
    with pytest.raises(FileNotFoundError, match="holds no run"):
        select_corpus.main(built(select_corpus.Config, run=f"{run}x"))
    assert not Path(f"{run}x").exists()


def score(inputs: Path, run: Path, **changes: Any) -> int:
    settings = {
        "corpus": (str(inputs / "rows.jsonl"),), "model": str(inputs / "model"), "max_tokens": 64, "dtype": "float32",
        "token_budget": 256, "shard_bytes": 400, "output": str(run),
    }  # fmt: skip
    return score_corpus.main(built(score_corpus.Config, **{**settings, **changes}))


def test_a_refused_heads_file_leaves_the_runs_own(inputs: Path, tmp_path: Path) -> None:
    own = tmp_path / "run/heads/heads.json"
    own.parent.mkdir(parents=True)
    own.write_text("the run's own")
    (tmp_path / "heads.json").write_text(json.dumps({"causal_check": {"passed": True}}))
    with pytest.raises(ValueError, match="must be a heads file"):
        score(inputs, tmp_path / "run", heads=str(tmp_path / "heads.json"))
    (tmp_path / "heads.json").write_text(json.dumps(record(inputs, sha256="0" * 64)))
    with pytest.raises(ValueError, match="heads must be found on the weights that score"):
        score(inputs, tmp_path / "run", heads=str(tmp_path / "heads.json"))
    assert files(tmp_path / "run") == {"heads/heads.json": b"the run's own"}
    (tmp_path / "heads.json").write_text(json.dumps(record(inputs)))
    score(inputs, tmp_path / "run", heads=str(tmp_path / "heads.json"))
    assert json.loads(own.read_text())["chosen"] == [[1, 2]]
    kept = own.read_bytes()  # other heads than the scores were made with
    (tmp_path / "heads.json").write_text(json.dumps({**record(inputs), "chosen": [[0, 1]]}))
    with pytest.raises(ValueError, match=r"heads was \[\[1, 2\]\] and is now \[\[0, 1\]\]"):
        score(inputs, tmp_path / "run", heads=str(tmp_path / "heads.json"))
    assert own.read_bytes() == kept


def record(inputs: Path, *, sha256: str | None = None) -> dict[str, Any]:
    sha256 = sha256 or open_model(str(inputs / "model")).sha256()
    effect = {"loss": 1.0, "accuracy": 0.9, "prose_loss": 3.0}
    return {
        "model": {"ref": "x", "sha256": sha256, "n_layers": 2, "n_heads": 4},
        "chosen": [[1, 2]], "retrieval_scores": [[0.0] * 4] * 2,
        "causal_check": {
            "intact": effect, "chosen": effect, "draws": [effect], "passed": True,
            "rules": [{"rule": "rise", "value": 4.0, "bar": 3.0, "passed": True}],
        },
    }  # fmt: skip


def test_misspelt_heads_are_answered_with_the_nearest(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"heads must be `detect` .* but 'detct' .* the nearest is 'detect'"):
        score(inputs, tmp_path / "run", heads="detct")


def test_curate_refuses_to_be_asked_for_a_forecast(inputs: Path, tmp_path: Path) -> None:
    asked = built(curate.Config, output=str(tmp_path / "run"), model=str(inputs / "model"), plan=True)
    with pytest.raises(ValueError, match=r"--plan has no effect in curate; python -m jobs\.score_corpus forecasts"):
        curate.main(asked)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shard_bytes": None, "shard_rows": 100}, "--shard-rows has no effect without --shard-bytes"),
        ({"price_per_hour": 2.0}, "--price-per-hour has no effect without --plan"),
        ({"scorer": ("perplexity",), "heads": "detect"}, "--heads has no effect without influence"),
    ],
)
def test_a_setting_without_effect_is_refused(inputs: Path, tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        score(inputs, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()
