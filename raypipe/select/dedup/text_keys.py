"""Keys that copies of a text share: a hash of the whole of it, or of each of its lines or paragraphs.

Before it is hashed a text is brought to Unicode's composed form, lower case, and single spaces; punctuation counts.
Two different ones share a key with a chance of n ** 2 / 2 ** 65: 3 % for one pair among a billion.
Cost: O(n) in characters, and one hash of 8 bytes for each text, line or paragraph.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Literal
from unicodedata import is_normalized, normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON, TEXT
from raypipe.contracts.row_op import ReaderOp

KEYS, N_CHARS = "keys", "n_chars"
KEYS_UNIT = "keys"
"""Unit of cost of Ops that give rows keys to be found by."""
KEY_LISTS = pa.list_(pa.uint64())
Unit = Literal["line", "paragraph"]
_CUTS = {"line": re.compile(r"\n"), "paragraph": re.compile(r"\n\s*\n")}


def normalised(text: str) -> str:
    """A text as it is compared: composed, in lower case, with single spaces."""
    composed = text if is_normalized("NFC", text) else normalize("NFC", text)
    return " ".join(composed.lower().split())


def text_key(text: str) -> int:
    """64 bits of a text as it is compared."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _count_keys(prepared: pa.Table) -> int:
    return int(pc.sum(pc.list_value_length(prepared[KEYS])).as_py() or 0)


@dataclass
class ExactKeys(ReaderOp):
    """The Op that gives each text one key, the same for all that differ in case and white space only."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    adds: ClassVar[pa.Schema] = pa.schema([(KEYS, KEY_LISTS)])
    version: ClassVar[int] = 1
    unit: ClassVar[str] = KEYS_UNIT

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work: texts -> keys + reason, same rows and order."""
        keys = [None if text is None else [text_key(normalised(text))] for text in texts_of(table)]
        return pa.table({KEYS: pa.array(keys, KEY_LISTS), REASON: table[REASON]})

    def cost(self, prepared: pa.Table) -> int:
        """Keys."""
        return _count_keys(prepared)


@dataclass
class UnitKeys(ReaderOp):
    """The Op that gives each text a key for each of its lines, or paragraphs, that is long enough."""

    unit_of_text: Unit = "line"
    """line: what stands between line breaks. paragraph: what stands between empty lines."""
    min_chars: int = 20
    """Shorter ones are no keys: closing brackets and headings are in every other text."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    adds: ClassVar[pa.Schema] = pa.schema([(KEYS, KEY_LISTS), (N_CHARS, pa.list_(pa.int32()))])
    version: ClassVar[int] = 1
    unit: ClassVar[str] = KEYS_UNIT

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work: texts -> keys, their lengths + reason, same rows and order."""
        keys: list[list[int] | None] = []
        n_chars: list[list[int] | None] = []
        for text in texts_of(table):
            units = [] if text is None else list(self._units(text))
            keys.append(None if text is None else [text_key(unit) for unit in units])
            n_chars.append(None if text is None else [len(unit) for unit in units])
        columns: dict[str, Any] = {KEYS: pa.array(keys, KEY_LISTS), N_CHARS: pa.array(n_chars, pa.list_(pa.int32()))}
        return pa.table({**columns, REASON: table[REASON]})

    def _units(self, text: str) -> Iterable[str]:
        found = map(normalised, _CUTS[self.unit_of_text].split(text))
        return (unit for unit in found if len(unit) >= self.min_chars)

    def cost(self, prepared: pa.Table) -> int:
        """Keys."""
        return _count_keys(prepared)


def texts_of(table: pa.Table) -> Sequence[str | None]:
    """The texts, None where a row has a reason."""
    is_skipped = pc.is_valid(table[REASON]).to_numpy()
    texts: list[str | None] = table[TEXT].to_pylist()
    return [None if skipped else text for text, skipped in zip(texts, np.asarray(is_skipped), strict=True)]
