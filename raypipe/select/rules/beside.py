"""Columns of stages for the rows of a scores file, by position in the source file, however each stage was cut."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.columns import KEYS, OUTCOME, TEXT_HASH
from raypipe.corpus.shards import output_name
from raypipe.corpus.stages import Mismatch
from raypipe.runs.card import CARD, Json, finished_card, tables
from raypipe.storage.folder import Entry, Folder

_NO_VALUES = {*KEYS.names, *OUTCOME.names}


def columns_of(run: Folder) -> dict[str, list[str]]:
    """By stage that has a row for each row of the corpus, the columns that it adds; not those of a selection."""
    found = {}
    cards = [entry.path.split("/")[0] for entry in run.files(recursive=True) if entry.path.count("/") == 1
             and entry.path.endswith(f"/{CARD}")]  # fmt: skip
    for stage in sorted(cards):
        files = [file for file in tables(run / stage) if output_name(file.path)]
        names = _schema(run / stage, files[0]).names if files else []
        if set(KEYS.names) <= set(names) and not {"selected", "dropped_by"} & set(names):
            found[stage] = [name for name in names if name not in _NO_VALUES]
    return found


def _schema(folder: Folder, file: Entry) -> pa.Schema:
    with folder.open(file.path) as source:
        return pq.read_schema(source)


@dataclass
class Beside:
    """A stage's columns, read along the files of another stage in their order."""

    run: Folder
    stage: str
    columns: tuple[str, ...]
    card: Json = field(init=False)
    _of_path: Mapping[str, list[str]] = field(init=False)
    _path: str = field(default="", init=False)
    _rest: pa.Table | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """List the stage's files.

        Raises
        ------
        FileNotFoundError, ValueError
            If the stage isn't there or not finished.
        """
        self.card = finished_card(self.run, self.stage)
        of_path: dict[str, list[tuple[int, str]]] = {}
        for file in tables(self.run / self.stage):
            if found := output_name(file.path):
                of_path.setdefault(found.path, []).append((found.start, file.path))
        self._of_path = {path: [name for _, name in sorted(files)] for path, files in of_path.items()}

    def take(self, path: str, hashes: np.ndarray) -> pa.Table:
        """The next rows of a source file (quoted path), as many as `hashes` [n] int64, each named `stage.column`.

        Raises
        ------
        Mismatch
            If they aren't of these texts.
        """
        if path != self._path or self._rest is None:
            self._path, self._rest = path, pa.concat_tables(list(self._parts(path)) or [self._none()])
        found, self._rest = self._rest[: len(hashes)], self._rest[len(hashes) :]
        own = found[TEXT_HASH].fill_null(0).to_numpy()
        if len(own) != len(hashes) or not np.array_equal(own, hashes):
            raise Mismatch(
                f"stage {self.stage!r} must hold the rows of the scores, but has others of {path}; give its command "
                "again first, with the same corpus and settings of what is read."
            )
        return found.select(list(self.columns)).rename_columns([f"{self.stage}.{name}" for name in self.columns])

    def _parts(self, path: str) -> Iterator[pa.Table]:
        for name in self._of_path.get(path, []):
            with (self.run / self.stage).open(name) as file:
                yield pq.ParquetFile(file).read([TEXT_HASH, *self.columns])

    def _none(self) -> pa.Table:
        return pa.table({name: pa.nulls(0) for name in (TEXT_HASH, *self.columns)})


def beside(run: Folder, columns: Sequence[tuple[str, str]]) -> list[Beside]:
    """A reader for each stage of some (stage, column)s."""
    of_stage: dict[str, list[str]] = {}
    for stage, name in columns:
        of_stage.setdefault(stage, []).append(name)
    return [Beside(run, stage, tuple(names)) for stage, names in of_stage.items()]
