"""What each labelling function does over a whole run: coverage, overlaps, conflicts, failures, accuracy: a gather.

All of it follows from how often each distinct row of votes occurs, by truth where some is known; a label model is
fitted on the same counts, so that votes/ are read once.
Source: the table of LFAnalysis in Snorkel (A. Ratner et al., VLDB 2018, section 2.2): coverage, overlaps and conflicts
are shares of all rows. Intervals are Wilson's.
Cost: O(n m) and memory p m int8 for p distinct rows of votes of m functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.arrays.intervals import wilson_interval
from raypipe.columns import ID, REASON
from raypipe.fitting.vectors import matrix
from raypipe.label.votes import ABSTAIN, VoteCounts, Votes


@dataclass
class VoteSummary:
    """Counts of distinct rows of votes, each with its truth, and of what failed."""

    stage: str
    """Of the votes."""
    functions: tuple[str, ...]
    """Their names, in the order of the votes."""
    truth: Mapping[str, int] = field(default_factory=dict, repr=False)
    """The number of the class of some rows, by id."""

    version: ClassVar[int] = 1
    _seen: VoteCounts = field(init=False, repr=False)
    _n_failed: np.ndarray = field(init=False, repr=False)
    _failures: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin empty."""
        self._seen = VoteCounts.of(np.empty((0, len(self.functions) + 1), np.int8))
        self._n_failed = np.zeros(len(self.functions), np.int64)

    @property
    def reads(self) -> tuple[str, ...]:
        """Votes and failures."""
        return tuple(f"{self.stage}.{name}" for name in ("votes", "failed", "failures"))

    def update(self, table: pa.Table) -> None:
        """Take in rows; those with a reason are left out."""
        rows = table.filter(pc.is_null(table[REASON]))
        if not len(rows):
            return
        votes, failed, failures = (rows[name] for name in self.reads)
        cast = matrix([votes])[0].astype(np.int8)
        truths = [self.truth.get(name, ABSTAIN) for name in rows[ID].to_pylist()]
        self._seen = self._seen.merge(VoteCounts.of(np.column_stack([cast, np.array(truths, np.int8)])))
        numbers = pc.list_flatten(failed).to_pylist()
        for number, why in zip(numbers, pc.list_flatten(failures).to_pylist(), strict=True):
            self._fail(number, 1, why)

    def _fail(self, number: int, n: int, why: str) -> None:
        self._n_failed[number] += n
        self._failures[number] = min(why, self._failures.get(number, why))  # the same for any cut of the rows

    def merge(self, other: Self) -> None:
        """Take in what another has."""
        self._seen = self._seen.merge(other._seen)
        for number, why in other._failures.items():
            self._fail(number, int(other._n_failed[number]), why)

    def state(self) -> dict[str, np.ndarray]:
        """Patterns with the truth last, their counts, and failures as UTF-8 end to end."""
        said = [self._failures.get(number, "").encode() for number in range(len(self.functions))]
        return {
            "patterns": self._seen.patterns,
            "counts": self._seen.counts,
            "n_failed": self._n_failed,
            "failures": np.frombuffer(b"".join(said), np.uint8),
            "failure_bytes": np.array([len(one) for one in said], np.int64),
        }

    def from_state(self, state: dict[str, np.ndarray]) -> Self:
        """One of the same settings that has this state."""
        made = type(self)(self.stage, self.functions, self.truth)
        made._seen, made._n_failed = VoteCounts(state["patterns"], state["counts"]), state["n_failed"].copy()
        raw, stops = state["failures"].tobytes(), np.cumsum(state["failure_bytes"])
        for number in np.flatnonzero(made._n_failed):
            start = stops[number] - state["failure_bytes"][number]
            made._failures[int(number)] = raw[start : stops[number]].decode()
        return made

    @property
    def votes(self) -> VoteCounts:
        """Distinct rows of votes, whatever their truth."""
        return self._seen.of_functions(range(len(self.functions)))

    @property
    def judged(self) -> tuple[Votes, np.ndarray, np.ndarray]:
        """Distinct rows of votes [p, m] whose truth [p] is known, and how often each occurs [p]."""
        known = self._seen.patterns[:, -1] != ABSTAIN
        return self._seen.patterns[known, :-1], self._seen.patterns[known, -1], self._seen.counts[known]

    def result(self) -> dict[str, Any]:
        """How many rows and votes there are, and the line of each function."""
        votes = self.votes
        covered = votes.counts[(votes.patterns != ABSTAIN).any(axis=1)].sum()
        lines = [self._line(number, name, votes) for number, name in enumerate(self.functions)]
        truths = int(self.judged[2].sum())
        return {"rows": votes.n_rows, "covered": int(covered), "patterns": len(votes.counts), "truths": truths,
                "functions": lines}  # fmt: skip

    def _line(self, number: int, name: str, votes: VoteCounts) -> dict[str, Any]:
        own, others = votes.patterns[:, [number]], np.delete(votes.patterns, number, axis=1)
        casts, speaks = own[:, 0] != ABSTAIN, others != ABSTAIN
        masks = {
            "coverage": casts,
            "overlap": casts & speaks.any(axis=1),
            "conflict": casts & (speaks & (others != own)).any(axis=1),
        }
        n = max(1, votes.n_rows)
        return {
            "name": name,
            "classes": sorted(set(own[casts, 0].tolist())),
            **{what: float(votes.counts[mask].sum() / n) for what, mask in masks.items()},
            **self._accuracy(number),
            "failed": int(self._n_failed[number]),
            "failure": self._failures.get(number),
        }

    def _accuracy(self, number: int) -> dict[str, Any]:
        """Share of right votes among those on rows whose truth is known; None where there are none."""
        patterns, truth, counts = self.judged
        return share_right(patterns[:, number], truth, counts)


def share_right(answers: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """Accuracy of the answers [p] that aren't -1, each counted so often, with its interval."""
    given = answers != ABSTAIN
    n = int(counts[given].sum())
    right = int(counts[given & (answers == truth)].sum())
    found = {"judged": n, "accuracy": right / n if n else None}
    return found | {"interval": list(wilson_interval(right / n, n)) if n else None}
