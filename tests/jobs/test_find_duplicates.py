"""Duplicates of small corpora, marked in this process; one search through Ray."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.find_duplicates import Config, main
from raypipe.contracts.row_op import ReaderOp
from raypipe.corpus import Corpus
from raypipe.embed.formats import fields_of, stored
from raypipe.run.cluster import Wanted
from raypipe.run.event_loop import StageFailed
from raypipe.run.inputs import Sizes
from raypipe.run.stage import Annotate
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder
from tests.run.in_process import use_this_process

PLAIN = [f"document {row} is about matter {row * 7} and no other, in words of its own" for row in range(12)]


def write(folder: Path, texts: list[str | None], *, n_files: int = 2) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(n_files):
        mine = [(row, text) for row, text in enumerate(texts) if row * n_files // len(texts) == number]
        lines = [json.dumps({"name": f"r{row}", "text": text}) for row, text in mine]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return str(folder)


def find(root: Path, **settings: Any) -> int:
    given = {"corpus": (str(root / "corpus"),), "output": str(root / "run"), "id_column": "name", "shard_bytes": 300}
    return main(Config(**{**given, **settings}))


def output(root: Path, stage: str) -> pa.Table:
    files = sorted((root / "run" / stage).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file).replace_schema_metadata(None) for file in files])


def marks(root: Path, stage: str) -> dict[str, str]:
    """Duplicates and what they are of."""
    rows = output(root, stage).to_pylist()
    assert [row["id"] for row in rows] == [f"r{number}" for number in range(len(rows))]
    return {row["id"]: row["duplicate_of"] for row in rows if row["is_duplicate"]}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    use_this_process(monkeypatch)


@pytest.mark.usefixtures("here")
def test_copies_but_for_case_and_white_space_are_marked_and_the_first_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [*PLAIN, PLAIN[3].upper(), "  " + PLAIN[3].replace(" ", "\n"), PLAIN[5] + "!", None, "", PLAIN[3], PLAIN[7]]
    write(tmp_path / "corpus", texts)
    assert find(tmp_path, by="exact") == 0
    assert marks(tmp_path, "exact_duplicates") == {"r12": "r3", "r13": "r3", "r17": "r3", "r18": "r7"}
    rows = output(tmp_path, "exact_duplicates").to_pylist()
    assert [(row["cluster"], row["cluster_size"]) for row in rows[:4]] == [(None, 1)] * 3 + [(3, 4)]
    assert rows[17]["similarity"] == 1.0
    assert rows[3]["similarity"] is None
    assert [(rows[at]["reason"], rows[at]["is_duplicate"]) for at in (15, 16)] == [("null text", None), ("empty", None)]
    said = capsys.readouterr().out
    assert "19 rows, 2 of them skipped; 4 are duplicates, in 2 clusters, the largest of 4 rows" in said


@pytest.mark.usefixtures("here")
def test_groups_and_cuts_change_nothing(tmp_path: Path) -> None:
    texts = [PLAIN[row * row % 7] for row in range(40)]
    found = []
    for name, changes in {"a": {}, "b": {"memory_gb": 4e-7}, "c": {"shard_bytes": 10_000}}.items():
        write(tmp_path / name / "corpus", texts)
        assert find(tmp_path / name, by="exact", **changes) == 0
        found.append(output(tmp_path / name, "exact_duplicates"))
    assert len(list((tmp_path / "b/run/exact_links").glob("*.parquet"))) == 5
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])


@pytest.mark.usefixtures("here")
def test_lines_of_earlier_documents_are_counted_and_their_first_document_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    footer = "all rights are reserved by the owner of this site"
    texts = [f"{text}\n{footer}" for text in PLAIN]
    texts += [f"{texts[2]}\nshort", f"{PLAIN[4]}\n{PLAIN[2]}\n{footer}", f"{footer}\n{footer}", "short\nshort"]
    write(tmp_path / "corpus", texts)
    assert find(tmp_path, by="lines") == 0
    rows = output(tmp_path, "lines_duplicates").to_pylist()
    assert (rows[0]["is_duplicate"], rows[0]["similarity"], rows[0]["n_repeated"]) == (False, 0.0, 0)
    assert rows[1]["similarity"] == pytest.approx(len(footer) / (len(footer) + len(PLAIN[1])))
    assert marks(tmp_path, "lines_duplicates") == {"r12": "r2", "r13": "r2", "r14": "r0"}
    assert (rows[14]["n_units"], rows[14]["n_repeated"], rows[14]["similarity"]) == (2, 2, 1.0)
    assert (rows[15]["is_duplicate"], rows[15]["n_units"]) == (False, 0)  # too short to tell
    assert "16 rows; 3 lines stand in 2 documents or more; 3 are duplicates by 0.8" in capsys.readouterr().out
    assert find(tmp_path, by="lines", min_documents=4, min_share=0.3, name="frequent") == 0
    found = marks(tmp_path, "lines_duplicates-frequent")
    assert found["r1"] == "r0"  # the footer alone is in four documents
    assert find(tmp_path, by="paragraphs") == 0
    assert marks(tmp_path, "paragraphs_duplicates") == {}


@pytest.mark.usefixtures("here")
def test_near_copies_are_marked_with_their_similarity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join(f"w{number}" for number in range(60))
    others = [" ".join(f"x{row}y{number}" for number in range(40)) for row in range(12)]
    texts = [*others, words, f"{words} and more", "...", words.replace("w30 ", "other "), "...", None]
    write(tmp_path / "corpus", texts)
    assert find(tmp_path, by="minhash", ngram=2, bands=40, rows_per_band=4) == 0
    assert marks(tmp_path, "minhash_duplicates") == {"r13": "r12", "r15": "r12"}
    rows = output(tmp_path, "minhash_duplicates").to_pylist()
    assert rows[13]["similarity"] == pytest.approx(59 / 61, abs=0.06)
    assert rows[15]["similarity"] == pytest.approx(57 / 61, abs=0.08)
    assert [rows[at]["is_duplicate"] for at in (14, 16, 17)] == [False, False, None]
    said = capsys.readouterr().out
    assert "40 bands of 4 hashes; chance to find two texts of Jaccard 0.4: 64.6 %, 0.5: 92.4 %" in said
    assert "18 rows, 1 of them skipped; 2 are duplicates, in 1 clusters, the largest of 3 rows" in said
    assert find(tmp_path, by="minhash", ngram=2, bands=1, rows_per_band=64) == 0  # near copies alone aren't enough
    assert marks(tmp_path, "minhash_duplicates") == {}


@pytest.mark.usefixtures("here")
def test_a_changed_file_changes_the_marks_and_what_is_unchanged_is_left(tmp_path: Path) -> None:
    write(tmp_path / "corpus", [*PLAIN, PLAIN[3]])
    find(tmp_path, by="exact")

    def stamps(stage: str) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / stage).glob("*.parquet")}

    before = {stage: stamps(stage) for stage in ("exact_keys", "exact_links", "exact_clusters", "exact_duplicates")}
    find(tmp_path, by="exact")
    assert {stage: stamps(stage) for stage in before} == before
    path = tmp_path / "corpus/1.jsonl"
    path.write_text(path.read_text().replace(PLAIN[3], PLAIN[11]))
    find(tmp_path, by="exact")
    assert marks(tmp_path, "exact_duplicates") == {"r12": "r11"}
    kept = before["exact_keys"].items() & stamps("exact_keys").items()
    assert {name[:7] for name, _ in kept} == {"0.jsonl"}


@pytest.mark.usefixtures("here")
def test_the_highest_of_a_column_stays(tmp_path: Path) -> None:
    write(tmp_path / "corpus", [*PLAIN, PLAIN[3], PLAIN[3], PLAIN[5]])
    find(tmp_path, by="lines", min_share=1.0, min_chars=1)  # a stage with numbers
    settings = {"by": "exact", "stays_by": "lines_duplicates.n_repeated", "shard_bytes": 64 << 20}
    assert find(tmp_path, stays="highest", **settings) == 0
    assert marks(tmp_path, "exact_duplicates") == {"r3": "r12", "r13": "r12", "r5": "r14"}
    assert find(tmp_path, stays="lowest", **settings) == 0
    assert marks(tmp_path, "exact_duplicates") == {"r12": "r3", "r13": "r3", "r14": "r5"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": "exact", "min_chars": 3}, "--min-chars has no effect with --by exact"),
        ({"by": "lines", "stays": "highest", "stays_by": "a.b"}, "--stays, --stays-by have no effect here"),
        ({"by": "exact", "bands": 3, "seed": 1}, "--bands, --seed have no effect with --by exact"),
        ({"by": "minhash", "bands": 0}, "bands and rows_per_band must be at least 1"),
        ({"by": "semantic", "min_cosine": 1.0}, "min_cosine must be above 0 and below 1, got 1.0"),
        ({"by": "semantic", "margin": -0.1}, "margin must be from 0 to 2, got -0.1"),
        ({"by": "semantic", "clusters": 0}, "clusters must be at least 1, got 0"),
        ({"by": "semantic", "sample_rows": 0}, "sample_rows must be at least 1, got 0"),
        ({"by": "minhash", "margin": 0.1}, "--margin has no effect with --by minhash"),
        ({"by": "minhash", "ngram": 0}, "ngram must be at least 1, got 0"),
        ({"by": "exact", "stays": "highest"}, "stays_by must name a column where stays is highest or lowest"),
        ({"by": "exact", "stays": "highest", "stays_by": "scores.loss"}, "has no stage 'scores'"),
        ({"by": "exact", "memory_gb": 0.0}, "memory_gb must be above 0, got 0.0"),
        ({"by": "lines", "min_share": 0.0}, "min_share must be above 0 and at most 1, got 0.0"),
        ({"by": "lines", "min_chars": 0}, "min_chars must be at least 1, got 0"),
        ({"by": "lines", "min_documents": 1}, "min_documents must be at least 2, got 1"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write(tmp_path / "corpus", PLAIN)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find(tmp_path, **changes)
    assert not list((tmp_path / "run").glob("*/*.parquet"))


def commit_embeddings(root: Path, X: np.ndarray, *, number_format: str = "float32") -> None:
    """Vectors of the rows of a corpus, committed as embed_corpus does; those of empty texts are skipped."""

    @dataclass
    class Given(ReaderOp):
        reads: ClassVar[tuple[str, ...]] = ("text",)
        adds: ClassVar[pa.Schema] = fields_of(number_format, X.shape[1])  # type: ignore[arg-type]
        version: ClassVar[int] = 1
        unit: ClassVar[str] = "rows"

        def prepare(self, table: pa.Table) -> pa.Table:
            return pa.table({**stored(X[numbers_of(table)], number_format), "reason": table["reason"]})  # type: ignore[arg-type]

        def cost(self, prepared: pa.Table) -> int:
            return len(prepared)

    corpus, sizes = Corpus((str(root / "corpus"),), id_column="name"), Sizes(300, 100_000)
    run, op = Folder(str(root / "run")), Given()
    identity = identity_of(corpus, sizes, op="given", vectors=float(np.abs(X[np.isfinite(X)]).sum()))
    Annotate(run, "embeddings", op, corpus, Wanted(1, 1), sizes, identity, redo=True)()


def numbers_of(table: pa.Table) -> np.ndarray:
    """The numbers of a shard's rows by their names."""
    return np.array([int(name[1:]) for name in table["id"].to_pylist()])


def near_vectors(n: int, copies: dict[int, int]) -> np.ndarray:
    X = np.random.default_rng(0).normal(size=(n, 16))
    for row, of in copies.items():
        X[row] = X[of] + 0.05 * X[row]
    return X


@pytest.mark.usefixtures("here")
def test_rows_of_near_vectors_are_marked_and_what_is_seen_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"{text} again" for _ in range(5) for text in PLAIN]
    texts[9] = ""
    write(tmp_path / "corpus", texts)
    X = near_vectors(60, {20: 3, 41: 20, 55: 30})
    X[7, 2], X[8] = np.nan, 0.0
    commit_embeddings(tmp_path, X)
    given = {"by": "semantic", "min_cosine": 0.99, "shard_bytes": 64 << 20}
    assert find(tmp_path, **given) == 0
    assert marks(tmp_path, "semantic_duplicates") == {"r20": "r3", "r41": "r3", "r55": "r30"}
    rows = output(tmp_path, "semantic_duplicates").to_pylist()
    assert [rows[at]["reason"] for at in (7, 8, 9)] == [
        "a vector with numbers that aren't finite", "a vector of length 0", "empty",
    ]  # fmt: skip
    assert rows[7]["is_duplicate"] is None
    cosine = X[20] @ X[3] / np.linalg.norm(X[20]) / np.linalg.norm(X[3])
    assert rows[20]["similarity"] == pytest.approx(cosine, abs=1e-5)
    said = capsys.readouterr().out
    assert "60 rows, 3 of them skipped; 3 are duplicates, in 2 clusters, the largest of 3 rows" in said
    assert "8 clusters, the largest of" in said
    assert "seen: 100.00 %" in said
    before = output(tmp_path, "semantic_duplicates")
    assert find(tmp_path, **given, memory_gb=1.2e-6) == 0  # 45 bytes a row
    assert output(tmp_path, "semantic_duplicates").equals(before)
    assert "passes" in capsys.readouterr().out
    commit_embeddings(tmp_path, near_vectors(60, {20: 3}))
    assert find(tmp_path, **given) == 0
    assert marks(tmp_path, "semantic_duplicates") == {"r20": "r3"}


@pytest.mark.usefixtures("here")
def test_vectors_that_cant_be_used_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "corpus", PLAIN * 2)
    given = {"by": "semantic", "shard_bytes": 64 << 20}
    with pytest.raises(FileNotFoundError, match="has no stage 'embeddings'"):
        find(tmp_path, **given)
    commit_embeddings(tmp_path, np.random.default_rng(0).normal(size=(24, 8)), number_format="binary")
    with pytest.raises((ValueError, StageFailed), match="vectors must be of numbers, got bits"):
        find(tmp_path, **given)
    commit_embeddings(tmp_path, np.full((24, 8), np.nan))
    with pytest.raises(ValueError, match=r"embeddings.embedding must hold vectors of finite numbers .* got none"):
        find(tmp_path, **given)
    commit_embeddings(tmp_path, np.random.default_rng(0).normal(size=(24, 8)))
    with pytest.raises(ValueError, match=r"sample_rows must be at least clusters \(30\), got 24 rows"):
        find(tmp_path, **given, clusters=30)
    with pytest.raises(ValueError, match=r"memory_gb must hold the largest cluster, .* rows of 29 bytes"):
        find(tmp_path, **given, memory_gb=4e-8)
    with pytest.raises(KeyError, match=r"no column 'embeddings.embeding'.*did you mean 'embeddings.embedding'"):
        find(tmp_path, **given, vectors="embeddings.embeding")
    path = tmp_path / "corpus/1.jsonl"
    path.write_text(path.read_text().replace(PLAIN[3], PLAIN[3] + " more"))
    with pytest.raises(ValueError, match=r"stage 'embeddings' was made before 1.jsonl changed"):
        find(tmp_path, **given)
