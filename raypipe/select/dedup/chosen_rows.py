"""Ids, and whatever else is asked for, of some rows of a run: of those that stay, or of all that aren't alone."""

from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.columns import ID
from raypipe.storage.folder import Folder


def rows_file(rows: np.ndarray) -> bytes:
    """Row numbers [m] as a file."""
    found = BytesIO()
    np.save(found, rows.astype(np.int64), allow_pickle=False)
    return found.getvalue()


@lru_cache(maxsize=1)
def _rows_in(folder: Folder, name: str, digest: str) -> np.ndarray:
    return np.asarray(np.load(BytesIO(folder.read(name)), allow_pickle=False))


@dataclass
class ChosenRows:
    """Linker: id and columns of the rows whose numbers stand in a file; groups are as many of them each."""

    columns: tuple[str, ...]
    """`stage.column` each."""
    folder: Folder
    name: str
    """Of the file: numbers of rows, rising."""
    digest: str
    """Of the file."""
    group: int = 0
    n_groups: int = 1
    _found: list[pa.Table] = field(default_factory=list, init=False, repr=False, compare=False)

    version: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    def update(self, table: pa.Table, first_row: int) -> None:
        """Take in the rows that are asked for."""
        wanted = _rows_in(self.folder, self.name, self.digest)
        cuts = np.linspace(0, len(wanted), self.n_groups + 1).astype(int)
        mine = wanted[cuts[self.group] : cuts[self.group + 1]]
        start, stop = np.searchsorted(mine, [first_row, first_row + len(table)])
        if start == stop and self._found:
            return
        rows = mine[start:stop]
        found = table.select([ID, *self.columns]).take(pa.array(rows - first_row))
        self._found.append(found.add_column(0, "row", pa.array(rows)))

    def result(self) -> pa.Table:
        """`row`, `id` and the columns, by row."""
        return pa.concat_tables(self._found).combine_chunks() if self._found else pa.table({})
