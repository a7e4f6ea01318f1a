"""How the weights of a selection come to the documents: code for the reader of a report, for this very run."""

import json
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import pyarrow.parquet as pq

from raypipe.report.numbers.read import Json, RunFiles


@dataclass(frozen=True)
class Snippet:
    """Something to run."""

    name: str
    code: str


@dataclass(frozen=True)
class Source:
    """Where the files of a corpus are, as its shards tell."""

    root: str
    """Path or URI of their folder."""
    prefix: str
    """What stands before a file's path in ids: "" or "NAME/"."""
    suffix: str
    """".parquet", ".jsonl.zst" ..."""


def how_to_join(files: RunFiles) -> tuple[str, list[Snippet]]:
    """What to know, and the snippets: with the corpus where its shards tell enough, with the scores, and the export."""
    run, corpus = place(files.folder.uri), _with_corpus(files)
    scores = Snippet(
        "DuckDB: weights beside scores",
        f'import duckdb\n\nduckdb.sql("""\n'
        f"    SELECT s.*, w.rank, w.split, w.weight\n"
        f"    FROM read_parquet({quoted(f'{run}/{files.scores_stage}/*.parquet')}) s\n"
        f'    JOIN read_parquet({quoted(f"{run}/selection/*.parquet")}) w USING (id, text_hash)\n""")',
    )
    export = Snippet(
        "raypipe: write the mix", f"python -m jobs.select_corpus --run {shlex.quote(run)} --corpus-format jsonl.zst"
    )
    said = "This makes a table of the documents to train on, with their weights; then one of the scores beside them; "
    if corpus is None:
        said = "This joins it to the scores; "
    return f"{said}the last line writes the documents themselves, as often as they are to be seen.", [
        *([corpus] if corpus else []), scores, export,
    ]  # fmt: skip


def _with_corpus(files: RunFiles) -> Snippet | None:
    """Weights joined to the documents of the corpus; None where the id isn't a key that SQL can make."""
    source = source_of(files)
    identity = files.scores_card.get("identity", {})
    if source is None or "text_column" not in identity:
        return None
    is_parquet, id_column = source.suffix == ".parquet", identity.get("id_column")
    if not id_column and not is_parquet:
        return None  # the id of a line is its place in bytes
    key = f"CAST(c.{_name(id_column)} AS VARCHAR)" if id_column else (
        f"{quoted(source.prefix)} || replace(c.filename, {quoted(source.root + '/')}, '') || ':' || c.file_row_number"
    )  # fmt: skip
    read = "read_parquet" if is_parquet else "read_json"
    more = "" if id_column else ", filename = true, file_row_number = true"
    corpus = quoted(f"{source.root}/**/*{source.suffix}")
    return Snippet(
        "DuckDB: documents with their weights",
        f'import duckdb\n\nduckdb.sql("""\n'
        f"    SELECT c.*, w.weight\n"
        f"    FROM {read}({corpus}{more}) c\n"
        f"    JOIN read_parquet({quoted(place(files.folder.uri) + '/selection/*.parquet')}) w\n"
        f"    ON w.id = {key}\n"
        f'    WHERE w.weight > 0\n""")',
    )


def source_of(files: RunFiles) -> Source | None:
    """The folder that the first scored file came from; None where its footer doesn't tell."""
    names = files.tables.get(files.scores_stage, [])
    if not names:
        return None
    with files.folder.open(f"{files.scores_stage}/{names[0]}") as file:
        content = (pq.read_metadata(file).metadata or {}).get(b"raypipe.shard")
    shard: Json = json.loads(content) if content else {}
    uri, path = place(str(shard.get("uri", ""))), str(shard.get("path", ""))
    relative = path if uri.endswith(f"/{path}") else path.partition("/")[2]
    if not relative or not uri.endswith(f"/{relative}"):
        return None
    suffix = "".join(PurePosixPath(relative).suffixes[-2:])
    return Source(uri.removesuffix(f"/{relative}"), path.removesuffix(relative), _known(suffix))


def _known(suffix: str) -> str:
    """A suffix of two parts only where the second is that of a compression: `data.v2.parquet` is Parquet."""
    last = PurePosixPath(f"x{suffix}").suffix
    return suffix if last in (".gz", ".zst") else last


def place(uri: str) -> str:
    """A URI as the path that it is on this machine; any other stays."""
    return unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri


def quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _name(column: str) -> str:
    return ".".join(f'"{part}"' for part in column.replace('"', '""').split("."))
