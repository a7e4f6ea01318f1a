"""An arm's Parquet files: one a scores file, of the same name and with the same rows."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import columns
from raypipe.runs.card import Json
from raypipe.runs.files import file_identity
from raypipe.select.ranking.arms import Pick, Weighing, weights
from raypipe.select.ranking.groups import Eligible
from raypipe.select.rows import Rows, ahead
from raypipe.select.summary import Tally
from raypipe.storage.folder import Entry, Folder

SHARD_RECORD = (b"raypipe.source_path", b"raypipe.start", b"raypipe.shard")
"""What a footer says of the shard that the rows come from."""


def write_arm(
    folder: Folder, eligible: Eligible, pick: Pick, *, weighing: Weighing, identity: Json
) -> tuple[Tally, list[np.ndarray]]:
    """Write an arm's files, each naming its card's identity.

    Returns what they hold by domain, and by file which rows are selected, as packed bits.
    """
    scores = eligible.scores

    def write(item: tuple[int, Rows, np.ndarray]) -> tuple[Rows, np.ndarray, np.ndarray]:
        """One file; its rows come back with what was selected of them."""
        file, rows, is_copy = item
        rank, selected = ranked(eligible, pick, rows, is_copy)
        weight = weights(rows, is_copy=is_copy, selected=selected, weighing=weighing)
        table = selection_table(scores.folder, scores.files[file], rows, rank=rank, selected=selected, weight=weight)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **file_identity(identity)})
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        folder.write(scores.files[file].path, buffer.getvalue())
        return rows, is_copy, selected

    tally, chosen = Tally(), []
    for rows, is_copy, selected in ahead(write, eligible.files()):
        tally.update(rows, is_copy=is_copy, is_selected=selected)
        chosen.append(np.packbits(selected))
    return tally, chosen


def ranked(eligible: Eligible, pick: Pick, rows: Rows, is_copy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of all rows of a file: ranks [n], NaN where a row isn't eligible, and which are selected [n] bool."""
    rank, selected = np.full(len(rows), np.nan), np.zeros(len(rows), bool)
    for group, part in eligible.split(rows.take(rows.is_candidate & ~is_copy)):
        rank[part.index], selected[part.index] = pick.of(part, group)
    return rank, selected


def selection_table(
    folder: Folder, file: Entry, rows: Rows, *, rank: np.ndarray, selected: np.ndarray, weight: np.ndarray
) -> pa.Table:
    """The keys of a scores file and what is said of its rows; the footer keeps the record of the shard.

    Raises
    ------
    ValueError
        If the file has other rows than were ranked.
    """
    names = [columns.ID, columns.TEXT_HASH, columns.DOMAIN]
    with folder.open(file.path) as source:
        parquet = pq.ParquetFile(source)
        columns.require(parquet.schema_arrow, names, where=f"{folder.uri}/{file.path}")
        keys, footer = parquet.read(names), parquet.metadata.metadata or {}
    hashes = keys[columns.TEXT_HASH].fill_null(0).to_numpy()
    if not np.array_equal(hashes, rows.text_hash):
        raise ValueError(f"{folder.uri}/{file.path} was changed while it was read; start the selection again.")
    split = pa.DictionaryArray.from_arrays(rows.is_heldout.astype(np.int8), ["train", "heldout"])
    arrays = {
        "rank": pa.array(rank, from_pandas=True),  # NaN becomes null
        "split": split.cast(pa.string()),
        "selected": pa.array(selected),
        "weight": pa.array(weight, pa.float32()),
    }
    record = {key: footer[key] for key in SHARD_RECORD if key in footer}
    table = pa.table({**dict(zip(names, keys.columns, strict=True)), **arrays})
    return table.cast(columns.SELECTION).replace_schema_metadata(record)


def column_names(folder: Folder, files: list[Entry]) -> list[str]:
    """The columns of committed files, which all have the same; none where there is no file."""
    if not files:
        return []
    with folder.open(files[0].path) as source:
        return list(pq.read_schema(source).names)


def count_rows(folder: Folder, files: list[Entry]) -> int:
    """Rows of committed files, from their footers."""

    def count(file: Entry) -> int:
        """Rows of one file, from its footer."""
        with folder.open(file.path) as source:
            return int(pq.read_metadata(source).num_rows)

    return sum(ahead(count, files))
