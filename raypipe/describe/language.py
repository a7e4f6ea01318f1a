"""The language of a text and how sure of it one can be, by py3langid, whose model comes with it.

Source: M. Lui and T. Baldwin, langid.py: An Off-the-shelf Language Identification Tool, ACL 2012; the model of
py3langid (A. Barbaresi), which knows some hundred languages and "zxx", what is in none.
Departures: only the beginning of a text is looked at, MAX_CHARS characters of it.
Cost: about a millisecond a text; 30 MB for the model, loaded once a process.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from raypipe.describe.texts import CutTexts

MAX_CHARS = 1000


@dataclass(frozen=True)
class Language:
    """Language and confidence."""

    adds: ClassVar[pa.Schema] = pa.schema([("language", pa.string()), ("language_confidence", pa.float64())])

    def check(self) -> None:
        """See that py3langid is there.

        Raises
        ------
        ValueError
            If it isn't.
        """
        try:
            import py3langid  # noqa: F401
        except ImportError as error:
            raise ValueError(
                "parts with language need py3langid, which isn't installed: pip install 'raypipe[describe]', or leave "
                "language out of --parts."
            ) from error

    def __call__(self, texts: CutTexts) -> dict[str, np.ndarray]:
        """Columns [n]: a code of ISO 639, and its probability among all languages, in (0, 1]."""
        found = [_identifier().classify(text[:MAX_CHARS]) for text in texts.texts]
        return {
            "language": np.array([str(code) for code, _ in found], object),
            "language_confidence": np.array([float(confidence) for _, confidence in found]),
        }


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
