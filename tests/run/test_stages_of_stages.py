"""One real user of each kind of stage over stages: a classifier over vectors, a gather of quantiles, chunks."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.corpus import Corpus
from raypipe.fitting.vectors import NO_VECTOR
from raypipe.models.fitted import open_fitted, save_fitted
from raypipe.rewrite.chunks import Chunks, cuts
from raypipe.run.gather import GatherStage
from raypipe.run.predict import Predict
from raypipe.run.rewrite import rewrite_stage
from raypipe.run.stage import Annotate, is_complete
from raypipe.select.quantiles import ColumnQuantiles
from raypipe.storage.folder import Folder
from tests.corpus.reading import read_all

from .deadly import DeadlyQuantiles
from .fake_op import commit_fault
from .stages import QUICK, SIZES, fault, make_stage, output, stamps, write_lines
from .vectors import Vectors, vector

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(180)]


def texts_of_kinds(n_rows: int, *, start: int = 0) -> list[str]:
    kinds = ("two apples and apples", "three pears pears pears", "plums plums")
    return [f"document {row} of {kinds[row % 3]}" for row in range(start, start + n_rows)]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """A corpus with a row that is skipped, and its vectors."""
    root = tmp_path_factory.mktemp("embedded")
    for number in range(3):
        write_lines(root / f"corpus/part-{number}.jsonl", texts_of_kinds(20, start=20 * number))
    write_lines(root / "corpus/part-9.jsonl", ["", *texts_of_kinds(3, start=900)])
    make_stage(root, Vectors(), stage="embeddings")()  # type: ignore[arg-type]
    return root


@pytest.fixture
def root(tmp_path: Path, embedded: Path) -> Path:
    shutil.copytree(embedded, tmp_path / "copy")
    return tmp_path / "copy"


def change_a_source(root: Path) -> None:
    path = root / "corpus/part-1.jsonl"
    path.write_text(path.read_text().replace("document 2", "document 3"))
    assert is_complete(make_stage(root, Vectors(), stage="embeddings")())  # type: ignore[arg-type]


def predicted(root: Path) -> Annotate:
    op = Predict(NearestCentroid, Folder(str(root / "fitted")), ("embeddings.embedding",))
    return make_stage(root, op, stage="classes", stages=("embeddings",), identity=op.identity(), redo=True)  # type: ignore[arg-type]


def assert_classified(root: Path) -> None:
    vectors, found = output(root, "embeddings"), output(root, "classes")
    assert found["text_hash"].equals(vectors["text_hash"])
    model = open_fitted(NearestCentroid, Folder(str(root / "fitted")))
    for row, vector_of in zip(found.to_pylist(), vectors["embedding"].to_pylist(), strict=True):
        if vector_of is None:
            assert (row["label"], row["status"], row["reason"]) == (None, "skipped", "empty")
            continue
        X = np.array([vector_of])
        assert row["label"] == str(model.predict(X)[0])
        assert row["probability"] == np.float32(model.predict_proba(X).max())
        assert row["familiarity"] == np.float32(model.score_samples(X)[0])


def fit(root: Path, *, normalise: bool = False, n_rows: int = 30) -> None:
    texts = texts_of_kinds(n_rows)
    X, y = np.array([vector(text) for text in texts], np.float32), [text.split()[-1] for text in texts]
    save_fitted(NearestCentroid(normalise=normalise).fit(X, y), Folder(str(root / "fitted")))


@pytest.mark.slow
def test_a_fitted_classifier_over_vectors_is_right_and_redone_where_something_changed(root: Path) -> None:
    fit(root)
    card = predicted(root)()
    assert is_complete(card)
    assert card["identity"]["settings"] == {"normalise": False}
    assert_classified(root)
    before = stamps(root, "classes")
    predicted(root)()
    assert stamps(root, "classes") == before
    change_a_source(root)
    predicted(root)()
    assert_classified(root)
    assert sum(before.get(name) != stamp for name, stamp in stamps(root, "classes").items()) == 3
    fit(root, normalise=True)  # another model: all of it, without asking, for no model on a device was run
    between = stamps(root, "classes")
    assert is_complete(predicted(root)())
    assert_classified(root)
    assert not between.items() & stamps(root, "classes").items()


def test_rows_without_a_whole_vector_are_skipped_with_a_reason(root: Path) -> None:
    path = sorted((root / "run/embeddings").glob("part-0*.parquet"))[0]
    table = pq.read_table(path)
    vectors = table["embedding"].to_pylist()
    vectors[1], vectors[2] = None, [1.0, None, float("inf"), 0.0]
    at = table.schema.get_field_index("embedding")
    changed = table.set_column(at, "embedding", pa.array(vectors, pa.list_(pa.float32())))
    pq.write_table(changed, path)
    fit(root)
    predicted(root)()
    rows = output(root, "classes").to_pylist()[:4]
    assert [row["reason"] for row in rows] == [None, NO_VECTOR, "a vector with numbers that aren't finite", None]
    assert rows[3]["label"] is not None


def quantiles(root: Path, gather: ColumnQuantiles | None = None, **settings: Any) -> GatherStage[ColumnQuantiles]:
    made = gather or ColumnQuantiles(("embeddings.number",), (0.0, 0.5, 1.0))
    corpus = Corpus((f"{root}/corpus",))
    return GatherStage(Folder(f"{root}/run"), "quantiles", made, corpus, SIZES, ("embeddings",), **settings)


def number_table(root: Path) -> np.ndarray:
    return output(root, "embeddings")["number"].drop_null().to_numpy()


@pytest.mark.slow
def test_quantiles_on_workers_are_the_same_for_any_cut_and_after_kills(root: Path, tmp_path: Path) -> None:
    once = fault(tmp_path, "kill-forward", "kill-setup")
    deadly = DeadlyQuantiles(("embeddings.number",), (0.0, 0.5, 1.0), once=once)
    found = quantiles(root, deadly, block=2, fan_in=2)()
    assert os.listdir(once) == []
    state = (root / "run/quantiles/state.safetensors").read_bytes()
    numbers = np.sort(number_table(root))
    said = found.result()["embeddings.number"]
    assert (said["n"], said["null"], said["not_finite"]) == (len(numbers), 0, 0)
    assert list(said["quantiles"].values()) == [numbers[0], numbers[(len(numbers) - 1) // 2], numbers[-1]]
    card = json.loads((root / "run/quantiles/card.json").read_text())
    assert card["result"] == found.result()
    assert card["counts"] == {"shards": 10, "rows": len(output(root, "embeddings"))}
    for block, fan_in in ((1, 8), (100, 2)):
        shutil.rmtree(root / "run/quantiles")
        quantiles(root, block=block, fan_in=fan_in)()
        assert (root / "run/quantiles/state.safetensors").read_bytes() == state


def test_a_gather_is_made_again_only_if_what_it_reads_changed(root: Path) -> None:
    first = quantiles(root)().result()
    path = root / "run/quantiles/state.safetensors"
    before = path.stat().st_mtime_ns
    assert quantiles(root)().result() == first
    assert path.stat().st_mtime_ns == before
    change_a_source(root)
    assert quantiles(root)().result()["embeddings.number"]["n"] == len(number_table(root))
    assert path.stat().st_mtime_ns != before
    other = quantiles(root, ColumnQuantiles(("embeddings.number",), (0.9,)))()
    assert list(other.result()["embeddings.number"]["quantiles"]) == ["0.9"]


@dataclass(frozen=True)
class FaultyChunks(Chunks):
    """Chunks whose process is killed once, in the middle of a shard."""

    once: str = ""

    def __call__(self, batch: pa.Table) -> pa.Table:
        commit_fault(self.once, "kill-forward")
        return super().__call__(batch)


def chunks(root: Path, *, once: str = "") -> Annotate:
    stage = make_stage(root)
    return rewrite_stage(
        FaultyChunks(max_chars=12, once=once), run=stage.run, stage="chunks", corpus=stage.corpus, wanted=stage.wanted,
        sizes=SIZES, identity={"op": "chunks", "max_chars": 12}, patience=QUICK,
    )  # fmt: skip


def assert_chunked(root: Path) -> None:
    rows = output(root, "chunks").to_pylist()
    texts = [
        (row["id"], row["text"]) for row in read_all(Corpus((f"{root}/corpus",)), shard_bytes=10**9) if row["text"]
    ]
    wanted = [
        (name, at, text[start:stop])
        for name, text in texts
        for at, (start, stop) in enumerate(cuts(text, max_chars=12))
    ]
    assert [(row["source_id"], row["piece"], row["text"]) for row in rows] == wanted
    assert len({row["id"] for row in rows}) == len(rows)


@pytest.mark.slow
def test_chunks_are_a_new_corpus_a_file_a_shard_and_right_after_a_kill(root: Path, tmp_path: Path) -> None:
    once = fault(tmp_path, "kill-forward")
    card = chunks(root, once=once)()
    assert os.listdir(once) == []
    assert is_complete(card)
    assert (card["kind"], card["op"]) == ("rewrite", "FaultyChunks")
    assert_chunked(root)
    assert card["counts"]["rows"] == 64
    assert card["counts"]["written"] == len(output(root, "chunks"))
    assert card["counts"]["skipped"] == {"empty": 1}
    assert len(stamps(root, "chunks")) == card["counts"]["shards"]
    corpus = Corpus((f"{root}/run/chunks/*.parquet",), id_column="id")
    again = [(row["id"], row["text"]) for row in read_all(corpus)]
    assert again == [(row["id"], row["text"]) for row in output(root, "chunks").to_pylist()]


@pytest.mark.slow
def test_of_a_changed_input_only_its_chunks_are_made_again(root: Path) -> None:
    chunks(root)()
    before = stamps(root, "chunks")
    change_a_source(root)
    assert is_complete(chunks(root)())
    assert_chunked(root)
    assert sum(before.get(name) != stamp for name, stamp in stamps(root, "chunks").items()) == 3
