"""Vectors of documents and queries: made here, or read of finished stages of embed_corpus, by id."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.columns import ID
from raypipe.embed.formats import EMBEDDING, SCALE
from raypipe.runs.card import Json, finished_card, tables
from raypipe.storage.folder import Folder


def vectors_in(table: pa.Table) -> np.ndarray:
    """[n, d] float32 of stored vectors of any number format, NaN where a row has none; bits are -1 and 1."""
    column = table[EMBEDDING].combine_chunks()
    n_stored = column.type.list_size
    has_one = column.is_valid().to_numpy(zero_copy_only=False)
    stored = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, n_stored)
    if stored.dtype == np.uint8:  # bits; those that differ count, as by Hamming distance
        stored = np.unpackbits(stored, axis=1).astype(np.float32) * 2 - 1
    found = np.full((len(table), stored.shape[1]), np.nan, np.float32)
    found[has_one] = stored
    if SCALE in table.column_names:
        found *= table[SCALE].to_numpy()[:, None].astype(np.float32)
    return found


def stage_identity(uri: str) -> Json:
    """The identity of a finished stage of vectors.

    Raises
    ------
    FileNotFoundError, ValueError
        If it isn't there or isn't finished.
    """
    run, _, stage = Folder(uri).uri.rpartition("/")
    return dict(finished_card(Folder(run), stage)["identity"])


def stage_vectors(uri: str, ids: Sequence[str], *, what: str) -> np.ndarray:
    """The vectors of these ids [n, d] float32 of a finished stage, NaN for a row that it says it has none of.

    Raises
    ------
    ValueError
        If an id isn't there, with the first.
    """
    folder, at = Folder(uri), {name: position for position, name in enumerate(ids)}
    found, missing = np.zeros((0, 0), np.float32), set(ids)
    for entry in tables(folder):
        with folder.open(entry.path) as source:
            file = pq.ParquetFile(source)
            names = [name for name in (ID, EMBEDDING, SCALE) if name in file.schema_arrow.names]
            if EMBEDDING not in names:
                raise ValueError(f"{uri} must be a stage of embed_corpus, but has no column {EMBEDDING!r}.")
            table = file.read(names)
        rows = [(row, at[name]) for row, name in enumerate(table[ID].to_pylist()) if name in at]
        X = vectors_in(table)
        if not found.size:
            found = np.full((len(ids), X.shape[1]), np.nan, np.float32)
        found[[to for _, to in rows]] = X[[row for row, _ in rows]]
        missing -= {ids[to] for _, to in rows}
    if missing:
        raise ValueError(
            f"{uri} must have a vector for every {what} by id, but lacks {len(missing):,} of {len(ids):,}, "
            f"{min(missing)!r} the first; embed the same file with --id-column _id."
        )
    return found
