"""Texts judged and put into tables of `columns.SOURCE`: the same rules for every format."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from raypipe import columns

BATCH = 1024
"""Rows that are parsed, judged and filtered together."""

NULL, WRONG_TYPE, NOT_UTF8, EMPTY = "null text", "not a string", "not UTF-8", "empty"


def judge(value: object) -> tuple[bytes | None, str | None]:
    """The UTF-8 of a text and None, or None and the reason why it is no text."""
    try:
        if isinstance(value, bytes):  # from Parquet, whose strings nobody has checked
            value = value.decode()
        if value is None:
            return None, NULL
        if not isinstance(value, str):
            return None, WRONG_TYPE
        return (None, EMPTY) if not value or value.isspace() else (value.encode(), None)
    except UnicodeError:  # bytes that are no UTF-8, or half a surrogate pair
        return None, NOT_UTF8


def as_string(value: object) -> str | None:
    """A domain or id as a string; None where it is null. What can't be written as UTF-8 is escaped."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except RecursionError:  # a list in a list in a list ...
        return None


def text_hash(text: bytes) -> int:
    """The first 8 bytes of the BLAKE2b digest of a text, as a signed little-endian integer."""
    return int.from_bytes(blake2b(text).digest()[:8], "little", signed=True)


def source_table(
    *, ids: Sequence[str], domains: Sequence[str], texts: Sequence[bytes | None], reasons: Sequence[str | None]
) -> pa.Table:
    """A table of `columns.SOURCE`; a row with a reason keeps no text."""
    kept = [None if reason else text for text, reason in zip(texts, reasons, strict=True)]
    digests = b"".join(blake2b(text).digest()[:8] if text is not None else bytes(8) for text in kept)
    missing = np.fromiter((text is None for text in kept), bool, len(kept))
    lengths = np.fromiter((len(text) if text is not None else 0 for text in kept), np.int64, len(kept))
    arrays = [
        pa.array(ids, pa.string()),
        pa.array(np.frombuffer(digests, "<i8"), pa.int64(), mask=missing),
        pa.array(domains, pa.string()),
        pa.array(kept, pa.large_binary()).view(pa.large_string()),  # each was checked by `judge`
        pa.array(lengths),
        pa.array(reasons, pa.string()),
    ]
    return pa.Table.from_arrays(arrays, schema=columns.SOURCE)


def joined(tables: list[pa.Table]) -> pa.Table:
    """The tables, one after another; none: no rows."""
    return pa.concat_tables(tables) if tables else columns.SOURCE.empty_table()
