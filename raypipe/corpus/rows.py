"""Texts judged and put into tables of `columns.SOURCE`: the same rules for every format."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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


def reasons_of(texts: pa.LargeBinaryArray) -> list[str | None]:
    """The reasons that `judge` gives for a column's rows.

    Python looks only at rows that may be no text. One that begins with a visible ASCII character is one, if it is
    UTF-8, and that Arrow checks for all rows at once.
    """
    try:
        texts.cast(pa.large_string())
        doubtful = np.flatnonzero(~_begins_visibly(texts))
    except pa.ArrowInvalid:
        doubtful = np.arange(len(texts))
    reasons: list[str | None] = [None] * len(texts)
    for at in doubtful.tolist():
        reasons[at] = judge(texts[at].as_py())[1]
    return reasons


def _begins_visibly(texts: pa.LargeBinaryArray) -> np.ndarray:
    """[n] whether a row's first byte is a visible ASCII character."""
    offsets, content = _layout(texts)
    has_text = (offsets[1:] > offsets[:-1]) & texts.is_valid().to_numpy(zero_copy_only=False)
    first = np.frombuffer(content, np.uint8)[offsets[:-1][has_text]]
    visible = np.zeros(len(texts), bool)
    visible[has_text] = (first > 0x20) & (first < 0x7F)
    return visible


def _layout(texts: pa.LargeBinaryArray) -> tuple[np.ndarray, memoryview]:
    """Where each row of a column begins, [n + 1], in its bytes."""
    _, offsets, content = texts.buffers()
    begins = np.frombuffer(offsets, np.int64, len(texts) + 1, texts.offset * 8) if len(texts) else np.zeros(1, np.int64)
    return begins, memoryview(content if content is not None else b"")


def _hashes(texts: pa.LargeBinaryArray) -> pa.Array:
    """`text_hash` of each row, null where the text is."""
    offsets, content = _layout(texts)
    digests = b"".join(blake2b(content[start:stop]).digest()[:8] for start, stop in pairwise(offsets.tolist()))
    return pa.array(np.frombuffer(digests, "<i8"), mask=texts.is_null().to_numpy(zero_copy_only=False))


def source_table(
    *,
    ids: Sequence[str],
    domains: Sequence[str],
    texts: Sequence[bytes | None] | pa.LargeBinaryArray,
    reasons: Sequence[str | None],
) -> pa.Table:
    """A table of `columns.SOURCE` from texts that were judged; a row with a reason keeps no text."""
    kept = texts if isinstance(texts, pa.LargeBinaryArray) else pa.array(texts, pa.large_binary())
    if reasons.count(None) < len(reasons):
        kept = pc.if_else(pa.array([reason is None for reason in reasons]), kept, pa.scalar(None, kept.type))
    arrays = [
        pa.array(ids, pa.string()),
        _hashes(kept),
        pa.array(domains, pa.string()),
        kept.view(pa.large_string()),  # each was checked by `judge`
        pc.fill_null(pc.binary_length(kept), 0),
        pa.array(reasons, pa.string()),
    ]
    return pa.Table.from_arrays(arrays, schema=columns.SOURCE)


def source_of(texts: Sequence[str | None]) -> pa.Table:
    """A table of `columns.SOURCE` from texts in memory, numbered, all of one domain."""
    judged = [judge(text) for text in texts]
    return source_table(
        ids=[str(at) for at in range(len(texts))],
        domains=["all"] * len(texts),
        texts=[text for text, _ in judged],
        reasons=[reason for _, reason in judged],
    )


def joined(tables: list[pa.Table]) -> pa.Table:
    """The tables, one after another; none: no rows."""
    return pa.concat_tables(tables) if tables else columns.SOURCE.empty_table()
