"""Lists of rows as the rows of a shard's file: what a rewrite writes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import ID, TEXT_HASH

PIECES = "__pieces__"
"""The column of lists that a rewrite gives."""

ORIGIN = pa.schema(
    [
        (ID, pa.string()),
        ("source_id", pa.string()),
        ("source_row", pa.int64()),
        ("piece", pa.int32()),
        ("source_text_hash", pa.int64()),
    ]
)
"""Of each row: its id, `SOURCE_ID#PIECE`; id, row in the shard and text_hash of the row it comes from; which piece."""


def exploded(keys: pa.Table, lists: pa.LargeListArray) -> pa.Table:
    """A row for each item of the lists, behind the columns of ORIGIN; `keys` are of the rows that the lists are of."""
    rows = pc.list_parent_indices(lists)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    first = np.cumsum(lengths) - lengths
    piece = pa.array(np.arange(len(rows)) - first[rows.to_numpy()], pa.int32())
    source_id = keys[ID].combine_chunks().take(rows)
    origin = [
        pc.binary_join_element_wise(source_id, piece.cast(pa.string()), "#"),
        source_id,
        rows.cast(pa.int64()),
        piece,
        keys[TEXT_HASH].combine_chunks().take(rows),
    ]
    items = lists.flatten()
    columns = dict(zip(ORIGIN.names, origin, strict=True))
    return pa.table({**columns, **{name: items.field(at) for at, name in enumerate(items.type.names)}})
