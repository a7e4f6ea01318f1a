"""The evaluate_retrieval job, in this process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.evaluate_retrieval import Config, main
from jobs.parts.retrieval.vectors import stage_vectors, vectors_in
from raypipe.embed.formats import stored
from raypipe.settings.nested import built, changed
from tests.embed.tiny_encoders import save
from tests.retrieve.folders import ANIMALS, write_set
from tests.train.synthetic import finished


def config(tmp_path: Path, **settings: Any) -> Config:
    data = settings.pop("data", None) or write_set(tmp_path / "set")
    return built(Config, **{"data": data, "output": str(tmp_path / "run"), "k": (1, 3), "depth": 6, **settings})


def evaluation(config: Config) -> dict[str, Any]:
    return json.loads(Path(f"{config.run.output}/retrieval/evaluation.json").read_text())


def write_stage(folder: Path, ids: list[str], X: np.ndarray, number_format: str = "float32", **identity: Any) -> str:
    """A finished stage of vectors."""
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"id": ids, **stored(X, number_format)}), folder / "a.parquet")
    (folder / "card.json").write_bytes(finished({"of": "embed", **identity}))
    return str(folder)


def test_words_find_what_words_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = config(tmp_path, retrievers=("bm25",))
    assert main(asked) == 0
    found = evaluation(asked)
    assert found["retrieval"]["bm25"]["nDCG@1"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert (found["n"], found["n_documents"], found["differences"]) == (6, 6, {})
    assert "nDCG@1" in capsys.readouterr().out
    assert "Rankings, %" in Path(f"{asked.run.output}/report.html").read_text()


def test_vectors_of_stages_are_ranked_and_fused_and_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 8)).astype(np.float32)
    names = [f"d{at}" for at in range(6)]
    stages = {
        "document_vectors": write_stage(tmp_path / "d/embeddings", names[::-1], X[::-1].copy()),
        "query_vectors": write_stage(tmp_path / "q/embeddings", [f"q{at}" for at in range(6)], np.roll(X, 1, axis=0)),
    }
    asked = config(tmp_path, **stages)
    assert main(asked) == 0
    found = evaluation(asked)
    assert found["retrieval"]["dense"]["recall@1"]["mean"] == 0.0  # each query has its neighbour's vector
    assert list(found["differences"]) == ["dense minus bm25", "fused minus bm25", "fused minus dense"]
    assert found["differences"]["dense minus bm25"]["recall@1"]["mean"] == -1.0
    ranking = pq.read_table(f"{asked.run.output}/retrieval/ranking-dense.parquet").to_pylist()
    first = {row["query_id"]: row["document"] for row in ranking if row["rank"] == 1}
    assert first == {f"q{at}": f"d{(at - 1) % 6}" for at in range(6)}


def test_a_ranking_is_made_once_and_a_further_one_beside_it(tmp_path: Path) -> None:
    asked = config(tmp_path, retrievers=("bm25",))
    assert main(asked) == 0
    ranking = Path(f"{asked.run.output}/retrieval/ranking-bm25.parquet")
    before = ranking.stat().st_mtime_ns
    X = np.eye(6, dtype=np.float32)
    stages = {
        "document_vectors": write_stage(tmp_path / "d/embeddings", [f"d{at}" for at in range(6)], X),
        "query_vectors": write_stage(tmp_path / "q/embeddings", [f"q{at}" for at in range(6)], X),
    }
    assert main(config(tmp_path, data=asked.data, retrievers=("bm25", "dense"), k=(2,), **stages)) == 0
    assert evaluation(asked)["retrieval"]["dense"]["recall@2"]["mean"] == 1.0
    assert ranking.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"bm25.k1 was 0.9 and is now 2.0"):
        main(changed(asked, k1=2.0))
    (tmp_path / "d/embeddings/card.json").write_bytes(finished({"of": "another model"}))
    with pytest.raises(ValueError, match=r"dense.document_vectors was"):
        main(config(tmp_path, data=asked.data, retrievers=("dense",), **stages))


def test_texts_are_embedded_with_what_stands_around_them(tmp_path: Path) -> None:
    save(tmp_path / "model", "xlm-roberta")
    asked = config(tmp_path, retrievers=("dense",), model=str(tmp_path / "model"))
    assert main(asked) == 0
    card = json.loads(Path(f"{asked.run.output}/retrieval/card.json").read_text())
    templates = [card["identity"][f"dense.{name}_template"] for name in ("query", "document")]
    assert templates == ["query: {text}", "passage: {text}"]
    same = changed(asked, query_template="query: {text}", output=str(tmp_path / "again"))
    bare = changed(asked, query_template="{text}", document_template="{text}", output=str(tmp_path / "bare"))
    assert main(same) == main(bare) == 0
    scores = [
        pq.read_table(f"{one.run.output}/retrieval/ranking-dense.parquet")["score"] for one in (asked, same, bare)
    ]
    assert scores[0] == scores[1] != scores[2]


@pytest.mark.parametrize("number_format", ["float32", "float16", "int8", "binary"])
def test_vectors_of_every_number_format_keep_their_order(tmp_path: Path, number_format: Any) -> None:
    X = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    found = stage_vectors(
        write_stage(tmp_path / "embeddings", list("abcde"), X, number_format), ["c", "a"], what="document"
    )
    assert found.shape == (2, 64)
    cosine = (found * X[[2, 0]]).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(X[[2, 0]], axis=1)
    assert cosine.min() > (0.7 if number_format == "binary" else 0.999)


def test_a_row_without_a_vector_has_nan(tmp_path: Path) -> None:
    column = pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))
    assert np.isnan(vectors_in(pa.table({"embedding": column}))).tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"k": (1, 7)}, "each k be between 1 and --depth (6)"),
        ({"retrievers": ()}, "retrievers must name one"),
        ({"retrievers": ("bm25",), "dimensions": 3}, "--dimensions has no effect without vectors"),
        ({"retrievers": ("dense",), "k1": 2.0}, "--k1 has no effect without BM25"),
        ({"rerank_depth": 3}, "--rerank-depth has no effect without --reranker"),
        ({"document_vectors": "x"}, "must be given together"),
        ({"query_template": "{text}!", "instruction": "find"}, "--instruction has no effect with --query-template"),
        ({"data": "nowhere"}, "nothing at"),
    ],
)
def test_wrong_settings_are_refused_and_nothing_is_written(tmp_path: Path, settings: Any, said: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        main(config(tmp_path, **settings))
    assert said in str(refused.value)
    assert not (tmp_path / "run/retrieval").exists()


def test_words_without_bm25s_are_refused_with_the_way_to_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.parts.retrieval.rank.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'raypipe\[retrieve\]'"):
        main(config(tmp_path, retrievers=("bm25",)))
    assert not (tmp_path / "run/retrieval").exists()


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "model", "bert")
    (tmp_path / "model/tokenizer.json").unlink()
    with pytest.raises(ValueError, match="tokenizer"):
        main(config(tmp_path, retrievers=("dense",), model=str(tmp_path / "model")))


def test_vectors_of_another_dimension_or_of_other_rows_are_refused(tmp_path: Path) -> None:
    ids = [[f"{of}{at}" for at in range(len(ANIMALS))] for of in "dq"]
    documents = write_stage(tmp_path / "d/embeddings", ids[0], np.ones((6, 8), np.float32))
    queries = write_stage(tmp_path / "q/embeddings", ids[1], np.ones((6, 4), np.float32))
    settings: dict[str, Any] = {"retrievers": ("dense",), "document_vectors": documents, "query_vectors": queries}
    with pytest.raises(ValueError, match=r"vectors of the same dimensions.*\(6, 4\) and \(6, 8\)"):
        main(config(tmp_path, **settings))
    with pytest.raises(ValueError, match="a vector for every document by id, but lacks 6 of 6, 'd0' the first"):
        main(config(tmp_path, **{**settings, "document_vectors": queries, "data": str(tmp_path / "set")}, name="b"))
    with pytest.raises(FileNotFoundError, match="no stage 'vectors'"):
        main(config(tmp_path, **{**settings, "query_vectors": f"{tmp_path}/q/vectors", "data": str(tmp_path / "set")}))
