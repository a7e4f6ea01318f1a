"""The chosen text as a corpus of its own: RUN/corpus, a few large files of Parquet, JSON lines or tar.

Work is cut into groups of consecutive shards with about `file_size` bytes of text; a group becomes one file, or several
if one of its sources, a compressed stream, is larger and can only be read from its beginning. What a file holds
follows from the selection alone, so that a restart goes on after the finished files, and gives the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from itertools import groupby
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.corpus import Corpus
from raypipe.corpus.c4_lines import kept_lines
from raypipe.corpus.personal import KINDS, Kind, replaced
from raypipe.runs.card import CARD, Json, finished_card, read_card, tables
from raypipe.runs.run_file import read_run_file
from raypipe.runs.stage import at_work
from raypipe.select.export.dataset_card import README, corpora_of, dataset_card, licences_of
from raypipe.select.export.encode import FORMATS, Format, encode, file_name, is_part
from raypipe.select.export.join import Joiner, Part, count_domains, find_parts
from raypipe.select.export.licences import LICENCE, counted, files_without, with_footer
from raypipe.select.refuse import refuse_unless_some
from raypipe.select.rows import ahead
from raypipe.select.selection import Selection, arm_stage
from raypipe.settings.identity import BY_CONTENT, RUNNING, counts_as, identity_of
from raypipe.storage.folder import Entry, Folder

VERSION = 1
ExportedArm = Literal["selection", "random", "longest", "lowest-loss"]
N_GROUPS_AHEAD = 2
"""Threads that write groups; each holds about a file's text in memory."""


@dataclass(frozen=True)
class Export:
    """Whether and how the chosen text is written."""

    corpus_format: Format = "none"
    """Write the rows with a weight to RUN/corpus in this format; webdataset: tar files of KEY.txt and KEY.json;
    huggingface: a folder that `datasets` opens, with a card of lineage, licences and settings."""

    file_size: int = 512 * 2**20
    """Bytes of text in a file, before compression."""

    repeat: bool = False
    """Write a row as often as it weighs, instead of once with its weight beside it."""

    redact: tuple[Kind, ...] = field(
        default=(), metadata=counts_as(lambda kinds: {"redact": sorted(kinds)} if kinds else {})
    )
    """Replace these in the text by addresses and numbers that are nobody's: emails, ips (public ones), phones.
    Repeatable."""

    c4_lines: bool = field(default=False, metadata=counts_as(lambda is_on: {"c4_lines": True} if is_on else {}))
    """Leave out the lines that C4 leaves out (menus, cookies, what is no sentence); for selections with --rules c4,
    whose pages have five sentences left."""

    licences: tuple[str, ...] = field(default=(), metadata=RUNNING)  # in README.md alone, which is cheap to make anew
    """Licences for the card, of a domain (`web=odc-by`) or all others (`mit`), as the hub spells them. Repeatable."""

    licence_column: str | None = field(
        default=None, metadata=counts_as(lambda name: {"licence_column": name} if name else {})
    )
    """Column of the source that names each row's licence, or a list of them: written beside the text as `license`, and
    the card's table goes by it. Rows without one have their domain's of `licences`, else an unknown one."""

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
        if self.corpus_format not in FORMATS:
            raise ValueError(f"corpus_format must be one of {FORMATS}, got {self.corpus_format!r}.")
        licences_of(self.licences)
        if self.licence_column == "":
            raise ValueError("licence_column must be the name of a column, got ''; leave it out for none.")
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
    if settings.c4_lines and "c4" not in (selection.rules or ()):
        raise ValueError("c4_lines needs pages of which sentences are left: select with --rules c4, or turn it off.")
    identity = identity_of(settings, selection_identity=card["identity"], version=VERSION)
    before = read_card(output)
    is_same = before is not None and before.get("identity") == identity
    if before is not None and is_same and before.get("status") == "finished":
        _write_readme(folder, output, before, settings)
        return before
    scores = folder / selection.scores
    corpus = scored_corpus(finished_card(folder, selection.scores))
    names = [file.path for file in tables(chosen_from)]
    parts = find_parts(scores, chosen_from, names, repeat=settings.repeat, card=card)
    column, without = settings.licence_column, frozenset[str]()
    if column is not None:
        without = files_without(corpus, column, [part.shard for part in parts])
    joiner = Joiner(corpus, scores, chosen_from, selection.eligibility, column, without)
    made = {"stage": settings.stage, "kind": "rewrite", "op": "Export", "identity": identity}
    if not is_same:
        output.delete(CARD)
    with at_work(output, made) as own:
        _clear(output, is_resumed=is_same)
        groups = enumerate(group_parts(parts, file_size=settings.file_size))
        there = {file.path for file in output.files(recursive=True)}
        todo = [(number, group) for number, group in groups if names_of(number, group, settings)[-1] not in there]
        for _ in ahead(lambda item: _write_group(output, joiner, *item, settings), todo, n_threads=N_GROUPS_AHEAD):
            pass  # a group's files are its result
        own |= {"counts": _counts(output, parts), "inputs": {"files": len(parts)}, "warnings": []}
        if settings.corpus_format == "huggingface":
            own["domains"] = count_domains(scores, chosen_from, names, repeat=settings.repeat)
            own |= {"licences": counted(output, [file.path for file in _written(output)])} if column is not None else {}
            _write_readme(folder, output, own, settings)
    return own


def _write_readme(run: Folder, output: Folder, card: Json, settings: Export) -> None:
    """The card of a dataset, if the mix is one; of a finished one only its licences can have changed."""
    if settings.corpus_format != "huggingface":
        return
    content = dataset_card(
        name=f"{run.uri.rpartition('/')[2]} ({settings.stage})",
        domains=card["domains"],
        licences=licences_of(settings.licences),
        of_rows=card.get("licences"),
        card=card,
        inputs=corpora_of(read_run_file(run)),
    ).encode()
    if not output.exists(README) or output.read(README) != content:
        output.write(README, content)


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
    return [file_name(number, place, settings.corpus_format) for place in range(n_files)]


def _write_group(output: Folder, joiner: Joiner, number: int, group: list[Part], settings: Export) -> None:
    """Its files in order, the last one last: where it is, all are."""
    names, n_rows = names_of(number, group, settings), 0
    found = joiner.tables(group)
    repeated = (_repeat(table) for table in found) if settings.repeat else found
    for place, table in pieces(repeated, n_bytes=_n_bytes(group), n_pieces=len(names)):
        n_rows += len(table)
        shown = redacted(in_c4_lines(table) if settings.c4_lines else table, settings.redact)
        if LICENCE.name in table.column_names:
            shown = with_footer(shown, sizes=table, where=f"{output.uri}/{names[place]}")
        content = encode(shown, settings.corpus_format, name=names[place])
        output.write(names[place], content)
    expected = sum(part.n_written for part in group)
    assert n_rows == expected, f"{names[0]}: {n_rows} rows written, {expected} have a weight"


def redacted(table: pa.Table, kinds: tuple[Kind, ...]) -> pa.Table:
    """The rows with what is personal in their text replaced."""
    return _rewritten(table, lambda text: replaced(text, kinds)) if kinds else table


def in_c4_lines(table: pa.Table) -> pa.Table:
    """The rows with the lines of their text that C4 keeps."""
    return _rewritten(table, kept_lines)


def _rewritten(table: pa.Table, change: Callable[[str], str]) -> pa.Table:
    place = table.schema.get_field_index("text")
    texts = pa.array(map(change, table["text"].to_pylist()), table.schema.field(place).type)
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


def _clear(output: Folder, *, is_resumed: bool) -> None:
    """Remove what another selection or format left."""
    for file in () if is_resumed else output.files(recursive=True):
        if file.path != CARD:
            output.delete(file.path)
    output.sweep(recursive=True)
    output.prune()


def _written(output: Folder) -> list[Entry]:
    return [file for file in output.files(recursive=True) if is_part(file.path)]


def _counts(output: Folder, parts: list[Part]) -> Json:
    files = _written(output)
    return {
        "rows": sum(part.n_written for part in parts),
        "text_bytes": _n_bytes(parts),
        "files": len(files),
        "bytes": sum(file.size_bytes for file in files),
    }
