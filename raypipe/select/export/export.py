"""The chosen text as a corpus of its own: RUN/corpus, a few large files of Parquet or JSON lines.

Work is cut into groups of consecutive shards with about `file_size` bytes of text; a group becomes one file, or several
if one of its sources, a compressed stream, is larger and can only be read from its beginning. What a file holds
follows from the selection alone, so that a restart goes on after the finished files, and gives the same bytes.
"""

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from itertools import groupby
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from raypipe.corpus import Corpus
from raypipe.corpus.personal import KINDS, Kind, replaced
from raypipe.runs.card import CARD, Json, finished_card, read_card, tables
from raypipe.runs.stage import at_work
from raypipe.select.export.join import Joiner, Part, find_parts
from raypipe.select.refuse import refuse_unless_some
from raypipe.select.rows import ahead
from raypipe.select.selection import Selection, arm_stage
from raypipe.settings.identity import BY_CONTENT, counts_as, identity_of
from raypipe.storage.folder import Folder

VERSION = 1
ExportedArm = Literal["selection", "random", "longest", "lowest-loss"]
N_GROUPS_AHEAD = 2
"""Threads that write groups; each holds about a file's text in memory."""


@dataclass(frozen=True)
class Export:
    """Whether and how the chosen text is written."""

    corpus_format: Literal["none", "parquet", "jsonl.zst"] = "none"
    """Write the rows with a weight to RUN/corpus in this format."""

    file_size: int = 512 * 2**20
    """Bytes of text in a file, before compression."""

    repeat: bool = False
    """Write a row as often as it weighs, instead of once with its weight beside it."""

    redact: tuple[Kind, ...] = field(
        default=(), metadata=counts_as(lambda kinds: {"redact": sorted(kinds)} if kinds else {})
    )
    """Replace these in the text by addresses and numbers that are nobody's: emails, ips (public ones), phones.
    Repeatable."""

    export_arm: ExportedArm = field(default="selection", metadata=BY_CONTENT)
    """Whose rows; a control arm's go to RUN/corpus-ARM."""

    def check(self) -> None:
        """Refuse settings that make no sense.

        Raises
        ------
        ValueError
            Naming the setting, its rule and its value.
        """
        if self.file_size < 1:
            raise ValueError(f"file_size must be at least 1 byte, got {self.file_size!r}.")
        if self.corpus_format not in ("none", "parquet", "jsonl.zst"):
            raise ValueError(f"corpus_format must be none, parquet or jsonl.zst, got {self.corpus_format!r}.")

        refuse_unless_some(self.redact, "redact", KINDS)

    @property
    def stage(self) -> str:
        """The folder written to."""
        return arm_stage(self.export_arm).replace("selection", "corpus", 1)


def export(run: str | Folder, settings: Export) -> Json:
    """Write the weighted rows of a finished selection with their text, and return the card.

    Raises
    ------
    ValueError
        If a setting makes no sense, the selection isn't finished, or the source has changed since it was scored.
    FileNotFoundError
        If there is no selection.
    """
    settings.check()
    folder = Folder(run) if isinstance(run, str) else run
    chosen_from, card = folder / arm_stage(settings.export_arm), finished_card(folder, arm_stage(settings.export_arm))
    output, selection = folder / settings.stage, Selection.from_flat(card["identity"])
    if settings.repeat and (copies := selection.weighing.extra_copies) != int(copies):
        raise ValueError(f"repeat needs whole weights, but extra_copies is {copies}; turn it off.")
    identity = identity_of(settings, selection_identity=card["identity"], version=VERSION)
    before = read_card(output)
    is_same = before is not None and before.get("identity") == identity
    if before is not None and is_same and before.get("status") == "finished":
        return before
    scores = folder / selection.scores
    corpus = scored_corpus(finished_card(folder, selection.scores))
    joiner = Joiner(corpus, scores, chosen_from, selection.eligibility)
    names = [file.path for file in tables(chosen_from)]
    parts = find_parts(scores, chosen_from, names, repeat=settings.repeat, card=card)
    made = {"stage": settings.stage, "kind": "rewrite", "op": "Export", "identity": identity}
    if not is_same:
        output.delete(CARD)
    with at_work(output, made) as own:
        _clear(output, is_resumed=is_same)
        groups = enumerate(group_parts(parts, file_size=settings.file_size))
        there = {file.path for file in output.files()}
        todo = [(number, group) for number, group in groups if names_of(number, group, settings)[-1] not in there]
        for _ in ahead(lambda item: _write_group(output, joiner, *item, settings), todo, n_threads=N_GROUPS_AHEAD):
            pass  # a group's files are its result
        own |= {"counts": _counts(output, parts), "inputs": {"files": len(parts)}, "warnings": []}
    return own


def scored_corpus(card: Json) -> Corpus:
    """What a scores card tells of its corpus, enough to read a shard: where a shard lies it knows itself."""
    recorded = card["identity"].get("corpus", card["identity"])
    known: Json = {field.name: recorded[field.name] for field in fields(Corpus) if field.name in recorded}
    return Corpus(**known | {"sources": ("shards know their own",)})


def group_parts(parts: list[Part], *, file_size: int) -> Iterator[list[Part]]:
    """Consecutive parts with about that much text, each group with some; a compressed stream is a group of its own."""
    group: list[Part] = []
    for _, several in groupby(parts, key=lambda part: (part.shard.cut == "part", part.shard.path)):
        unit = list(several)
        if unit[0].shard.cut == "part":
            yield from _if_any(group)
            yield from _if_any(unit)
            group = []
            continue
        for part in unit:
            group.append(part)
            if _n_bytes(group) >= file_size:
                yield from _if_any(group)
                group = []
    yield from _if_any(group)


def _if_any(group: list[Part]) -> list[list[Part]]:
    return [group] if any(part.n_written for part in group) else []


def _n_bytes(group: list[Part]) -> int:
    return sum(part.n_bytes for part in group)


def names_of(number: int, group: list[Part], settings: Export) -> list[str]:
    """The files that a group becomes; where documents are larger than a file, some before the last may be left out."""
    n_files = max(1, round(_n_bytes(group) / settings.file_size))
    return [f"part-{number:06}-{place:04}.{settings.corpus_format}" for place in range(n_files)]


def _write_group(output: Folder, joiner: Joiner, number: int, group: list[Part], settings: Export) -> None:
    """Its files in order, the last one last: where it is, all are."""
    names, n_rows = names_of(number, group, settings), 0
    found = joiner.tables(group)
    repeated = (_repeat(table) for table in found) if settings.repeat else found
    for place, table in pieces(repeated, n_bytes=_n_bytes(group), n_pieces=len(names)):
        n_rows += len(table)
        output.write(names[place], encode(redacted(table, settings.redact), settings.corpus_format))
    expected = sum(part.n_written for part in group)
    assert n_rows == expected, f"{names[0]}: {n_rows} rows written, {expected} have a weight"


def redacted(table: pa.Table, kinds: tuple[Kind, ...]) -> pa.Table:
    """The rows with what is personal in their text replaced."""
    if not kinds:
        return table
    place = table.schema.get_field_index("text")
    texts = pa.array([replaced(text, kinds) for text in table["text"].to_pylist()], table.schema.field(place).type)
    return table.set_column(place, "text", texts)


def _repeat(table: pa.Table) -> pa.Table:
    """Each row as often as it weighs, copies side by side, each with weight 1."""
    copies = table["weight"].to_numpy().astype(np.int64)
    repeated = table.take(pa.array(np.repeat(np.arange(len(table)), copies)))
    place = repeated.schema.get_field_index("weight")
    return repeated.set_column(place, "weight", pa.array(np.ones(len(repeated), np.float32)))


def pieces(found: Iterable[pa.Table], *, n_bytes: int, n_pieces: int) -> Iterator[tuple[int, pa.Table]]:
    """(number of the piece, its rows): texts of so many bytes in pieces of like size, the last with the last number."""
    limit = n_bytes / n_pieces
    held: list[pa.Table] = []
    place = n_held = 0
    for table in found:
        while len(table):
            sizes = pc.binary_length(table["text"]).to_numpy()
            starts = n_held + np.cumsum(sizes) - sizes
            cut = int(np.searchsorted(starts, limit)) if place < n_pieces - 1 else len(table)
            held.append(table[:cut])
            n_held += int(sizes[:cut].sum())
            table = table[cut:]
            if len(table):
                yield place, pa.concat_tables(held)
                held, n_held, place = [], 0, place + 1
    yield n_pieces - 1, pa.concat_tables(held)


def encode(table: pa.Table, corpus_format: str) -> bytes | pa.Buffer:
    """The rows as the content of a file."""
    if corpus_format == "parquet":
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd", row_group_size=10_000)
        return buffer.getvalue()
    sink = io.BytesIO()
    with zstandard.ZstdCompressor(level=3).stream_writer(sink, closefd=False) as stream:
        for batch in table.to_batches(max_chunksize=1000):
            lines = [json.dumps(row, ensure_ascii=False) for row in batch.to_pylist()]
            stream.write("".join(f"{line}\n" for line in lines).encode())
    return sink.getvalue()


def _clear(output: Folder, *, is_resumed: bool) -> None:
    """Remove what another selection or format left."""
    for file in () if is_resumed else output.files():
        if file.path != CARD:
            output.delete(file.path)
    output.sweep()


def _counts(output: Folder, parts: list[Part]) -> Json:
    files = [file for file in output.files() if file.path.startswith("part-")]
    return {
        "rows": sum(part.n_written for part in parts),
        "text_bytes": _n_bytes(parts),
        "files": len(files),
        "bytes": sum(file.size_bytes for file in files),
    }
