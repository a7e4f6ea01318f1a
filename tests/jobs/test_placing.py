"""Phrases become vectors as the texts beside them did, and vote with them through label_corpus."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from jobs import embed_corpus, label_corpus
from jobs.parts.labelling import read_functions
from jobs.parts.placing import phrase_embedder, placed
from raypipe.settings.nested import built
from raypipe.storage.folder import Folder
from tests.embed.tiny_encoders import save
from tests.run.in_process import use_this_process

TEXTS = [f"{'apples' if row % 2 else 'a pear'} and number {row}" for row in range(24)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    save(folder, "xlm-roberta")  # with prompts `query: ` and `passage: `
    return str(folder)


@pytest.fixture
def run(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_this_process(monkeypatch)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*TEXTS, ""]))
    embed(model, tmp_path)
    return tmp_path / "run"


def embed(model: str, folder: Path, **more: Any) -> None:
    given = {"corpus": (f"{folder}/rows.jsonl",), "output": f"{folder}/run", "cpus_per_worker": 1.0, "model": model,
             "shard_bytes": 400, "dtype": "float32"}  # fmt: skip
    assert embed_corpus.main(built(embed_corpus.Config, **given, **more)) == 0


def functions(path: Path, model: str, **changes: Any) -> str:
    alike = {"kind": "similarity", "at_least": 0.99, "model": model, **changes}
    said = [{**alike, "name": "odd", "vote": "apple", "phrases": TEXTS[1::2]},
            {**alike, "name": "even", "vote": "pear", "phrases": TEXTS[::2]},
            {"kind": "keywords", "name": "word", "vote": "apple", "words": ["apples"]}]  # fmt: skip
    path.write_text(yaml.safe_dump({"classes": ["pear", "apple"], "functions": said}))
    return str(path)


def test_phrases_are_queries_to_the_model_of_the_texts(model: str, run: Path, tmp_path: Path) -> None:
    asked = read_functions(functions(tmp_path / "f.yaml", model))
    card = json.loads((run / "embeddings/card.json").read_text())["identity"]
    op = phrase_embedder(asked.functions[0], card)
    assert (card["template"], op.template) == ("passage: {text}", "query: {text}")
    assert (op.dtype, op.max_tokens, op.pooling) == (card["dtype"], card["max_tokens"], card["pooling"])
    found = placed(asked, Folder(str(run)), answers="answers").functions[0].vectors
    op.setup(n_threads=1)
    [ids] = op._cutter(TEXTS[1:2])
    expected = op.vectors([ids.ids])[0]
    np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected), atol=1e-5)


def test_rows_are_labelled_by_similarity(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same template on both sides, each text is nearest to the phrase that it is."""
    use_this_process(monkeypatch)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*TEXTS, ""]))
    embed(model, tmp_path, template="say {text}")
    config = label_corpus.Config(
        corpus=(f"{tmp_path}/rows.jsonl",), output=f"{tmp_path}/run",
        functions=functions(tmp_path / "f.yaml", model, at_least=0.99999),
    )  # fmt: skip
    assert label_corpus.main(config) == 0
    tables = [pq.read_table(path) for path in sorted((tmp_path / "run/labels").glob("*.parquet"))]
    labels = [label for table in tables for label in table["label"].to_pylist()]
    assert labels == [*(["pear", "apple"] * 12), None]


def test_rows_are_labelled_by_the_documents_nearest_to_keywords(
    model: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keywords that are texts of both sorts find these; what label_corpus prints says how near they are."""
    nearest = {"kind": "nearest", "name": "by words", "keywords": {"pear": TEXTS[:4:2], "apple": TEXTS[1:5:2]},
               "documents": 3, "model": model}  # fmt: skip
    word = {"kind": "keywords", "name": "word", "vote": "apple", "words": ["apples"]}
    path = tmp_path / "f.yaml"
    path.write_text(yaml.safe_dump({"classes": ["pear", "apple"], "functions": [nearest, word]}))
    config = label_corpus.Config(
        corpus=(f"{tmp_path}/rows.jsonl",), output=str(run), functions=str(path), label_model="majority-vote"
    )
    assert label_corpus.main(config) == 0
    assert "by words: pear is the mean of 3 documents, of cosine" in capsys.readouterr().out
    tables = [pq.read_table(file) for file in sorted((run / "votes").glob("*.parquet"))]
    votes = [row for table in tables for row in table["votes"].to_pylist()]
    right = [row[0] == number % 2 for number, row in enumerate(votes[:-1])]
    assert sum(right) > 18  # of 24
    assert votes[-1] is None or votes[-1][0] == -1


def test_rows_are_labelled_by_names_of_a_graph(model: str, run: Path, tmp_path: Path) -> None:
    """Neighbours that are texts of both sorts tell them apart, whatever the classes are called."""
    path, triples = tmp_path / "f.yaml", tmp_path / "triples.jsonl"
    rows = [{"head": node, "relation": "has", "tail": text}
            for node, texts in (("one", TEXTS[:8:2]), ("other", TEXTS[1:9:2])) for text in texts]  # fmt: skip
    triples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    graph = {"kind": "graph", "name": "by a graph", "triples": str(triples), "own": 0.0, "model": model,
             "nodes": {"pear": "one", "apple": "other"}}  # fmt: skip
    word = {"kind": "keywords", "name": "word", "vote": "apple", "words": ["apples"]}
    path.write_text(yaml.safe_dump({"classes": ["pear", "apple"], "functions": [graph, word]}))
    config = label_corpus.Config(
        corpus=(f"{tmp_path}/rows.jsonl",), output=str(run), functions=str(path), label_model="majority-vote"
    )
    assert label_corpus.main(config) == 0
    tables = [pq.read_table(file) for file in sorted((run / "votes").glob("*.parquet"))]
    votes = [row for table in tables for row in table["votes"].to_pylist()]
    assert sum(row[0] == number % 2 for number, row in enumerate(votes[:-1])) > 18  # of 24
    for changes, why in (({"nodes": {"pear": "one", "apple": "others"}}, "'others' is none; the nearest is 'other'"),
                         ({"nodes": {"pear": "one"}}, "nodes must map two classes at least to a node each"),
                         ({"own": 2.0}, "own must be a share from 0 to 1")):  # fmt: skip
        path.write_text(yaml.safe_dump({"classes": ["pear", "apple"], "functions": [{**graph, **changes}, word]}))
        with pytest.raises(ValueError, match=why):
            label_corpus.main(config)
    triples.write_text(json.dumps({"head": "one", "relation": "has", "tail": "one"}))
    path.write_text(yaml.safe_dump({"classes": ["pear", "apple"], "functions": [graph, word]}))
    with pytest.raises(ValueError, match=r"'by a graph': .*an edge between two nodes at least"):
        label_corpus.main(config)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"column": "embeddings.n_tokens"}, "'odd': column must be the vectors of a stage of embed_corpus"),
        ({"column": "vectors.embedding"}, "has no stage 'vectors'; "),
        ({"model": "other"}, "'odd': model must be the one that made embeddings.embedding, got '.*other'"),
    ],
)
def test_another_stage_or_model_is_refused_by_name(
    changes: dict, why: str, model: str, run: Path, tmp_path: Path
) -> None:
    if "model" in changes:
        (tmp_path / "other").mkdir()
        save(tmp_path / "other", "bert")
        changes = {"model": f"{tmp_path}/other"}
    changes = {"model": model} | changes
    config = label_corpus.Config(
        corpus=(f"{tmp_path}/rows.jsonl",), output=str(run), functions=functions(tmp_path / "f.yaml", **changes)
    )
    with pytest.raises((ValueError, FileNotFoundError), match=why):
        label_corpus.main(config)
    assert not (run / "votes").exists()
