"""Transcripts on disk: a Parquet file for each range of rows and seed, put whole or not at all.

debate/seed-3/00000128-00000192.parquet     rows 128 to 191, debates of seed 3
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.label.debate.debate import N_TURNS, Transcript
from raypipe.storage.folder import Folder

TURNS = tuple(f"turn_{number}" for number in range(1, N_TURNS + 1))
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("row", pa.int64()),
        ("text_hash", pa.int64()),
        ("first_side", pa.int8()),
        *((turn, pa.string()) for turn in TURNS),
    ]
)


def file_name(seed: int, rows: range) -> str:
    """Of the debates of a seed about a range of rows."""
    return f"seed-{seed}/{rows.start:08d}-{rows.stop:08d}.parquet"


def missing_ranges(folder: Folder, *, seed: int, n_rows: int, rows_per_file: int) -> Iterator[range]:
    """The ranges of rows whose file isn't there yet.

    Raises
    ------
    ValueError
        If rows_per_file isn't positive.
    """
    if rows_per_file < 1:
        raise ValueError(f"rows_per_file must be at least 1, got {rows_per_file}.")
    there = {entry.path for entry in folder.files(recursive=True)}
    for start in range(0, n_rows, rows_per_file):
        rows = range(start, min(start + rows_per_file, n_rows))
        if file_name(seed, rows) not in there:
            yield rows


def write_transcripts(
    folder: Folder, name: str, transcripts: list[Transcript], *, places: list[tuple[str, int]], text_hash: np.ndarray
) -> None:
    """Put a file: a row for each text, with its source file and row there."""
    columns: dict[str, Any] = {
        "path": [path for path, _ in places],
        "row": [row for _, row in places],
        "text_hash": text_hash,
        "first_side": [transcript.first_side for transcript in transcripts],
        **{turn: [transcript.turns[at] for transcript in transcripts] for at, turn in enumerate(TURNS)},
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=SCHEMA), sink, compression="zstd")
    folder.write(name, sink.getvalue())


def read_transcripts(folder: Folder, *, seed: int) -> dict[int, Transcript]:
    """The transcripts of a seed by the hash of their text."""
    found: dict[int, Transcript] = {}
    for entry in (folder / f"seed-{seed}").files():
        with folder.open(f"seed-{seed}/{entry.path}") as source:
            for row in pq.read_table(source, schema=SCHEMA).to_pylist():
                found[row["text_hash"]] = Transcript(row["first_side"], tuple(row[turn] for turn in TURNS))
    return found
