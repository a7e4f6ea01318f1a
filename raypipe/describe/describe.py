"""What can be said of a text without a model, in one pass: the Op behind columns/.

Cost: one pass over the texts on a CPU; lines and words are cut once for all parts.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args

import numpy as np
import pyarrow as pa

from raypipe.columns import DOMAIN, TEXT
from raypipe.contracts.row_op import RowOp
from raypipe.describe.c4 import C4
from raypipe.describe.fineweb import FineWeb
from raypipe.describe.gopher_quality import GopherQuality
from raypipe.describe.gopher_repetition import GopherRepetition
from raypipe.describe.language import Language
from raypipe.describe.personal import Personal
from raypipe.describe.texts import CutTexts

BATCH_ROWS = 256
PartName = Literal["gopher", "c4", "fineweb", "language", "personal"]
PART_NAMES: tuple[PartName, ...] = get_args(PartName)


class TextStatistic(Protocol):
    """Some columns of a description; its fields are its settings."""

    @property
    def adds(self) -> pa.Schema:
        """Its columns."""
        ...

    def __call__(self, texts: CutTexts) -> dict[str, np.ndarray]:
        """Each column by name [n]; NaN is null."""
        ...


def parts_of(names: tuple[PartName, ...]) -> tuple[TextStatistic, ...]:
    """The parts by name, in their order, each once.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not names or set(names) - set(PART_NAMES):
        raise ValueError(f"parts must be some of {', '.join(PART_NAMES)}, got {list(names)}.")
    kinds: dict[PartName, tuple[TextStatistic, ...]] = {
        "gopher": (GopherQuality(), GopherRepetition()),
        "c4": (C4(),),
        "fineweb": (FineWeb(),),
        "language": (Language(),),
        "personal": (Personal(),),
    }
    return tuple(part for name in PART_NAMES if name in names for part in kinds[name])


@dataclass
class Describe(RowOp):
    """Every part's columns of each row, with its domain and size.

    >>> from raypipe.corpus.rows import source_of
    >>> op = Describe(parts_of(("gopher", "personal")))
    >>> found = op(source_of(["The cat and the dog have met.", "Write to a@b.org"]))
    >>> found.select(["n_bytes", "n_words", "n_emails"]).to_pylist()
    [{'n_bytes': 29, 'n_words': 7, 'n_emails': 0}, {'n_bytes': 16, 'n_words': 3, 'n_emails': 1}]
    """

    parts: tuple[TextStatistic, ...]

    reads: ClassVar[tuple[str, ...]] = (TEXT, DOMAIN, "n_bytes")
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = BATCH_ROWS

    @property
    def adds(self) -> pa.Schema:
        """Domain and bytes, and the columns of the parts."""
        of_parts = [field for part in self.parts for field in part.adds]
        return pa.schema([(DOMAIN, pa.string()), ("n_bytes", pa.int64()), *of_parts])

    def __call__(self, batch: pa.Table) -> pa.Table:
        """What the parts say of a batch."""
        texts = CutTexts(batch[TEXT].to_pylist())
        columns = {name: batch[name] for name in (DOMAIN, "n_bytes")}
        for part in self.parts:
            found = part(texts)
            columns |= {field.name: pa.array(found[field.name], from_pandas=True) for field in part.adds}
        return pa.table(columns).cast(self.adds)
