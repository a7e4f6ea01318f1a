"""Weighted rows joined to their text, by shard and row: the source is read again, and every text's hash compared."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import columns
from raypipe.corpus import Corpus, Shard, read_shard, read_stream
from raypipe.runs.card import Json
from raypipe.runs.files import check_file
from raypipe.select.eligibility import Eligibility
from raypipe.select.export.licences import LICENCE, UNKNOWN, licences_in
from raypipe.select.rows import ahead, score_columns, signed_score
from raypipe.storage.folder import Folder

MIX = pa.schema(
    [
        ("id", pa.string()),
        ("domain", pa.string()),
        ("text", pa.large_string()),
        ("weight", pa.float32()),
        ("rank", pa.float64()),
        ("score", pa.float64()),
        ("source_path", pa.string()),
        ("source_row", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Part:
    """A shard whose rows have been selected from, and where it stands in its source."""

    name: str
    """Of its file in scores/ and selection/"""
    shard: Shard
    first_row: int
    """Rows of the same source file in earlier shards"""
    n_rows: int
    n_written: int
    """Rows to write, counted as often as they are written"""
    n_bytes: int
    """Of the text of those rows"""


@dataclass(frozen=True)
class Joiner:
    """Reads parts as tables of MIX, with a column of licences where there is one: the rows with a weight, in order."""

    corpus: Corpus
    scores: Folder
    selection: Folder
    eligibility: Eligibility
    licence_column: str | None = None
    without: frozenset[str] = frozenset()
    """Paths of Parquet files that lack that column"""

    def tables(self, parts: Sequence[Part]) -> Iterator[pa.Table]:
        """The weighted rows of consecutive parts; the parts of a compressed stream must be given together.

        Raises
        ------
        ValueError
            If the source no longer holds the texts that were scored.
        """
        wanted = [part for part in parts if part.n_written > 0]
        if wanted and wanted[0].shard.cut == "part":
            yield from self._stream(parts, {part.shard.start: part for part in wanted})
            return
        for part in wanted:
            corpus, shard = self._reading(part.shard)
            yield self.joined(part, read_shard(corpus, shard))

    def _reading(self, shard: Shard) -> tuple[Corpus, Shard]:
        """As what to read a shard; its domain, which the selection knows, gives way to the licence."""
        if self.licence_column is None or shard.path in self.without:
            return self.corpus, shard
        return replace(self.corpus, domain_column=self.licence_column), replace(shard, domain=None)

    def _stream(self, parts: Sequence[Part], wanted: dict[int, Part]) -> Iterator[pa.Table]:
        n_rows = parts[-1].first_row + parts[-1].n_rows  # ends where scoring did, were it at a limit
        whole = replace(parts[0].shard, start=0, stop=-1, n_rows=None, max_rows=n_rows)
        others = frozenset(part.shard.start for part in parts) - set(wanted)
        corpus, whole = self._reading(whole)
        for shard, _, source in read_stream(corpus, whole, part_rows=whole.size, done=others):
            if shard.start in wanted:
                yield self.joined(wanted.pop(shard.start), source)
        if wanted:
            raise ValueError(_changed(next(iter(wanted.values())), "it ends earlier"))

    def joined(self, part: Part, source: pa.Table) -> pa.Table:
        """The weighted rows of a part, once every text's hash equals the one scored."""
        chosen = _read(self.selection, part.name, columns.SELECTION.names)
        _require_same(part, chosen[columns.TEXT_HASH], source[columns.TEXT_HASH])
        score = signed_score(_read(self.scores, part.name, score_columns(self.eligibility)), self.eligibility)
        weighted = pa.array(np.flatnonzero(chosen["weight"].to_numpy() > 0))
        arrays = {
            "id": chosen["id"],
            "domain": chosen["domain"],
            "text": source[columns.TEXT],
            "weight": chosen["weight"],
            "rank": chosen["rank"],
            "score": pa.array(score, from_pandas=True),
            "source_path": pa.repeat(part.shard.path, len(score)),
            "source_row": pa.array(part.first_row + np.arange(len(score))),
        }
        mix = pa.table(arrays).cast(MIX)
        if self.licence_column is not None:
            has_none = part.shard.path in self.without
            licences = pa.repeat(UNKNOWN, len(score)) if has_none else licences_in(source[columns.DOMAIN])
            mix = mix.append_column(LICENCE, licences)
        return mix.take(weighted)


def find_parts(
    scores: Folder, selection: Folder, names: Sequence[str], *, repeat: bool, card: Json | None = None
) -> list[Part]:
    """Every file of a selection with its shard, in corpus order.

    Raises
    ------
    ValueError
        If a file's footer doesn't say which shard it belongs to, or isn't of the selection's `card`.
    """
    parts: list[Part] = []
    for part in ahead(lambda name: _measure(scores, selection, name, repeat=repeat, card=card), names):
        before = parts[-1] if parts and parts[-1].shard.path == part.shard.path else None
        parts.append(replace(part, first_row=before.first_row + before.n_rows) if before else part)
    return parts


def count_domains(scores: Folder, selection: Folder, names: Sequence[str], *, repeat: bool) -> dict[str, list[int]]:
    """[rows, bytes of text] that are written of each domain, in the order of their names."""

    def count(name: str) -> list[tuple[str, int, int]]:
        """Of one file."""
        chosen = _read(selection, name, ["domain", "weight"])
        copies = _copies(chosen["weight"].to_numpy(), repeat=repeat)
        sizes = _read(scores, name, ["n_bytes"])["n_bytes"].fill_null(0).to_numpy()
        table = pa.table({"domain": chosen["domain"], "rows": copies, "bytes": copies * sizes})
        table = table.filter(pa.array(copies > 0))
        summed = table.group_by("domain").aggregate([("rows", "sum"), ("bytes", "sum")])
        return list(zip(*(summed[column].to_pylist() for column in ("domain", "rows_sum", "bytes_sum")), strict=True))

    found: dict[str, list[int]] = {}
    for counts in ahead(count, names):
        for domain, n_rows, n_bytes in counts:
            before = found.setdefault(domain, [0, 0])
            before[0] += n_rows
            before[1] += n_bytes
    return dict(sorted(found.items()))


def _copies(weight: np.ndarray, *, repeat: bool) -> np.ndarray:
    """How often each row is written [n] int64."""
    return weight.astype(np.int64) if repeat else (weight > 0).astype(np.int64)


def _measure(scores: Folder, selection: Folder, name: str, *, repeat: bool, card: Json | None) -> Part:
    """A file as a part, as though it were the first of its source."""
    with scores.open(name) as source:
        parquet = pq.ParquetFile(source)
        shard = _shard(parquet.metadata.metadata or {}, where=f"{scores.uri}/{name}")
        n_bytes = parquet.read(["n_bytes"])["n_bytes"].fill_null(0).to_numpy()
    chosen = _read(selection, name, ["weight"])
    check_file(chosen.schema.metadata, card, where=f"{selection.uri}/{name}")
    copies = _copies(chosen["weight"].to_numpy(), repeat=repeat)
    return Part(name, shard, 0, len(copies), int(copies.sum()), int((n_bytes * copies).sum()))


def _shard(footer: dict[bytes, bytes], *, where: str) -> Shard:
    if b"raypipe.shard" not in footer:
        raise ValueError(f"{where} doesn't say which shard it was scored from; score the corpus again.")
    return Shard(**json.loads(footer[b"raypipe.shard"]))


def _read(folder: Folder, name: str, names: Sequence[str]) -> pa.Table:
    with folder.open(name) as source:
        return pq.ParquetFile(source).read(list(names))


def _require_same(part: Part, scored: pa.ChunkedArray, found: pa.ChunkedArray) -> None:
    if len(scored) != len(found):
        raise ValueError(_changed(part, f"{len(found)} rows instead of {len(scored)}"))
    if scored.cast(pa.int64()).equals(found.cast(pa.int64())):
        return
    pairs = list(zip(scored.to_pylist(), found.to_pylist(), strict=True))
    row = next(row for row, (was, now) in enumerate(pairs) if was != now)
    raise ValueError(_changed(part, "text_hash was {}, is {}".format(*pairs[row]), row=row))


def _changed(part: Part, what: str, *, row: int = 0) -> str:
    return (
        f"{part.shard.uri}, row {part.first_row + row}: not the text that was scored ({what}). "
        "The source has changed since: score it again, select, and export then."
    )
