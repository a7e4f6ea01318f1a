"""Answers to questions about rows, each asked once: kept by question and version, with calls counted exactly.

Source: I. Toubal et al., Modeling Collaborator, CVPR 2024 (its abstract): questions that belong to a concept, answered
by models on items. Departures: the accounting is ours.
Cost: one call for each row and question that isn't kept yet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from safetensors.numpy import load, save

from raypipe.storage.folder import Folder

Answerer = Callable[[str, np.ndarray], np.ndarray]
"""A question and numbers of rows [n] -> answers [n], such as how surely it is so."""


@dataclass
class KeptAnswers:
    """Answers of one annotator, a file a question; another version or wording is another file."""

    answer: Answerer
    version: str
    """Of the annotator: what a change of model or prompt must change."""
    folder: Folder | None = None
    """Where they are kept; None: in memory alone."""

    calls: int = field(default=0, init=False)
    """Rows asked about by now, a question each."""
    _kept: dict[str, dict[int, float]] = field(default_factory=dict, init=False, repr=False)

    def of(self, questions: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """Answers [n, q] to questions about rows [n]; only what isn't known is asked.

        Raises
        ------
        ValueError
            If an annotator gives other than a finite answer for each row.
        """
        return np.column_stack([self._to(question, rows) for question in questions])

    def _to(self, question: str, rows: np.ndarray) -> np.ndarray:
        kept = self._read(question)
        new = np.array(sorted({int(row) for row in rows} - set(kept)), np.int64)
        if len(new):
            found = np.asarray(self.answer(question, new), np.float64)
            if found.shape != new.shape or not np.isfinite(found).all():
                raise ValueError(f"there must be a finite answer for each of {len(new)} rows to {question!r}.")
            self.calls += len(new)
            kept |= dict(zip(new.tolist(), found.tolist(), strict=True))
            self._write(question, kept)
        return np.array([kept[int(row)] for row in rows])

    def _name(self, question: str) -> str:
        return sha256(f"{self.version}\0{question}".encode()).hexdigest()[:32] + ".safetensors"

    def _read(self, question: str) -> dict[int, float]:
        name = self._name(question)
        if name not in self._kept:
            self._kept[name] = {}
            if self.folder is not None and self.folder.exists(name):
                arrays = load(self.folder.read(name))
                self._kept[name] = dict(zip(arrays["rows"].tolist(), arrays["answers"].tolist(), strict=True))
        return self._kept[name]

    def _write(self, question: str, kept: dict[int, float]) -> None:
        if self.folder is not None:
            arrays = {"rows": np.array(list(kept), np.int64), "answers": np.array(list(kept.values()), np.float64)}
            self.folder.write(self._name(question), save(arrays))
