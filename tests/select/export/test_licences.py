"""Licences of rows: read from a column of any format, told in the card by licence, and refused where there is none."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from raypipe.corpus import Corpus
from raypipe.select.export.export import Export, export
from raypipe.select.export.licences import check_column, licences_in
from raypipe.select.stage import select
from tests.select.export.test_export import SETTINGS, TEXTS, read_mix, samples, score

SPELT = ["MIT", ["Apache-2.0", "mit"], None, "  ", [], "GPL 3, or later"]
READ = ["MIT", "Apache-2.0, mit", "unknown", "unknown", "unknown", "GPL 3, or later"]
HUGGINGFACE = Export(corpus_format="huggingface", licence_column="meta.licence")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts in Parquet with a column of lists, in Parquet without, as JSON lines and in a stream of them; selected."""
    top = tmp_path_factory.mktemp("licences")
    folder = top / "sources"
    folder.mkdir()
    named = [[one] if isinstance(one, str) else one for one in SPELT * 20]
    meta = pa.array([{"licence": one} for one in named[:100]])
    pq.write_table(pa.table({"text": TEXTS[:100], "meta": meta}), folder / "a.parquet", row_group_size=30)
    pq.write_table(pa.table({"text": TEXTS[100:150]}), folder / "b.parquet")
    rows = [{"text": text, "meta": {"licence": SPELT[at % 6]}} for at, text in enumerate(TEXTS)]
    (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[150:250]))
    lines = "".join(json.dumps(row) + "\n" for row in rows[250:350])
    (folder / "d.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    score(top / "run", Corpus((f"web={folder}",)))
    select(str(top / "run"), SETTINGS)
    return top


@pytest.fixture
def run(made: Path, tmp_path: Path) -> str:
    """A run of one's own."""
    return str(shutil.copytree(made / "run", tmp_path / "run"))


def licence_of(row: dict) -> str:
    """By the place of the text, as it was written."""
    place = TEXTS.index(row["text"])
    if 100 <= place < 150:
        return "unknown"
    return READ[place % 6].strip()


@pytest.mark.parametrize("corpus_format", ["huggingface", "webdataset"])
def test_a_row_has_the_licence_of_its_source_whatever_its_format(run, corpus_format):
    export(run, Export(corpus_format=corpus_format, licence_column="meta.licence", file_size=3000))
    if corpus_format == "webdataset":
        rows = [row for path in sorted((Path(run) / "corpus").glob("*.tar")) for row in samples(path)]
    else:
        rows = pa.concat_tables(map(pq.read_table, sorted((Path(run) / "corpus/data").glob("*")))).to_pylist()
    assert len(rows) > 300
    assert {row["license"] for row in rows} == set(READ)
    assert [row["license"] for row in rows] == [licence_of(row) for row in rows]
    assert {row["domain"] for row in rows} == {"web"}


def test_the_card_counts_rows_by_licence_and_goes_on_where_an_export_was_killed(run):
    settings = replace(HUGGINGFACE, file_size=3000)
    card = export(run, settings)
    readme = (Path(run) / "corpus/README.md").read_text()
    files = sorted((Path(run) / "corpus/data").glob("*"))
    rows = pa.concat_tables(map(pq.read_table, files)).to_pylist()
    for name in set(READ):
        own = [len(row["text"].encode()) for row in rows if row["license"] == name]
        assert f"| {name} | {len(own):,} | {sum(own):,} |\n" in readme
    assert readme.index("| unknown |") < readme.index("| MIT |")  # the most first
    assert "| web | " in readme
    assert " | Apache-2.0, mit, GPL 3, or later, MIT, unknown |" in readme
    assert yaml.safe_load(readme.split("---\n")[1])["license"] == ["other", "mit", "unknown"]
    assert "| `license` | string |" in readme
    path = Path(run) / "corpus/card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "running"}))
    for lost in (*files[2:], Path(run) / "corpus/README.md"):
        lost.unlink()
    assert export(run, settings)["licences"] == card["licences"]
    assert (Path(run) / "corpus/README.md").read_text() == readme


def test_rows_without_a_licence_have_what_their_domain_was_given_and_no_text_is_written_again(run):
    export(run, HUGGINGFACE)
    file = next((Path(run) / "corpus/data").glob("*"))
    stamp = file.stat().st_mtime_ns
    export(run, replace(HUGGINGFACE, licences=("web=cc0-1.0",)))
    readme = (Path(run) / "corpus/README.md").read_text()
    assert "| unknown |" not in readme
    assert "| cc0-1.0 | 1" in readme
    assert file.stat().st_mtime_ns == stamp
    export(run, replace(HUGGINGFACE, licence_column=None))
    assert "license" not in pq.read_schema(file).names
    assert "## Licences" not in (Path(run) / "corpus/README.md").read_text()
    assert len(read_mix(run)) > 300


@pytest.mark.parametrize("only", ["*.parquet", "*.jsonl*"])
def test_a_column_that_no_file_has_is_refused_before_anything_is_written(tmp_path, made, only):
    score(tmp_path / "other", Corpus((f"{made}/sources/{only}",)))
    select(str(tmp_path / "other"), SETTINGS)
    message = r"no column 'meta.lizence'|has a key 'meta.lizence'.*did you mean 'meta.licence'"
    with pytest.raises(KeyError, match=message):
        export(str(tmp_path / "other"), replace(HUGGINGFACE, licence_column="meta.lizence"))
    assert not (tmp_path / "other/corpus").exists()


def test_a_column_can_be_looked_for_before_anything_is_scored(tmp_path, made):
    shutil.copytree(made / "sources", tmp_path / "sources")
    (tmp_path / "sources/broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "sources/array.json").write_text(json.dumps([{"text": "a", "terms": "mit"}]))
    corpus = Corpus((f"web={tmp_path}/sources",))
    check_column(corpus, "meta.licence")
    check_column(corpus, "terms")
    with pytest.raises(KeyError, match=r"has a key 'term'.*did you mean 'terms'"):
        check_column(corpus, "term")


def test_columns_that_hold_no_licences_are_refused(run):
    with pytest.raises(ValueError, match=r"a\.parquet: licence_column 'meta' has type struct<.*name a field of it"):
        export(run, replace(HUGGINGFACE, licence_column="meta"))
    with pytest.raises(ValueError, match="licence_column must be the name of a column, got ''"):
        export(run, replace(HUGGINGFACE, licence_column=""))


def test_a_column_of_names_is_none_of_licences(monkeypatch, run):
    monkeypatch.setattr("raypipe.select.export.licences.MAX_LICENCES", 40)
    with pytest.raises(ValueError, match=r"licence_column must be of licences, got one with \d+ different values in"):
        export(run, replace(HUGGINGFACE, licence_column="text"))


def test_hostile_licences_stay_what_they_are():
    names = pa.chunked_array([["[" * 5000, "['a'", "[1, None]", None], ["| x |\n y", "[{}]", "['mit', 'mit']"]])
    assert licences_in(names).to_pylist()[1:] == ["['a'", "1", "unknown", "| x | y", "unknown", "mit"]
