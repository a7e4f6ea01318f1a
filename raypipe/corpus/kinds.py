"""The type of a column of a finished stage, by the first of its files."""

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.runs.card import tables
from raypipe.storage.folder import Folder


def kind_of(run: Folder, name: str) -> pa.DataType:
    """The type of `stage.column`.

    Raises
    ------
    KeyError
        If the stage has no such column.
    ValueError
        If it has no file.
    """
    stage, _, column = name.partition(".")
    for entry in tables(run / stage)[:1]:
        with (run / stage).open(entry.path) as file:
            schema = pq.ParquetFile(file).schema_arrow
        if column in schema.names:
            return schema.field(column).type
        raise KeyError(f"stage {stage!r} of {run.uri} has no column {column!r}; it has {', '.join(schema.names)}.")
    raise ValueError(f"stage {stage!r} of {run.uri} has no file.")
