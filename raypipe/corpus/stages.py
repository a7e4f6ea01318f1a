"""A committed stage read by shard, and joined by position with the rows of the corpus and of other stages.

No key is looked up and nothing is shuffled: the n-th row of a shard's file is the n-th row of the shard. Each join
compares `text_hash` and stops at the first difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.columns import ID, KEYS, PLACE, REASON, TEXT, TEXT_HASH
from raypipe.corpus.read import read_shard, read_stream
from raypipe.corpus.shards import LAST, Corpus, Shard, UnreadableFile, output_name, quoted_path
from raypipe.storage.folder import Folder

Files = dict[str, list[str]]
"""Stage -> its files of one shard: one, or the parts of a stream in order."""


class Mismatch(ValueError):
    """A stage's file doesn't hold the rows of its shard; whoever reads both must stop."""


@dataclass(frozen=True)
class Reads:
    """What is read of a committed stage."""

    stage: str
    folder: Folder
    columns: tuple[str, ...]

    def table(self, name: str) -> pa.Table:
        """The rows of one of its files: keys, reason, and the columns, each named `stage.column`.

        Raises
        ------
        UnreadableFile
            If it can't be read.
        """
        wanted = dict.fromkeys((*KEYS.names, REASON, *self.columns))
        try:
            with self.folder.open(name) as file:
                table = pq.ParquetFile(file).read(list(wanted))
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFile(f"{self.folder.uri}/{name} can't be read: {error}") from error
        named = {f"{self.stage}.{column}": table[column] for column in self.columns}
        return pa.table({**{column: table[column] for column in (*KEYS.names, REASON)}, **named})


@dataclass(frozen=True)
class Listed:
    """The files of a stage, found by the path and the start of their shards: one listing, no file opened."""

    stage: str
    files: Mapping[str, Mapping[int, tuple[str, str]]]
    """Quoted path -> start -> name and fingerprint."""

    @classmethod
    def of(cls, stage: str, folder: Folder) -> "Listed":
        """As they lie in a folder now."""
        files: dict[str, dict[int, tuple[str, str]]] = {}
        for entry in folder.files():
            if found := output_name(entry.path):
                files.setdefault(found.path, {})[found.start] = entry.path, entry.fingerprint
        return cls(stage, files)

    def of_shard(self, shard: Shard) -> list[tuple[str, str]]:
        """Name and fingerprint of its file, or of those of a stream's parts.

        Raises
        ------
        Mismatch
            If there is none.
        """
        of_path = self.files.get(quoted_path(shard.path), {})
        if shard.cut == "part":
            found = [of_path[start] for start in sorted(of_path)]
        else:
            found = [of_path[shard.start]] if shard.start in of_path else []
        if not found:
            raise Mismatch(
                f"stage {self.stage!r} has no file of {shard.path} from {shard.start}; give its command again first."
            )
        return found


def with_inputs(shards: Sequence[Shard], listings: Sequence[Listed]) -> Iterator[tuple[Shard, Files]]:
    """Each shard with the files of stages that are read beside it, known by their digest in `inputs`.

    Raises
    ------
    Mismatch
        If a stage has none for a shard.
    """
    for shard in shards:
        found = {listed.stage: listed.of_shard(shard) for listed in listings}
        known = "\0".join(f"{stage}\0{name}\0{print_}" for stage, files in found.items() for name, print_ in files)
        inputs = blake2b(known.encode(), digest_size=4).hexdigest() if found else ""
        yield replace(shard, inputs=inputs), {stage: [name for name, _ in files] for stage, files in found.items()}


@dataclass(frozen=True)
class Joined:
    """Rows of shards: of the corpus, of committed stages, or of both; the corpus is read for its own columns only."""

    corpus: Corpus
    part_rows: int
    stages: tuple[Reads, ...] = ()
    source_columns: tuple[str, ...] = (TEXT,)
    """Of columns.SOURCE."""
    has_place: bool = False
    """Whether rows come with columns.PLACE."""

    def parts(
        self, shard: Shard, files: Files | None = None, *, done: frozenset[int] = frozenset()
    ) -> Iterator[tuple[Shard, bool, pa.Table]]:
        """What a planned shard turns into, whether each part is its last, and its rows.

        The table has `columns.KEYS`, the source's columns that are read, `reason` (the source's, else the first that a
        stage gives), and each stage's columns as `stage.column`. A part that starts at a row in `done` is left out.

        Raises
        ------
        Mismatch
            If two of them don't hold the same rows.
        UnreadableFile
            If one can't be read.
        """
        files, is_source = files or {}, bool(self.source_columns) or not self.stages
        if shard.cut != "part":
            source = read_shard(self.corpus, shard) if is_source else None
            yield shard, True, self._joined(shard, source, {stage: names[0] for stage, names in files.items()})
        elif is_source:
            yield from self._with_stream(shard, files, done)
        else:
            yield from self._by_files(shard, files, done)

    def _with_stream(self, shard: Shard, files: Files, done: frozenset[int]) -> Iterator[tuple[Shard, bool, pa.Table]]:
        by_start = {stage: {_start(name): name for name in names} for stage, names in files.items()}
        for part, is_last, source in read_stream(self.corpus, shard, part_rows=self.part_rows, done=done):
            yield part, is_last, self._joined(part, source, {s: _of_part(s, by_start[s], part) for s in files})

    def _by_files(self, shard: Shard, files: Files, done: frozenset[int]) -> Iterator[tuple[Shard, bool, pa.Table]]:
        first = next(iter(files))
        by_start = {stage: {_start(name): name for name in names} for stage, names in files.items()}
        for start, name in sorted(by_start[first].items()):
            if start in done:
                continue
            part = replace(shard, start=start, max_rows=None)
            table = self._joined(part, None, {stage: _of_part(stage, by_start[stage], part) for stage in files})
            yield replace(part, stop=start + len(table), n_rows=len(table)), name.endswith(LAST), table

    def _joined(self, shard: Shard, source: pa.Table | None, names: Mapping[str, str]) -> pa.Table:
        tables = [(reads.stage, reads.table(names[reads.stage])) for reads in self.stages]
        where, keys = ("the corpus", source) if source is not None else tables[0]
        for stage, table in tables:
            _require_same(shard, (where, keys), (stage, table))
        reasons = [table[REASON] for table in ([] if source is None else [source]) + [table for _, table in tables]]
        columns = {name: keys[name] for name in (ID, TEXT_HASH, *self.source_columns)}
        columns[REASON] = pc.coalesce(*reasons)
        for _, table in tables:
            columns |= {name: table[name] for name in table.column_names if name not in (*KEYS.names, REASON)}
        return pa.table(columns | (place_of(shard, len(keys)) if self.has_place else {}))


def place_of(part: Shard, n_rows: int) -> dict[str, pa.Array]:
    """The columns of columns.PLACE for the rows of a shard, or of a part of a stream."""
    name, rows = pa.array([part_name(part)]), np.arange(n_rows)
    of_all = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n_rows, np.int32)), name)
    return dict(zip(PLACE.names, (of_all, pa.array(rows, pa.int64())), strict=True))


def part_name(part: Shard) -> str:
    """What a shard, or a part of a stream, is called among those of a corpus; in the order of the corpus."""
    return f"{quoted_path(part.path)}-{part.start:015d}"


def _start(name: str) -> int:
    found = output_name(name)
    return found.start if found else -1


def _of_part(stage: str, names: Mapping[int, str], part: Shard) -> str:
    if part.start not in names:
        raise Mismatch(f"stage {stage!r} has no part of {part.path} from row {part.start}; give its command again.")
    return names[part.start]


def _require_same(shard: Shard, one: tuple[str, pa.Table], other: tuple[str, pa.Table]) -> None:
    (where, keys), (stage, table) = one, other
    a, b = (found[TEXT_HASH].cast(pa.int64()).combine_chunks() for found in (keys, table))
    if a.equals(b):
        return
    place = f"{shard.path} from {shard.start}"
    if len(a) != len(b):
        what = f"{len(a)} rows in {where}, {len(b)} in stage {stage!r}"
    else:
        pairs = zip(a.to_pylist(), b.to_pylist(), strict=True)
        row, (was, now) = next((row, pair) for row, pair in enumerate(pairs) if pair[0] != pair[1])
        what = f"row {row} has text_hash {was} in {where}, {now} in stage {stage!r}"
    raise Mismatch(f"{place}: {what}; they were made of different rows. Give the command of {stage!r} again first.")
