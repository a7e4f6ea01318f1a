"""Duplicates of small corpora, marked in this process; one search through Ray."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.find_duplicates import Config, main
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
