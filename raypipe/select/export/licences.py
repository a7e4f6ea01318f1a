"""The licence of each row of a mix, from a column of its source, and how much of the mix is under which.

The column is read where a corpus' domain is, of which the mix knows already: a list of licences, as code has them, is
one name. What a file of the mix holds stands in its footer, so that the card of a resumed export counts all rows.
"""

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from raypipe.corpus import Corpus, Shard
from raypipe.corpus.files import Files
from raypipe.corpus.parquet import UNREADABLE, find_type
from raypipe.corpus.partitions import partitions
from raypipe.corpus.peek import check_keys
from raypipe.corpus.shards import Kind
from raypipe.corpus.sources import find_files
from raypipe.corpus.values import value_type
from raypipe.select.rows import ahead
from raypipe.storage.folder import Folder

LICENCE = pa.field("license", pa.string())
"""The column of the mix, by the name that datasets have for it."""
UNKNOWN = "unknown"
MAX_LICENCES = 1000
"""Different ones in a file; a column that has more is none of licences."""
_FOOTER = b"raypipe.licences"
Tally = dict[tuple[str, str], list[int]]
"""(licence, domain) -> [rows, bytes of text]"""


def files_without(corpus: Corpus, column: str, shards: Iterable[Shard]) -> frozenset[str]:
    """Paths of the Parquet files that lack the column; their rows are under unknown licences.

    Raises
    ------
    KeyError
        If no file has it; with the nearest name.
    ValueError
        If it is of structs.
    """
    own = [replace(shard, domain=None) for shard in shards]
    parquet = list({shard.path: shard for shard in own if shard.cut == "rows"}.values())
    found = zip(parquet, ahead(_schema, parquet), strict=True)
    schemas = {shard.path: schema for shard, schema in found if schema is not None}
    without = {path for path, schema in schemas.items() if not _has(schema, column, path)}
    if len(without) < len(schemas):
        return frozenset(without)
    lines = [shard for shard in own if shard.cut != "rows"]
    check_keys(replace(corpus, domain_column=column), lines)
    if not lines:
        for path, schema in schemas.items():
            find_type(schema, column, path=path)
    return frozenset(without)


def check_column(corpus: Corpus, column: str) -> None:
    """See that a file of a corpus has the column, before it is scored; raises as `files_without` does."""
    files, _ = find_files(corpus.sources)
    cuts: dict[Kind, Kind] = {"bytes": "part"}  # which reads arrays too
    files_without(
        corpus,
        column,
        [Shard(file.path, file.uri, cuts.get(file.cut, file.cut), 0, -1, file.fingerprint) for file in files],
    )


def _schema(shard: Shard) -> pa.Schema | None:
    """None of a file that can't be read: whoever reads its rows will say so."""
    try:
        with Files().open(shard.uri) as file:
            return pq.read_schema(file)
    except UNREADABLE:
        return None


def _has(schema: pa.Schema, column: str, path: str) -> bool:
    if column in partitions(path):
        return True
    try:
        kind = value_type(find_type(schema, column, path=path))
    except KeyError:
        return False
    if types.is_struct(kind) or types.is_map(kind):
        raise ValueError(f"{path}: licence_column {column!r} has type {kind}; name a field of it, as in a.b.")
    return True


def licences_in(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """What a reader gives for the rows of the column as licences: blank ones are unknown, lists joined by commas."""
    different = pc.unique(names)
    known = pa.array([_licence(name) for name in different.to_pylist()], pa.string())
    return pa.chunked_array([known.take(pc.index_in(names, different).combine_chunks())])


def _licence(name: str | None) -> str:
    text = " ".join((name or "").split())
    if text.startswith("["):  # a list of Python's, as a reader spells what is no string
        try:
            several = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text
        text = ", ".join(dict.fromkeys(str(one).strip() for one in several if one))
    return text or UNKNOWN


def with_footer(table: pa.Table, *, sizes: pa.Table, where: str) -> pa.Table:
    """The table with what is under which licence in its footer; `sizes`: the same rows with the text that was read.

    Raises
    ------
    ValueError
        If there are too many different licences.
    """
    found = tally(sizes)
    if (n := len({licence for licence, _ in found})) > MAX_LICENCES:
        raise ValueError(
            f"licence_column must be of licences, got one with {n:,} different values in {where}, such as "
            f"{sizes[LICENCE.name][0].as_py()!r}; name another column."
        )
    counts = [[*key, *value] for key, value in sorted(found.items())]
    return table.replace_schema_metadata({_FOOTER: json.dumps(counts)})


def tally(table: pa.Table) -> Tally:
    """Rows and bytes of text of a mix by licence and domain."""
    sized = pa.table({"l": table[LICENCE.name], "d": table["domain"], "n": pc.binary_length(table["text"])})
    summed = sized.group_by(["l", "d"]).aggregate([("n", "count"), ("n", "sum")])
    columns = (summed[name].to_pylist() for name in ("l", "d", "n_count", "n_sum"))
    return {(licence, domain): [n, size] for licence, domain, n, size in zip(*columns, strict=True)}


def counted(output: Folder, names: Sequence[str]) -> list[list[str | int]]:
    """[licence, domain, rows, bytes of text] of all files of a mix, by their footers."""

    def read(name: str) -> list[list[str | int]]:
        """Of one file."""
        with output.open(name) as file:
            footer: Mapping[bytes, bytes] = pq.read_metadata(file).metadata or {}
        return list(json.loads(footer[_FOOTER]))

    found: Tally = {}
    for licence, domain, n_rows, n_bytes in (one for part in ahead(read, names) for one in part):
        before = found.setdefault((str(licence), str(domain)), [0, 0])
        before[0] += int(n_rows)
        before[1] += int(n_bytes)
    return [[*key, *value] for key, value in sorted(found.items())]
