"""Documents read again from the corpus, for the excerpts of a report."""

from collections.abc import Sequence
from dataclasses import fields, replace

import pyarrow as pa

from raypipe import columns
from raypipe.corpus import Corpus, Shard, read_shard, read_stream
from raypipe.report.numbers.excerpts import ReadText
from raypipe.report.numbers.read import Json

MAX_STREAM_ROWS = 200_000
"""How far into a compressed stream excerpts are looked for: a stream can only be read from its beginning."""


def corpus_reader(corpus: Corpus) -> ReadText:
    """A `ReadText` of the corpus that the scores were made from. Shards carry their own URI and fingerprint.

    It raises UnreadableFile, an OSError, for a file that is gone or was rewritten, and TimeoutError for rows too far
    into a stream.
    """
    # Rows were filtered and counted when they were scored; only their text is wanted here.
    plain = replace(corpus, where=None, limit=None)

    def read_text(shard: Json, rows: Sequence[int]) -> list[tuple[int, str] | None]:
        """A ReadText."""
        table = _table(plain, _shard(shard))
        found = table.select([columns.TEXT_HASH, columns.TEXT]).take(pa.array(rows, pa.int64())).to_pylist()
        return [None if row[columns.TEXT] is None else (row[columns.TEXT_HASH], row[columns.TEXT]) for row in found]

    return read_text


def scored_corpus(card: Json) -> Corpus | None:
    """What a scores card tells of its corpus, enough to read a shard; None if it tells nothing."""
    identity = card.get("identity", {})
    known = {field.name: identity[field.name] for field in fields(Corpus) if field.name in identity}
    return Corpus(**known | {"sources": ("shards know their own",)}) if "text_column" in known else None


def _shard(content: Json) -> Shard:
    known = {field.name for field in fields(Shard)}
    return Shard(**{name: value for name, value in content.items() if name in known})


def _table(corpus: Corpus, shard: Shard) -> pa.Table:
    if shard.cut != "part":
        return read_shard(corpus, shard)
    if shard.start > MAX_STREAM_ROWS:
        raise TimeoutError(f"row {shard.start} of the stream {shard.path} is too far in to be read again.")
    earlier = frozenset(range(0, shard.start, shard.size))
    parts = read_stream(corpus, shard, part_rows=shard.size, done=earlier)
    return next(table for part, _, table in parts if part.start == shard.start)
