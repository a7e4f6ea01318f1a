"""The mix, joined to real source files of every cut: Parquet rows, bytes of JSON lines, parts of a stream."""

import io
import itertools
import json
import tarfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from raypipe.corpus import Corpus, plan_shards, read_shard, read_stream
from raypipe.runs.files import file_identity
from raypipe.select.export.dataset_card import dataset_card, licences_of
from raypipe.select.export.encode import FORMATS, encode
from raypipe.select.export.export import Export, export, in_c4_lines, pieces, redacted
from raypipe.select.export.join import MIX
from raypipe.select.selection import Selection
from raypipe.select.stage import select
from raypipe.settings.nested import built
from tests.select.conftest import SCORES, document, skipped

TEXTS = [f"text {number} " + "ä" * (number % 90) for number in range(400)]
SETTINGS = built(Selection, min_domain_rows=1, holdout=0.02, arms=("random",))


def write_sources(folder: Path) -> Corpus:
    """400 texts: 160 in Parquet, 120 as JSON lines with blank ones between, 120 in a compressed stream."""
    folder.mkdir()
    pq.write_table(pa.table({"text": TEXTS[:160]}), folder / "a.parquet", row_group_size=20)
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS]
    (folder / "b.jsonl").write_text("\n\n".join([*lines[160:280], "not JSON"]))
    (folder / "c.jsonl.zst").write_bytes(zstandard.compress("\n".join(lines[280:]).encode()))
    return Corpus((f"web={folder}",))


def score(run: Path, corpus: Corpus) -> None:
    """Write scores/ as the scoring stage does, with invented losses."""
    (run / "scores").mkdir(parents=True)
    rng, n_rows = np.random.default_rng(0), 0
    for shard in plan_shards(corpus, shard_bytes=2000, part_rows=50):
        whole = [(shard, True, read_shard(corpus, shard))] if shard.cut != "part" else None
        for part, is_last, source in whole or read_stream(corpus, shard, part_rows=50):
            rows = []
            for row in source.to_pylist():
                made = document(0, "web", rng) if row["reason"] is None else skipped(0, "web")
                rows.append({**made, **{name: row[name] for name in ("id", "text_hash", "domain", "n_bytes")}})
            record = {"raypipe.source_path": part.path, "raypipe.shard": json.dumps(asdict(part))}
            table = pa.Table.from_pylist(rows, schema=SCORES.with_metadata(record))
            name = part.key + (".last.parquet" if part.cut == "part" and is_last else ".parquet")
            pq.write_table(table, run / "scores" / name)
            n_rows += len(rows)
    identity = {"corpus": asdict(corpus), "model": "m"}
    card = {"status": "finished", "identity": identity, "counts": {"rows": n_rows}}
    (run / "scores" / "card.json").write_text(json.dumps(card, default=list))


@pytest.fixture
def run(tmp_path: Path) -> str:
    score(tmp_path / "run", write_sources(tmp_path / "sources"))
    select(str(tmp_path / "run"), SETTINGS)
    return str(tmp_path / "run")


def read_mix(run: str, stage: str = "corpus") -> list[dict]:
    rows: list[dict] = []
    for path in sorted((Path(run) / stage).rglob("part-*")):
        if path.suffix == ".parquet":
            assert pq.read_schema(path).equals(MIX)
            rows += pq.read_table(path).to_pylist()
        elif path.suffix == ".tar":
            rows += samples(path)
        else:
            content = zstandard.ZstdDecompressor().stream_reader(path.open("rb"))
            rows += [json.loads(line) for line in io.TextIOWrapper(content, encoding="utf-8")]
    return rows


def samples(path: Path) -> list[dict]:
    """The samples of a file of WebDataset: members that share what stands before the first dot are one."""
    with tarfile.open(path) as tar:
        members = [(*member.name.split(".", 1), tar.extractfile(member).read()) for member in tar]
    found = []
    for key, several in itertools.groupby(members, key=lambda member: member[0]):
        fields = {ending: content for _, ending, content in several}
        assert list(fields) == ["txt", "json"]
        found.append({"__key__": key, "text": fields["txt"].decode(), **json.loads(fields["json"])})
    return found


def weighted(run: str) -> dict[str, dict]:
    tables = (pq.read_table(path) for path in sorted((Path(run) / "selection").glob("*.parquet")))
    return {row["id"]: row for row in pa.concat_tables(tables).to_pylist() if row["weight"] > 0}


@pytest.mark.parametrize("file_size", [512 * 2**20, 3000, 1])
@pytest.mark.parametrize("corpus_format", FORMATS[1:])
def test_every_weighted_row_is_written_once_with_its_text_and_where_it_came_from(run, corpus_format, file_size):
    card = export(run, Export(corpus_format=corpus_format, file_size=file_size))
    rows, expected = read_mix(run), weighted(run)
    assert [row["id"] for row in rows] == list(expected)
    starts = {"web/a.parquet": 0, "web/b.jsonl": 160, "web/c.jsonl.zst": 280}
    for row in rows:
        assert row["text"] == TEXTS[starts[row["source_path"]] + row["source_row"]]
        assert (row["weight"], row["rank"]) == (expected[row["id"]]["weight"], expected[row["id"]]["rank"])
    assert 350 < len(rows) == card["counts"]["rows"] < 400
    assert {row["source_path"] for row in rows} == set(starts)


def test_files_have_about_the_size_asked_for(run):
    export(run, Export(corpus_format="parquet", file_size=4000))
    sizes = []
    for path in sorted((Path(run) / "corpus").glob("part-*")):
        sizes.append(sum(len(text.encode()) for text in pq.read_table(path)["text"].to_pylist()))
    assert len(sizes) > 5
    assert max(sizes) < 4000 + 2000 + 400
    assert sorted(sizes)[2] > 2000  # but for the last of a source


def test_repeated_rows_stand_as_often_as_they_weigh(run):
    export(run, Export(corpus_format="jsonl.zst", repeat=True, file_size=5000))
    rows, expected = read_mix(run), weighted(run)
    counts = {id: len(list(same)) for id, same in itertools.groupby(row["id"] for row in rows)}
    assert counts == {id: row["weight"] for id, row in expected.items()}
    assert {row["weight"] for row in rows} == {1}


def test_the_score_is_the_one_that_was_ranked(run):
    export(run, Export(corpus_format="parquet"))
    tables = (pq.read_table(path) for path in (Path(run) / "scores").glob("*.parquet"))
    influence = {row["id"]: row["influence"] for row in pa.concat_tables(tables).to_pylist()}
    assert all(row["score"] == pytest.approx(influence[row["id"]]) for row in read_mix(run))


def test_a_control_arm_is_written_beside_it(run):
    export(run, Export(corpus_format="parquet"))
    export(run, Export(corpus_format="parquet", export_arm="random"))
    weights = [{row["id"]: row["weight"] for row in read_mix(run, stage)} for stage in ("corpus", "corpus-random")]
    assert weights[0].keys() == weights[1].keys()
    assert weights[0] != weights[1]


@pytest.mark.parametrize("corpus_format", ["jsonl.zst", "webdataset", "huggingface"])
def test_an_interrupted_export_goes_on_and_gives_the_same_bytes(run, corpus_format):
    settings = Export(corpus_format=corpus_format, file_size=3000)
    export(run, settings)
    whole = contents(run)
    card = Path(run) / "corpus" / "card.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "status": "running"}))
    names = sorted(name for name in whole if "part-" in name)
    for name in {*names[3:], *(whole.keys() - names)}:
        (Path(run) / "corpus" / name).unlink()
    kept = {name: (Path(run) / "corpus" / name).stat().st_mtime_ns for name in names[:2]}
    export(run, settings)
    assert contents(run) == whole
    assert kept == {name: (Path(run) / "corpus" / name).stat().st_mtime_ns for name in names[:2]}


def contents(run: str) -> dict[str, bytes]:
    folder = Path(run) / "corpus"
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name != "card.json"}


def test_another_format_leaves_nothing_of_the_one_before(run):
    export(run, Export(corpus_format="huggingface", file_size=3000))
    export(run, Export(corpus_format="webdataset"))
    assert {name.rpartition(".")[2] for name in contents(run)} == {"tar"}
    assert [path for path in (Path(run) / "corpus").rglob("*") if path.is_dir()] == []
    export(run, Export(corpus_format="huggingface"))
    assert {name.partition("/")[0] for name in contents(run)} == {"README.md", "data"}


def test_a_file_of_webdataset_is_these_bytes():
    row = {"id": "a", "domain": "d", "text": "Ünï.code", "weight": 1.0, "rank": None, "score": 0.5}
    table = pa.Table.from_pylist([{**row, "source_path": "p", "source_row": 3}], schema=MIX)
    content = bytes(encode(table, "webdataset", name="part-000007-0002.tar"))
    beside = (
        '{"id": "a", "domain": "d", "weight": 1.0, "rank": null, "score": 0.5, "source_path": "p", "source_row": 3}'
    )
    expected = {"000007-0002-00000000.txt": "Ünï.code".encode(), "000007-0002-00000000.json": beside.encode()}
    at = 0
    for name, body in expected.items():  # a header of 512 bytes, the content filled up to a multiple of it
        header = content[at : at + 512]
        assert header[:100].rstrip(b"\0").decode() == name
        assert (header[100:108], header[108:116], header[136:148]) == (b"0000644\0", b"0000000\0", b"00000000000\0")
        assert int(header[124:135], 8) == len(body)
        assert header[257:265] == b"ustar\x0000"
        assert content[at + 512 : at + 512 + len(body)] == body
        at += 512 + -(-len(body) // 512) * 512
    assert not any(content[at:])


def test_keys_of_samples_are_unique_over_all_files_though_rows_are_repeated(run):
    export(run, Export(corpus_format="webdataset", repeat=True, file_size=3000))
    keys = [row["__key__"] for row in read_mix(run)]
    assert len(set(keys)) == len(keys) == sum(row["weight"] for row in weighted(run).values())


def test_the_card_of_a_dataset_says_whence_it_came_under_which_licences_and_how(run, tmp_path):
    sources = [f"web={tmp_path}/sources", "s3://bucket/code"]
    jobs = {"score_corpus": {"recipe": {"corpus": sources}}}
    (Path(run) / "run.json").write_text(json.dumps({"jobs": jobs}))
    settings = Export(corpus_format="huggingface", licences=("web=odc-by", "mit"))
    card, rows = export(run, settings), read_mix(run)
    _, head, text = (Path(run) / "corpus/README.md").read_text().split("---\n", 2)
    found = yaml.safe_load(head)
    assert found["license"] == "odc-by"
    assert found["configs"][0]["data_files"] == [{"split": "train", "path": "data/*.parquet"}]
    assert found["size_categories"] == ["n<1K"]
    n_bytes = sum(len(row["text"].encode()) for row in rows)
    assert f"| web | {len(rows):,} | {n_bytes:,} | odc-by |\n| all | {len(rows):,} | {n_bytes:,} |  |" in text
    assert "Read from `web=sources`, `s3://bucket/code`." in text
    assert str(tmp_path) not in text
    assert json.loads(text.split("```json\n")[1].split("```")[0])["selection_identity"]["min_domain_rows"] == 1
    stamp = next((Path(run) / "corpus/data").glob("part-*")).stat().st_mtime_ns
    assert export(run, replace(settings, licences=())) == card
    assert "license: unknown" in (Path(run) / "corpus/README.md").read_text()
    assert next((Path(run) / "corpus/data").glob("part-*")).stat().st_mtime_ns == stamp


def test_domains_stand_in_the_card_by_size_the_many_small_ones_together():
    domains = {f"d{number}": [number + 1, 10] for number in range(250)} | {"a|b\n<i>": [999, 1]}
    card = {"identity": {"tokenizer": "/home/me/tok"}, "versions": {"raypipe": "0"}}
    text = dataset_card(name="n", domains=domains, licences={"d3": "mit", "": "cc0-1.0"}, card=card, inputs=[])
    lines = text.split("|---|---:|---:|---|\n")[1].splitlines()
    assert lines[0] == r"| a\|b \<i\> | 999 | 1 | cc0-1.0 |"
    assert lines[1] == "| d249 | 250 | 10 | cc0-1.0 |"
    assert lines[200] == "| 51 others | 1,326 | 510 | cc0-1.0, mit |"
    assert yaml.safe_load(text.split("---\n")[1])["license"] == ["cc0-1.0", "mit"]
    assert '"tokenizer": "tok"' in text


@pytest.mark.parametrize("given", [("web=",), ("=mit",), ("",), ("web=mit", "web=cc0-1.0")])
def test_licences_that_say_nothing_or_two_things_are_refused(given):
    with pytest.raises(ValueError, match="licences must"):
        licences_of(given)


def test_the_same_export_again_touches_nothing_and_another_selection_replaces_it(run):
    first = export(run, Export(corpus_format="parquet"))
    stamp = next((Path(run) / "corpus").glob("part-*")).stat().st_mtime_ns
    assert export(run, Export(corpus_format="parquet")) == first
    assert next((Path(run) / "corpus").glob("part-*")).stat().st_mtime_ns == stamp
    select(run, built(Selection, min_domain_rows=1, holdout=0.02, mix="keep"))
    export(run, Export(corpus_format="parquet"))
    assert all(row["weight"] == 1 for row in read_mix(run))
    assert len(read_mix(run)) == len(weighted(run)) < 100


def test_a_corpus_cut_by_a_limit_ends_where_scoring_did(tmp_path):
    corpus = write_sources(tmp_path / "sources")
    score(tmp_path / "run", Corpus(corpus.sources, limit=330))
    select(str(tmp_path / "run"), SETTINGS)
    export(str(tmp_path / "run"), Export(corpus_format="parquet"))
    rows = read_mix(str(tmp_path / "run"))
    assert [row["id"] for row in rows] == list(weighted(str(tmp_path / "run")))
    assert max(row["source_row"] for row in rows if row["source_path"] == "web/c.jsonl.zst") == 48


def test_other_text_in_a_row_is_refused_with_its_place(run):
    path = sorted((Path(run) / "selection").glob("*.parquet"))[1]
    table = pq.read_table(path)
    hashes = table["text_hash"].to_pylist()
    hashes[3] = 7
    changed = table.set_column(1, table.schema.field(1), pa.array(hashes, pa.int64()))
    pq.write_table(changed, path)
    first_row = pq.read_metadata(sorted((Path(run) / "selection").glob("*.parquet"))[0]).num_rows
    with pytest.raises(ValueError, match=rf"a\.parquet, row {first_row + 3}: .*text_hash was 7, is -?\d+\)"):
        export(run, Export(corpus_format="parquet"))


def test_a_rewritten_source_is_refused(run, tmp_path):
    pq.write_table(pa.table({"text": TEXTS[1:161]}), tmp_path / "sources" / "a.parquet", row_group_size=20)
    with pytest.raises((OSError, ValueError), match=r"a\.parquet"):
        export(run, Export(corpus_format="parquet"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Export(corpus_format="parquet", file_size=0), "file_size must be at least 1 byte, got 0"),
        (Export(corpus_format="csv"), r"corpus_format must be one of .*, got 'csv'"),  # type: ignore
        (
            Export(corpus_format="parquet", export_arm="longest"),
            "no stage 'selection-longest'",
        ),
    ],
)
def test_wrong_settings_are_refused(run, settings, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        export(run, settings)


def test_fractions_of_a_copy_cannot_be_repeated(run):
    select(run, built(Selection, extra_copies=0.5))
    with pytest.raises(ValueError, match=r"repeat needs whole weights, but extra_copies is 0\.5"):
        export(run, Export(corpus_format="parquet", repeat=True))


def test_what_is_personal_is_replaced_where_it_is_asked_for(run):
    table = pa.table({"text": pa.array(["mail a@b.org from 8.8.8.8", "none"], pa.large_string()), "weight": [1.0, 1.0]})
    assert redacted(table, ("emails",))["text"].to_pylist() == ["mail email@example.com from 8.8.8.8", "none"]
    assert redacted(table, ()) is table
    plain = export(run, Export(corpus_format="parquet"))
    card = export(run, Export(corpus_format="parquet", redact=("ips", "emails")))
    assert card["identity"]["redact"] == ["emails", "ips"]
    assert plain["identity"].keys() == card["identity"].keys() - {"redact"}
    with pytest.raises(ValueError, match="redact must be some of"):
        export(run, Export(corpus_format="parquet", redact=("names",)))


def test_lines_that_c4_leaves_out_are_left_out_where_its_rules_were_kept(run):
    page = "Menu\nThis is a sentence.[1]\nUses cookies as you know."
    table = pa.table({"text": pa.array([page], pa.large_string()), "weight": [1.0]})
    assert in_c4_lines(table).to_pylist() == [{"text": "This is a sentence.", "weight": 1.0}]
    with pytest.raises(ValueError, match="c4_lines needs pages of which sentences are left: select with --rules c4"):
        export(run, Export(corpus_format="parquet", c4_lines=True))
    path = Path(run) / "selection/card.json"
    card = json.loads(path.read_text())
    card["identity"]["rules"] = ["c4"]
    path.write_text(json.dumps(card))
    _own_files(Path(run) / "selection", card["identity"])
    plain = export(run, Export(corpus_format="parquet"))
    cut = export(run, Export(corpus_format="parquet", c4_lines=True))
    assert cut["identity"] == {**plain["identity"], "c4_lines": True}
    assert [row["text"] for row in read_mix(run)] == [""] * plain["counts"]["rows"]  # none of these is a sentence


def _own_files(stage: Path, identity: dict) -> None:
    """Make the files say that they are of a card with this identity."""
    for path in stage.glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **file_identity(identity)}), path)


def test_pieces_keep_every_row_in_order_and_end_with_the_last_number():
    table = pa.table({"text": pa.array(["x" * size for size in (900, 1, 1, 50, 50)], pa.large_string())})
    found = list(pieces(iter([table[:2], table[2:]]), n_bytes=1002, n_pieces=4))
    assert [row for _, piece in found for row in piece["text"].to_pylist()] == table["text"].to_pylist()
    assert [place for place, _ in found][-1] == 3
    assert all(len(piece) for _, piece in found)
