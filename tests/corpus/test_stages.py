import gzip
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe import columns
from raypipe.corpus import Corpus, Shard, UnreadableFile, plan_shards
from raypipe.corpus.shards import OutputName, output_name
from raypipe.corpus.stages import Joined, Listed, Mismatch, Reads, with_inputs
from raypipe.run.commit import commit, file_name
from raypipe.run.rows import ShardResult
from raypipe.storage.folder import Folder
from tests.corpus.reading import tables_of

SIZES = {"shard_bytes": 300, "part_rows": 7}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    rows = [{"text": f"text {i}" if i % 5 else "", "n": i} for i in range(40)]
    folder = tmp_path / "corpus"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=10)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "b.jsonl").write_text(lines)
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return Corpus((str(folder),))


def make_stage(corpus: Corpus, folder: Folder, *, scale: int) -> None:
    """Files as a stage writes them: a number for each row, from its text."""
    for shard in plan_shards(corpus, **SIZES):
        tables = tables_of(corpus, shard, part_rows=SIZES["part_rows"])
        for at, (part, table) in enumerate(tables):
            n = pa.array([scale * int(text.split()[1]) if text else None for text in table["text"].to_pylist()])
            status = pa.array([columns.SCORED if text else columns.SKIPPED for text in table["text"].to_pylist()])
            outcome = pa.table({"n": n.cast(pa.int64()), "other": n, "status": status, "reason": table["reason"]})
            name = file_name(part, is_last=at == len(tables) - 1)
            commit(folder, name, shard=part, source=table, result=ShardResult(outcome, 0))


def joined(
    corpus: Corpus, run: Folder, *source: str, done: frozenset[int] = frozenset()
) -> list[tuple[Shard, bool, pa.Table]]:
    reads = (Reads("one", run / "one", ("n",)), Reads("two", run / "two", ("n",)))
    listings = [Listed.of(one.stage, one.folder) for one in reads]
    inputs = Joined(corpus, SIZES["part_rows"], reads, source)
    planned = with_inputs(plan_shards(corpus, **SIZES).shards, listings)
    return [part for shard, files in planned for part in inputs.parts(shard, files, done=done)]


@pytest.fixture
def run(tmp_path: Path, corpus: Corpus) -> Folder:
    run = Folder(str(tmp_path / "run"))
    make_stage(corpus, run / "one", scale=1)
    make_stage(corpus, run / "two", scale=10)
    return run


@pytest.mark.parametrize("source", [(), ("text",), ("domain", "text", "n_bytes")])
def test_rows_of_stages_and_source_stand_side_by_side(corpus: Corpus, run: Folder, source: tuple[str, ...]):
    parts = joined(corpus, run, *source)
    rows = [row for _, _, table in parts for row in table.to_pylist()]
    assert [row["one.n"] for row in rows] == 3 * [i if i % 5 else None for i in range(40)]
    assert [row["two.n"] for row in rows] == 3 * [10 * i if i % 5 else None for i in range(40)]
    assert [row["reason"] for row in rows] == 3 * [None if i % 5 else "empty" for i in range(40)]
    assert set(rows[0]) == {"id", "text_hash", "reason", "one.n", "two.n", *source}
    if "text" in source:
        assert [row["text"] for row in rows] == 3 * [f"text {i}" if i % 5 else None for i in range(40)]
    assert len({(shard.path, shard.start) for shard, _, _ in parts}) == len(parts)
    stream = [(shard.start, shard.n_rows, is_last) for shard, is_last, _ in parts if shard.cut == "part"]
    assert stream == [(0, 7, False), (7, 7, False), (14, 7, False), (21, 7, False), (28, 7, False), (35, 5, True)]


@pytest.mark.parametrize("source", [(), ("text",)])
def test_parts_that_are_done_are_left_out(corpus: Corpus, run: Folder, source: tuple[str, ...]):
    parts = joined(corpus, run, *source, done=frozenset({0, 14, 35}))
    assert [shard.start for shard, _, _ in parts if shard.cut == "part"] == [7, 21, 28]


def test_without_a_column_of_the_source_it_is_not_opened(corpus: Corpus, run: Folder, monkeypatch: pytest.MonkeyPatch):
    plan = plan_shards(corpus, **SIZES)
    monkeypatch.setattr("raypipe.corpus.files.Files.open_unchanged", lambda *_: pytest.fail("the source was opened"))
    asked = []
    real = pq.ParquetFile.read

    def watched(self: pq.ParquetFile, names: list[str]):
        asked.append(names)
        return real(self, names)

    monkeypatch.setattr(pq.ParquetFile, "read", watched)
    reads = Reads("one", run / "one", ("n",))
    planned = with_inputs(plan.shards, [Listed.of("one", reads.folder)])
    for shard, files in planned:
        list(Joined(corpus, 7, (reads,), ()).parts(shard, files))
    assert asked
    assert all(names == ["id", "text_hash", "reason", "n"] for names in asked)


def test_the_first_difference_is_named(corpus: Corpus, run: Folder, tmp_path: Path):
    text = (tmp_path / "corpus/b.jsonl").read_text()
    (tmp_path / "corpus/b.jsonl").write_text(text.replace("text 13", "texT 13"))  # of the same size
    with pytest.raises(
        Mismatch, match=r"b\.jsonl from \d+: row \d+ has text_hash -?\d+ in the corpus, -?\d+ in stage 'one'"
    ):
        joined(corpus, run, "text")
    joined(corpus, run)  # what isn't read isn't compared


def test_another_number_of_rows_and_a_missing_file_are_named(corpus: Corpus, run: Folder, tmp_path: Path):
    name = next(iter(Listed.of("two", run / "two").files["a.parquet"].values()))[0]
    table = pq.read_table(tmp_path / "run/two" / name)
    pq.write_table(table.slice(1), tmp_path / "run/two" / name)
    with pytest.raises(Mismatch, match=r"\d+ rows in one, \d+ in stage 'two'|\d+ rows in .*one.*, \d+ in stage 'two'"):
        joined(corpus, run)
    (tmp_path / "run/two" / name).unlink()
    with pytest.raises(Mismatch, match=r"stage 'two' has no file of a\.parquet from 0; give its command again first"):
        joined(corpus, run)


def test_a_file_written_again_makes_its_shard_another(corpus: Corpus, run: Folder, tmp_path: Path):
    def keys() -> list[str]:
        planned = with_inputs(plan_shards(corpus, **SIZES).shards, [Listed.of("one", run / "one")])
        return [shard.key for shard, _ in planned]

    before = keys()
    assert before == keys()
    plain = [shard.key for shard in plan_shards(corpus, **SIZES)]
    assert not set(before) & set(plain)
    name = min(Listed.of("one", run / "one").files["b.jsonl"].values())[0]
    run_file = tmp_path / "run/one" / name
    content = run_file.read_bytes()
    run_file.unlink()
    run_file.write_bytes(content)
    assert len(set(before) - set(keys())) == 1


def test_a_damaged_file_is_unreadable(corpus: Corpus, run: Folder, tmp_path: Path):
    name = Listed.of("one", run / "one").files["a.parquet"][0][0]
    (tmp_path / "run/one" / name).write_bytes(b"PAR1 no more")
    with pytest.raises(UnreadableFile, match="can't be read"):
        joined(corpus, run)


def test_a_key_without_other_stages_is_what_it_was():
    shard = Shard("a b/c.jsonl", "file:///x", "bytes", 7, 9, "10-20", size=64)
    assert shard.key == "a%20b%2Fc.jsonl-" + shard.key.split("-")[1] + "-000000000000007"
    assert replace(shard, inputs="0123abcd").key == shard.key + "-0123abcd"


def test_names_with_and_without_inputs_are_taken_apart_and_sort_alike():
    name = output_name("a-00000000-000000000000001.jsonl-12345678-000000000000400-0123abcd.last.parquet")
    assert name == OutputName("a-00000000-000000000000001.jsonl", "12345678", 400, "0123abcd", True)
    assert output_name("a-12345678-000000000000400.parquet") == OutputName("a", "12345678", 400, "", False)
    assert output_name("a-12345678-400.parquet") is None
    shards = [Shard("a.jsonl", "", "bytes", start, 0, "1", inputs=inputs) for start, inputs in ((0, "ff"), (9, "00"))]
    assert [shard.key for shard in shards] == sorted(shard.key for shard in shards)
