"""How many e-mail addresses, public IP addresses and phone numbers a text holds; see `raypipe.corpus.personal`."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.corpus.personal import KINDS, count
from raypipe.describe.texts import CutTexts


@dataclass(frozen=True)
class Personal:
    """Counts of what is personal.

    >>> from raypipe.describe.texts import CutTexts
    >>> found = Personal()(CutTexts(["mail a@b.org or c@d.org, from 8.8.8.8 but not from 127.0.0.1"]))
    >>> {name: column.tolist() for name, column in found.items()}
    {'n_emails': [2], 'n_ips': [1], 'n_phones': [0]}
    """

    adds: ClassVar[pa.Schema] = pa.schema([(f"n_{kind}", pa.int32()) for kind in KINDS])

    def __call__(self, texts: CutTexts) -> dict[str, np.ndarray]:
        """Columns [n], at least 0."""
        return {f"n_{kind}": np.array([count(text, kind) for text in texts.texts], np.int64) for kind in KINDS}
