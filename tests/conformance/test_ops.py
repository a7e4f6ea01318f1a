"""What every Op keeps to; each check catches one made wrong on purpose."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from raypipe.columns import OUTCOME, PART, PART_ROW, REASON, SOURCE, TEXT
from raypipe.contracts.op import ROWS
from raypipe.contracts.parts import apply
from raypipe.storage.folder import Folder
from tests.conformance.finding import classes_with

OPS = classes_with("reads", "adds", "version", "unit", "prepare", "setup", "batches", "cost", "limits", "__call__")
VOTES = "votes.votes"
LISTS = {
    "keys.keys": pa.list_(pa.uint64()),
    "keys.n_chars": pa.list_(pa.int32()),
    "keys.signature": pa.list_(pa.uint16(), 2),
    "embeddings.embedding": pa.list_(pa.float32(), 2),
}
BAGS = "chunk_columns.embedding"
FIRST_PART = "a-000000000000000"
TEXTS = ["one two three", None, "four five six seven", "eight " * 30, "nine ten", None, "eleven twelve"]


@cache
def tiny_folder() -> str:
    from tests.score.conftest import save_tiny

    folder = Path(mkdtemp())
    save_tiny(folder)
    return str(folder)


def forward_pass() -> Any:
    from raypipe.score.forward_pass import ForwardPass
    from raypipe.score.statistics.perplexity import Perplexity

    return ForwardPass(tiny_folder(), (Perplexity(),), max_tokens=32, token_budget=64)


def tokenise() -> Any:
    from raypipe.train.data.tokenise import Tokenise

    return Tokenise(tiny_folder())


def predict() -> Any:
    from raypipe.classify.nearest_centroid import NearestCentroid
    from raypipe.models.fitted import save_fitted
    from raypipe.run.predict import Predict

    folder = Folder(mkdtemp())
    save_fitted(NearestCentroid().fit(np.array([[0.0], [4.0], [40.0]]), ["a", "b", "c"]), folder)
    return Predict(NearestCentroid, folder, ("scores.loss",))


def classify() -> Any:
    from raypipe.classify.nearest_centroid import NearestCentroid
    from raypipe.fitting.words import WordVectors
    from raypipe.models.fitted import save_fitted
    from raypipe.run.classify import Classify

    texts = pa.table({"of": [text for text in TEXTS if text]})
    feed, folder = WordVectors(("of",), n_dimensions=3).fit(texts), Folder(mkdtemp())
    save_fitted(NearestCentroid().fit(feed.encode(texts)[0], list("abcab")), folder, feed=feed)
    return Classify(NearestCentroid, folder, (TEXT,))


def classify_many() -> Any:
    from raypipe.classify.one_vs_all import OneVsAll
    from raypipe.fitting.words import WordVectors
    from raypipe.models.fitted import save_fitted
    from raypipe.run.classify_many import ClassifyMany

    texts = pa.table({"of": [text for text in TEXTS if text]})
    feed, folder = WordVectors(("of",), n_dimensions=3).fit(texts), Folder(mkdtemp())
    lists = [["a"], ["b", "c"], ["a", "c"], ["b"], ["a", "b"]]
    fitted = OneVsAll().fit_many(feed.encode(texts)[0], lists)
    save_fitted(fitted, folder, feed=feed)
    return ClassifyMany(OneVsAll, folder, (TEXT,))


def pieces() -> Any:
    from raypipe.rewrite.chunks import Chunks
    from raypipe.run.rewrite import RewriteOp

    return RewriteOp(Chunks(max_chars=12))


def decontaminate() -> Any:
    from raypipe.select.dedup.decontaminate import Decontaminate

    rows = Path(mkdtemp()) / "questions.jsonl"
    rows.write_text('{"query": "one two three"}\n')
    return Decontaminate((str(rows),), n=3, min_words=3)


def embed() -> Any:
    from raypipe.embed.embed import Embed
    from tests.embed.tiny_encoders import save

    folder = Path(mkdtemp())
    save(folder, "bert")
    return Embed(str(folder), max_chunks=2, token_budget=64)


def ask() -> Any:
    from raypipe.score.ask import Ask, TextQuestion

    return Ask(tiny_folder(), (TextQuestion("{text}\nso?", ("yes", "no")),), max_tokens=64, token_budget=128)


def cast_votes() -> Any:
    from raypipe.label.functions.cast_votes import CastVotes
    from raypipe.label.functions.keywords import Keywords
    from raypipe.label.functions.sql import Sql

    return CastVotes((Keywords("one", "a", ("one",)), Sql("long", "scores.loss > 15", vote="b")), ("a", "b"))


def labels() -> Any:
    from raypipe.label.dawid_skene import DawidSkene
    from raypipe.label.labels import LabelRows
    from raypipe.models.fitted import save_fitted

    folder = Folder(mkdtemp())
    save_fitted(DawidSkene().fit([[0, 1], [1, 1], [0, 0], [1, -1]]), folder)
    return LabelRows(DawidSkene, folder, VOTES, ("a", "b"), (0, 1))


def exact_keys() -> Any:
    from raypipe.select.dedup.text_keys import ExactKeys

    return ExactKeys()


def unit_keys() -> Any:
    from raypipe.select.dedup.text_keys import UnitKeys

    return UnitKeys("line", min_chars=8)


def minhash_keys() -> Any:
    from raypipe.select.dedup.minhash import Bands, MinHashKeys

    return MinHashKeys(2, Bands(2, 2))


def minhash_marks() -> Any:
    from raypipe.select.dedup.minhash import MinHashMarks

    return MinHashMarks("keys", marks_folder(pa.array([[1, 7]], pa.list_(pa.uint16(), 2))), "c")


def marks_folder(reference: pa.Array | None = None) -> Folder:
    """Marks of a run of seven rows, in which the last is a copy of the first, and the parts it is of."""
    from raypipe.run.links import PARTS, parts_table
    from raypipe.select.dedup.clusters import clusters_of
    from raypipe.select.dedup.marks import EMPTY, marks_table, write_marks
    from raypipe.select.dedup.unit_marks import FIRST_FILE, REPEATED_FILE

    folder = Folder(mkdtemp())
    folder.write(PARTS, parts_table([(FIRST_PART, 0)], 7))
    found, chosen = clusters_of(np.array([6]), np.array([0])), pa.table({"row": [0], "id": ["0"]})
    if reference is not None:
        chosen = chosen.append_column("reference", reference)
    name = None if reference is None else "reference"
    write_marks(folder, marks_table(found, found.kept(), chosen, name), EMPTY)
    repeated = {"key": pa.array([13, 19], pa.uint64()), "first_row": [0, 2], "n_documents": [2, 2]}
    pq.write_table(pa.table(repeated), f"{folder.uri.removeprefix('file://')}/{REPEATED_FILE}")
    pq.write_table(pa.table({"row": [0, 2], "id": ["0", "2"]}), f"{folder.uri.removeprefix('file://')}/{FIRST_FILE}")
    return folder


def exact_marks() -> Any:
    from raypipe.select.dedup.marks import ExactMarks

    return ExactMarks("keys", marks_folder(), "a")


def unit_marks() -> Any:
    from raypipe.select.dedup.unit_marks import UnitMarks

    return UnitMarks("keys", marks_folder(), "b")


def cells() -> Any:
    from raypipe.select.dedup.cells import CENTROIDS, VectorCells, centroids_file

    folder = Folder(mkdtemp())
    folder.write(CENTROIDS, centroids_file(np.eye(2)))
    return VectorCells("embeddings.embedding", folder, "d")


def semantic_marks() -> Any:
    from raypipe.select.dedup.semantic_marks import SemanticMarks

    reference = pa.array([[0.6, 0.8]], pa.list_(pa.float32(), 2))
    return SemanticMarks("keys", marks_folder(reference), "e", "embeddings.embedding")


def describe() -> Any:
    from raypipe.describe.describe import PART_NAMES, Describe, parts_of

    return Describe(parts_of(PART_NAMES))


def back() -> Any:
    """Two chunks of each text that has none of its own reason, and numbers of these."""
    from raypipe.rewrite.back import Back

    folder = Folder(mkdtemp())
    cut = [row for row, text in enumerate(TEXTS) if text for _ in range(2)]
    ids = [f"{row}#{at % 2}" for at, row in enumerate(cut)]
    origin = pa.table({"id": ids, "source_row": cut, "source_text_hash": cut})
    numbers = pa.table({"id": ids, "loss": [float(at) for at in range(len(cut))]})
    name = "a-00000000-000000000000000"
    for stage, file, table in (("chunks", name, origin), ("scores", f"{name}.parquet-00000000-{0:015d}", numbers)):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        (folder / stage).write(f"{file}.parquet", sink.getvalue())
    return Back(folder / "chunks", folder, ("scores.loss",), (pa.float64(),), "f")


def score_bags() -> Any:
    from raypipe.classify.weakstil import WeakSTIL
    from raypipe.models.fitted import save_fitted
    from raypipe.run.score_bags import ScoreBags

    folder = Folder(mkdtemp())
    save_fitted(WeakSTIL(hidden=2, max_iter=2, random_state=0).fit([[1.0, 2.0], [3.0, 1.0]], [1.0, 2.0]), folder)
    return ScoreBags(folder, "chunk_columns.embedding", is_of_bags=True)


def class_likelihoods() -> Any:
    from raypipe.score.class_likelihoods import ClassLikelihoods, ClassModel

    classes = tuple(ClassModel(label, tiny_folder(), f"{label}: ") for label in ("a", "b"))
    return ClassLikelihoods(classes, "1:32", token_budget=64)


EXAMPLES: dict[str, Callable[[], Any]] = {
    "ForwardPass": forward_pass,
    "Tokenise": tokenise,
    "Predict": predict,
    "Classify": classify,
    "ClassifyMany": classify_many,
    "RewriteOp": pieces,
    "Decontaminate": decontaminate,
    "Embed": embed,
    "Ask": ask,
    "CastVotes": cast_votes,
    "LabelRows": labels,
    "ExactKeys": exact_keys,
    "UnitKeys": unit_keys,
    "MinHashKeys": minhash_keys,
    "VectorCells": cells,
    "SemanticMarks": semantic_marks,
    "MinHashMarks": minhash_marks,
    "ExactMarks": exact_marks,
    "UnitMarks": unit_marks,
    "Describe": describe,
    "Back": back,
    "ClassLikelihoods": class_likelihoods,
    "ScoreBags": score_bags,
}


def table_for(op: Any, texts: list[str | None] = TEXTS) -> pa.Table:
    """Rows with what an Op reads: of the source, of stages numbers or votes; where there is no text, a reason."""
    n = len(texts)
    source = {
        "id": [str(row) for row in range(n)],
        "text_hash": list(range(n)),
        "domain": ["a"] * n,
        TEXT: texts,
        "n_bytes": [len(text or "") for text in texts],
        REASON: [None if text is not None else "empty" for text in texts],
    }
    table = pa.table(source, schema=SOURCE)
    for name in op.reads:
        if name == VOTES:
            votes = [None if text is None else [len(text) % 2, len(text) % 3 - 1] for text in texts]
            table = table.append_column(name, pa.array(votes, pa.list_(pa.int8())))
        elif name == PART:
            part = pa.array([FIRST_PART] * n, pa.string()).dictionary_encode()
            table = table.append_column(name, part)
        elif name == PART_ROW:
            table = table.append_column(name, pa.array(range(n), pa.int64()))
        elif name == BAGS:
            bags = [None if text is None else [[len(text), row]] * row + [None] for row, text in enumerate(texts, 1)]
            table = table.append_column(name, pa.array(bags, pa.large_list(pa.list_(pa.float32()))))
        elif name in LISTS:
            lists = [None if text is None else [len(text)] * 2 for text in texts]
            table = table.append_column(name, pa.array(lists, LISTS[name]))
        elif name not in table.column_names:
            table = table.append_column(name, pa.array([float(len(text or "")) for text in texts], pa.float32()))
    return table.select(["id", "text_hash", *op.reads, REASON])


def declares_itself(op: Any) -> None:
    assert isinstance(op.reads, tuple)
    assert all(isinstance(name, str) for name in op.reads)
    assert isinstance(op.adds, pa.Schema)
    assert len(op.adds) == len(set(op.adds.names)) > 0
    assert not set(op.adds.names) & {"id", "text_hash", *OUTCOME.names}
    assert type(op.version) is int
    assert op.unit == op.unit.lower() != ""
    assert isinstance(op.limits(), Mapping)
    assert set(op.limits()) <= {one.name for one in fields(op)}
    assert all(value == getattr(op, name) for name, value in op.limits().items())


def travels_small_and_unused(op: Any) -> None:
    sent = pickle.dumps(op)
    assert len(sent) < 100_000
    assert pickle.loads(sent) == op  # noqa: S301 (our own bytes)
    assert op.padding == 0


def keeps_rows_and_their_order(op: Any) -> None:
    op.setup(n_threads=1)
    table = table_for(op)
    forth, back = apply(op, table), apply(op, table.take(list(range(len(table)))[::-1]))
    assert forth.schema.names == [*op.adds.names, *OUTCOME.names]
    assert pc.is_valid(forth[REASON]).to_pylist()[1] is True
    assert forth[REASON].null_count > 1
    for name in forth.column_names:
        one, other = forth[name].to_pylist(), back[name].to_pylist()[::-1]
        if pa.types.is_floating(forth[name].type):
            np.testing.assert_allclose(np.array(one, float), np.array(other, float), rtol=1e-4)
        else:
            assert one == other


def gives_exactly_the_columns_that_it_adds(op: Any) -> None:
    op.setup(n_threads=1)
    prepared = op.prepare(table_for(op))
    assert len(prepared) == len(TEXTS)
    for rows in op.batches(prepared):
        found = op(prepared.take(rows))
        assert len(found) == len(rows)
        assert set(found.column_names) <= {*op.adds.names, REASON}
        assert set(op.adds.names) <= {*found.column_names, *prepared.column_names}


def puts_each_row_without_a_reason_in_one_batch(op: Any) -> None:
    prepared = op.prepare(table_for(op))
    rows = np.concatenate([*op.batches(prepared), np.empty(0, int)])
    assert sorted(rows) == np.flatnonzero(pc.is_null(prepared[REASON]).to_numpy()).tolist()
    assert [list(a) for a in op.batches(prepared)] == [list(b) for b in op.batches(prepared)]


def works_on_no_rows_and_on_rows_with_reasons_alone(op: Any) -> None:
    op.setup(n_threads=1)
    assert len(apply(op, table_for(op, []))) == 0
    none = apply(op, table_for(op, [None, None]))
    assert none[REASON].to_pylist() == ["empty", "empty"]
    assert none.schema.names == [*op.adds.names, *OUTCOME.names]


def costs_what_its_rows_cost_together(op: Any) -> None:
    prepared = op.prepare(table_for(op))
    costs = [op.cost(prepared.slice(row, 1)) for row in range(len(prepared))]
    assert op.cost(prepared) == sum(costs) > 0
    assert op.cost(prepared.slice(0, 0)) == 0


CHECKS = [
    declares_itself,
    travels_small_and_unused,
    keeps_rows_and_their_order,
    gives_exactly_the_columns_that_it_adds,
    puts_each_row_without_a_reason_in_one_batch,
    works_on_no_rows_and_on_rows_with_reasons_alone,
    costs_what_its_rows_cost_together,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", OPS, ids=lambda kind: kind.__name__)
def test_an_op(kind: type, check: Callable[[Any], None]) -> None:
    assert kind.__name__ in EXAMPLES, f"give {kind.__name__} an example above: how it is made for a few small texts."
    check(EXAMPLES[kind.__name__]())


def test_all_are_found() -> None:
    assert set(EXAMPLES) <= {kind.__name__ for kind in OPS}


@dataclass
class Sizes:
    """Right: the length of each text; the wrong ones below change one thing each."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    version: ClassVar[int] = 1
    unit: ClassVar[str] = ROWS
    adds: ClassVar[pa.Schema] = pa.schema([("size", pa.int64())])
    padding: int = field(default=0, init=False)

    def prepare(self, table: pa.Table) -> pa.Table:
        return table

    def setup(self, *, n_threads: int) -> None: ...

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        rows = np.flatnonzero(pc.is_null(prepared[REASON]).to_numpy())
        return [rows[::2], rows[1::2]]

    def cost(self, prepared: pa.Table) -> int:
        return len(prepared)

    def limits(self) -> dict[str, int]:
        return {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.table({"size": pa.array([len(text) for text in batch[TEXT].to_pylist()], pa.int64())})


class NoInteger(Sizes):
    version = 1.0


class LimitsNothing(Sizes):
    def limits(self):
        return {"token_budget": 64}


class Heavy(Sizes):
    def __reduce__(self):
        return (bytes, (bytes(200_000),))


class Sorts(Sizes):
    def __call__(self, batch):
        return super().__call__(batch).sort_by("size")


class AddsMore(Sizes):
    def __call__(self, batch):
        return super().__call__(batch).append_column("more", batch[TEXT])


class TakesAll(Sizes):
    def batches(self, prepared):
        return [np.arange(len(prepared))]


class NeedsRows(Sizes):
    def batches(self, prepared):
        return np.array_split(super().batches(prepared)[0], len(super().batches(prepared)[0]))


class CostsByTable(Sizes):
    def cost(self, prepared):
        return len(prepared) ** 2


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (NoInteger, declares_itself),
        (LimitsNothing, declares_itself),
        (Heavy, travels_small_and_unused),
        (Sorts, keeps_rows_and_their_order),
        (AddsMore, gives_exactly_the_columns_that_it_adds),
        (TakesAll, puts_each_row_without_a_reason_in_one_batch),
        (NeedsRows, works_on_no_rows_and_on_rows_with_reasons_alone),
        (CostsByTable, costs_what_its_rows_cost_together),
    ],
)
def test_a_wrong_one_is_caught(wrong: type, check: Callable[[Any], None]) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check(wrong())
    check(Sizes())
