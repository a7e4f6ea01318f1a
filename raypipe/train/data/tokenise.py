"""Texts to token ids, once: what tokens/ holds. What is seen of them, and when, is an index (`stream.py`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import DOMAIN, REASON, TEXT
from raypipe.contracts import op
from raypipe.contracts.row_op import ReaderOp
from raypipe.models.tokenizer import open_vocabulary
from raypipe.settings.identity import counts_as

TOKENS = pa.schema(
    [
        (DOMAIN, pa.string()),
        ("n_tokens", pa.int32()),
        ("tokens", pa.list_(pa.int32())),
    ]
)
NO_TOKENS = "no tokens"
BATCH_ROWS = 4096


def _digest(ref: str) -> Mapping[str, Any]:
    vocabulary = open_vocabulary(ref)
    return {"tokenizer_sha256": vocabulary.sha256, "vocabulary_size": vocabulary.size}


@dataclass
class Tokenise(ReaderOp):
    """The Op behind tokens/: one row for each source row, its ids whole; null where the row is skipped."""

    tokenizer: str = field(metadata=counts_as(_digest))
    """Folder with tokenizer.json, or a model: folder, org/name@revision, GGUF file, or `sample`."""

    append_end: bool = True
    """End every document with the tokenizer's end-of-text token, where it has one."""

    reads: ClassVar[tuple[str, ...]] = (TEXT, DOMAIN)
    version: ClassVar[int] = 2
    batch_rows: ClassVar[int] = BATCH_ROWS
    unit: ClassVar[str] = op.TOKENS

    @property
    def adds(self) -> pa.Schema:
        """The columns of tokens/ beside keys and outcome."""
        return TOKENS

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work, on a CPU: columns.SOURCE -> TOKENS + reason, same rows and order."""
        vocabulary = open_vocabulary(self.tokenizer)
        rows = np.flatnonzero(pc.is_null(table[REASON]).to_numpy())
        encodings = vocabulary.backend.encode_batch_fast(table[TEXT].take(rows).to_pylist(), add_special_tokens=True)
        ids: list[list[int] | None] = [None] * len(table)
        reasons = table[REASON].to_pylist()
        end = [vocabulary.end] if self.append_end and vocabulary.end is not None else []
        for row, encoding in zip(rows, encodings, strict=True):
            if encoding.ids:
                ids[row] = encoding.ids if encoding.ids[-1:] == end else encoding.ids + end
            else:
                reasons[row] = NO_TOKENS
        tokens = pa.array(ids, TOKENS.field("tokens").type)
        columns = [
            table[DOMAIN],
            pc.cast(pc.list_value_length(tokens), pa.int32()),
            tokens,
            pa.array(reasons, pa.string()),
        ]
        return pa.table(columns, schema=TOKENS.append(pa.field(REASON, pa.string())))

    def cost(self, prepared: pa.Table) -> int:
        """Tokens of these rows."""
        return int(pc.sum(prepared["n_tokens"]).as_py() or 0)
