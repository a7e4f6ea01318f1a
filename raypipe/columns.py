"""Names of columns and the schemas of the files in a run folder."""

from collections.abc import Iterable

import pyarrow as pa

ID = "id"
TEXT = "text"
TEXT_HASH = "text_hash"
DOMAIN = "domain"
STATUS = "status"
REASON = "reason"

SCORED = "scored"
SKIPPED = "skipped"

# What a reader hands to every annotate stage: one row for each row of the source, in order.
# text is null exactly where reason is not: such a row stays a row and is never processed.
SOURCE = pa.schema(
    [
        (ID, pa.string()),
        (TEXT_HASH, pa.int64()),
        (DOMAIN, pa.string()),
        (TEXT, pa.large_string()),
        ("n_bytes", pa.int64()),
        (REASON, pa.string()),
    ]
)

# Where a row stands, for what asks for it: the part of a file that is a shard's, and the row in it. In no file.
PART, PART_ROW = "part", "part_row"
PLACE = pa.schema([(PART, pa.dictionary(pa.int32(), pa.string())), (PART_ROW, pa.int64())])

# What every annotate stage writes beside the columns it adds.
KEYS = pa.schema([(ID, pa.string()), (TEXT_HASH, pa.int64())])
OUTCOME = pa.schema([(STATUS, pa.string()), (REASON, pa.string())])

# The columns of scores/ that describe a row, whatever its scorers; statistics add theirs.
DOCUMENT = pa.schema(
    [
        (DOMAIN, pa.string()),
        ("n_tokens", pa.int32()),
        ("n_tokens_total", pa.int64()),
        ("n_bytes", pa.int64()),
        ("zlib_ratio", pa.float32()),
        ("repeated_lines", pa.float32()),
        ("truncated", pa.bool_()),
    ]
)

SELECTION = pa.schema(
    [
        (ID, pa.string()),
        (TEXT_HASH, pa.int64()),
        (DOMAIN, pa.string()),
        ("rank", pa.float64()),
        ("split", pa.string()),
        ("selected", pa.bool_()),
        ("weight", pa.float32()),
    ]
)


def require(schema: pa.Schema, names: Iterable[str], *, where: str) -> None:
    """Check that every column is there.

    Raises
    ------
    KeyError
        If one is missing; the message lists what is there.
    """
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise KeyError(f"{where} has no column {', '.join(map(repr, missing))}; its columns are {schema.names}.")
