"""A corpus cut into shards."""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.corpus.arrays import HEAD_BYTES, is_array
from raypipe.corpus.cache import Cut, Known
from raypipe.corpus.cuts import cut_groups, row_groups, sliced
from raypipe.corpus.files import Files
from raypipe.corpus.formats import KNOWN
from raypipe.corpus.limit import limited
from raypipe.corpus.lines import batched
from raypipe.corpus.parquet import UNREADABLE, check_columns
from raypipe.corpus.peek import check_keys
from raypipe.corpus.shards import Corpus, Kind, Shard, file_key
from raypipe.corpus.sources import SourceFile, find_files
from raypipe.corpus.where import Condition
from raypipe.storage.uris import redact

log = logging.getLogger(__name__)
_THREADS = 16
_STREAM: Cut = (0, -1, None)
_WAVE = 1024
"""Files looked at before the first of them is used."""


@dataclass(frozen=True)
class Plan:
    """The shards of a corpus, in corpus order."""

    shards: list[Shard]
    n_files: int
    """Files that were looked at, the empty ones too."""
    n_bytes: int
    ignored: int
    """Files of other formats in the folders."""
    known: Known
    """To be saved, and given to the next planning."""

    def __iter__(self) -> Iterator[Shard]:
        return iter(self.shards)

    def __len__(self) -> int:
        return len(self.shards)


def plan_shards(corpus: Corpus, *, shard_bytes: int, part_rows: int, known: Known | None = None) -> Plan:
    """The shards of a corpus, of about shard_bytes of text or lines each; a compressed stream or a JSON array is one.

    Files whose fingerprint is in `known` aren't opened. One that can't be read is planned all the same, as one shard
    whose reading raises UnreadableFile.

    Raises
    ------
    FileNotFoundError
        If a source has no file.
    KeyError
        If a Parquet file lacks a column, or all the first rows of JSON lack it, and no folder is named for it.
    ValueError
        If a setting, a source, a column's type or the condition can't be used.
    """
    for name, value in (("shard_bytes", shard_bytes), ("part_rows", part_rows)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    planner = _Planner(corpus, shard_bytes, part_rows, known or Known())
    if planner.condition is not None:
        planner.condition.check_functions()
    files, ignored = find_files(corpus.sources)
    if ignored.n:
        _warn(f"left out of {', '.join(redact(corpus.sources))}: {ignored}; {KNOWN}.")
    shards = planner.shards(sorted(files, key=lambda file: planner.key(file) + "-"))
    planned = sorted(shards if corpus.limit is None else limited(corpus, shards), key=lambda shard: shard.key)
    if not planner.knows_columns:
        check_keys(corpus, planned, planner.condition)
    return Plan(
        planned,
        len(planner.found),
        sum(one.file.size_bytes for one in planner.found),
        ignored.n,
        planner.known_now(planned),
    )


@lru_cache  # once a process, however often it plans
def _warn(message: str) -> None:
    log.warning("%s", message)


@dataclass(frozen=True, slots=True)
class _Found:
    """What planning knows of a file; the schema where it was just opened."""

    file: SourceFile
    cuts: tuple[Cut, ...]
    cut: Kind
    schema: pa.Schema | None = None
    broken: str | None = None


@dataclass
class _Planner:
    corpus: Corpus
    shard_bytes: int
    part_rows: int
    known: Known
    found: list[_Found] = field(default_factory=list)

    @cached_property
    def condition(self) -> Condition | None:
        """The corpus' `where`, None if it has none."""
        return Condition(self.corpus.where) if self.corpus.where is not None else None

    @cached_property
    def settings(self) -> str:
        """What cuts and checks follow from, beside the files."""
        return json.dumps([self.shard_bytes, self.part_rows, *self._columns])

    @property
    def _columns(self) -> list[str | int | None]:
        corpus = self.corpus
        known = [corpus.text_column, corpus.id_column, corpus.domain_column, corpus.where, corpus.max_line_bytes]
        return [*known, corpus.text_template] if corpus.text_template is not None else known

    @property
    def knows_columns(self) -> bool:
        """Whether an earlier planning found these columns."""
        return bool(self.known.settings) and json.loads(self.known.settings)[2:] == self._columns

    def size(self, file: SourceFile) -> int:
        """What a shard of this file holds: rows of a stream, else bytes."""
        return self.part_rows if file.cut == "part" else self.shard_bytes

    def key(self, file: SourceFile) -> str:
        """What names this content, cut like this."""
        return file_key(file.path, file.fingerprint, self.size(file))

    def shards(self, files: list[SourceFile]) -> Iterator[Shard]:
        """The shards of the files, which are looked at as they are needed."""
        files_open, checked = Files(), set()
        with ThreadPoolExecutor(_THREADS) as pool:
            for wave in batched(files, _WAVE if self.corpus.limit is None else _THREADS):
                waiting = [self._look_up(file) or pool.submit(self._look_at, file, files_open) for file in wave]
                for one in (one.result() if isinstance(one, Future) else one for one in waiting):
                    if one.schema is not None and self.condition is not None:
                        condition = self.condition.of_path(one.file.path)
                        if (condition, one.schema) not in checked:
                            condition.check_schema(one.schema, path=one.file.path)
                            checked.add((condition, one.schema))
                    self.found.append(replace(one, schema=None))  # of all files they would be most of the memory
                    yield from self._shards_of(one)

    def _shards_of(self, one: _Found) -> Iterator[Shard]:
        file = one.file
        for start, stop, n_rows in one.cuts:
            yield Shard(
                path=file.path,
                uri=file.uri,
                cut=one.cut,
                start=start,
                stop=stop,
                fingerprint=file.fingerprint,
                domain=file.domain,
                n_rows=n_rows,
                size=self.part_rows if one.cut == "part" else self.shard_bytes,
                broken=one.broken,
            )

    def _look_up(self, file: SourceFile) -> _Found | None:
        """What can be said of a file without opening it; None: nothing."""
        fingerprint, cuts = self.known.files.get(file.path, ("", ()))
        is_known = fingerprint == file.fingerprint
        kind: Kind = "part" if is_known and _STREAM in cuts else file.cut
        if is_known and self.known.settings == self.settings:
            return _Found(file, cuts, kind)
        if kind == "part":
            return _Found(file, (_STREAM,), kind)
        return self._by_bytes(file) if kind == "bytes" and (is_known or not file.size_bytes) else None

    def _by_bytes(self, file: SourceFile) -> _Found:
        ranges = sliced(0, file.size_bytes, -(-file.size_bytes // self.shard_bytes))
        return _Found(file, tuple((start, stop, None) for start, stop in ranges), "bytes")

    def _look_at(self, file: SourceFile, files: Files) -> _Found:
        """What only the file itself says: whether JSON is one array, and the footer of Parquet."""
        if file.cut == "rows":
            return self._look_at_footer(file, files)
        try:
            with files.open(file.uri) as opened:
                head = opened.read(HEAD_BYTES)
        except OSError as error:
            return _Found(file, (_STREAM,), "bytes", broken=f"{file.uri} can't be read: {error}")
        return _Found(file, (_STREAM,), "part") if is_array(head) else self._by_bytes(file)

    def _look_at_footer(self, file: SourceFile, files: Files) -> _Found:
        try:
            with files.open(file.uri) as opened:
                parquet = pq.ParquetFile(opened)
                groups = row_groups(parquet, self.corpus.text_column, source=opened, shard_bytes=self.shard_bytes)
                n_rows, schema = parquet.metadata.num_rows, parquet.schema_arrow
                if n_rows != sum(rows for rows, _ in groups) or any(rows < 0 for rows, _ in groups):
                    raise OSError(f"its footer says {n_rows} rows, its row groups have {[rows for rows, _ in groups]}")
        except UNREADABLE as error:
            return _Found(file, (_STREAM,), "rows", broken=f"{file.uri} can't be read: {error}")
        if n_rows == 0:  # nothing will be read of it, so its columns don't matter
            return _Found(file, (), "rows")
        check_columns(self.corpus, schema, path=file.path, named=file.domain is not None)
        ranges = cut_groups(groups, self.shard_bytes)
        return _Found(file, tuple((start, stop, stop - start) for start, stop in ranges), "rows", schema)

    def known_now(self, planned: list[Shard]) -> Known:
        """What the next planning needn't find out again: the cuts of each file that could be read, and rows counted."""
        counted = {(shard.path, shard.start): shard.n_rows for shard in planned if shard.max_rows is None}
        files = {
            one.file.path: (one.file.fingerprint, tuple(_counted(cut, counted, one.file.path) for cut in one.cuts))
            for one in self.found
            if one.broken is None
        }
        return Known(self.settings, files)


def _counted(cut: Cut, counted: dict[tuple[str, int], int | None], path: str) -> Cut:
    start, stop, n_rows = cut
    return start, stop, n_rows if n_rows is not None else counted.get((path, start))
