"""The columns of a run folded into exact counts by domain, and into kept rows for quantiles and rank correlations.

Memory: some 50 bytes for each scored row up to `EXACT_ROWS`; above, rows are kept by a hash of their text, which takes
all copies of a text or none, so that the share of duplicates stays right.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe import columns
from raypipe.contracts.score import Score

EXACT_ROWS = 10_000_000
"""Scored rows above which quantiles, correlations and extremes are those of a sample."""

NO_DOMAIN = "(no domain)"
MAX_ARMS = 16

FLOATS = ("loss", "loss_masked", "zlib_ratio", "repeated_lines")
INTEGERS = ("n_tokens", "n_tokens_total")

# One scored row. arms: bit i is set where arm i selected the row; file and row: where its scores are.
_KEYS = [("domain", "i4"), ("text_hash", "i8"), ("file", "i4"), ("row", "i4"), ("arms", "u2"), ("rank", "f4")]
KEPT = np.dtype([*_KEYS, ("length", "f4"), ("score", "f4"), *((name, "f4") for name in FLOATS)])
"""score: as it was scored, in its own sign; length: scored tokens."""

BINS_AN_OCTAVE = 4
LENGTHS = np.concatenate([[0.0], 2.0 ** (np.arange(24 * BINS_AN_OCTAVE + 1) / BINS_AN_OCTAVE)])
"""Edges of the bins that lengths are counted in: a quarter of an octave wide, the last one open."""


@dataclass(frozen=True)
class ScoreNumbers:
    """What the score and selection files of a run say. Arrays are [d], by domain, unless noted."""

    scored_by: Score
    """What documents are ordered by."""
    domains: list[str]
    counts: dict[str, np.ndarray]
    """rows, scored, truncated, tokens, tokens_total, eligible, heldout: int64."""
    arms: list[str]
    arm_documents: np.ndarray
    """Selected documents [a, d]."""
    arm_tokens: np.ndarray
    """Their tokens, whole documents [a, d]."""
    overlap: np.ndarray
    """Documents that both arms selected [a, a]."""
    shared: np.ndarray
    """Documents that the first arm and each arm selected, by domain [a, d]."""
    lengths: np.ndarray
    """Scored documents by their tokens, whole documents, in the bins of `LENGTHS` [b]."""
    selected_lengths: np.ndarray
    """Of them those that the first arm selected [b]."""
    lowest_selected: np.ndarray
    """Lowest score that the first arm selected; NaN where it selected nothing."""
    highest_passed_over: np.ndarray
    """Highest score among its eligible rows that weren't selected."""
    reasons: Counter[str]
    """Skipped rows by reason."""
    examples: dict[str, tuple[int, int]]
    """The first skipped row of each reason: (file, row)."""
    kept: np.ndarray
    """Scored rows, `KEPT` [n]."""
    kept_fraction: float
    present: frozenset[str]
    """Columns that some scores file has."""
    problems: dict[str, str]
    """Arms that don't belong to these scores, and why."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is scored yet."""
        return not self.domains

    @property
    def score(self) -> np.ndarray:
        """The score of the kept rows [n], its sign turned where lower is better."""
        return np.asarray(self.scored_by.sign * self.kept["score"])


def _grown(values: np.ndarray, length: int, fill: float = 0) -> np.ndarray:
    short = length - values.shape[-1]
    widths = [(0, 0)] * (values.ndim - 1) + [(0, max(short, 0))]
    return np.pad(values, widths, constant_values=fill)


@dataclass
class RowGather:
    """Takes the tables of a run file by file; `result` may be asked at any time."""

    arms: list[str]
    scored_by: Score
    kept_fraction: float = 1.0
    seed: int = 0
    _codes: dict[str, int] = field(default_factory=dict)
    _counts: dict[str, np.ndarray] = field(default_factory=dict)
    _kept: list[np.ndarray] = field(default_factory=list)
    _reasons: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, tuple[int, int]] = field(default_factory=dict)
    _present: set[str] = field(default_factory=set)
    _problems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the counts of arms."""
        if len(self.arms) > MAX_ARMS:
            raise ValueError(f"at most {MAX_ARMS} selections can be compared, got {len(self.arms)}: {self.arms}.")
        self._documents = np.zeros((len(self.arms), 0), np.int64)
        self._tokens = np.zeros((len(self.arms), 0), np.int64)
        self._overlap = np.zeros((len(self.arms), len(self.arms)), np.int64)
        self._shared = np.zeros((len(self.arms), 0), np.int64)
        self._lowest, self._highest = np.zeros(0), np.zeros(0)
        self._lengths, self._selected_lengths = (np.zeros(len(LENGTHS), np.int64) for _ in range(2))

    def update(self, file: int, scores: pa.Table, selections: Mapping[str, pa.Table]) -> None:
        """Add one scores file and the files of the same name in the selections that have one."""
        self._present |= set(scores.column_names)
        domain = self._domain_codes(scores)
        scored = _flags(scores, columns.STATUS, equal_to=columns.SCORED)
        rows = {name: _floats(scores, name) for name in FLOATS} | {"score": _floats(scores, self.scored_by.column)}
        tokens, tokens_total = (_integers(scores, name) for name in INTEGERS)
        self._count("rows", domain)
        self._count("scored", domain, scored)
        self._count("truncated", domain, scored & _flags(scores, "truncated"))
        self._count("tokens", domain, np.where(scored, tokens, 0))
        self._count("tokens_total", domain, np.where(scored, tokens_total, 0))
        self._count_reasons(file, scores, scored)

        self._lengths += _binned(tokens_total[scored])
        bits, rank = self._select(file, scores, selections, domain, tokens_total)
        keep = scored & self._is_kept(scores)
        kept = np.zeros(int(keep.sum()), KEPT)
        values = {"domain": domain, "text_hash": _hashes(scores), "length": tokens, "rank": rank, "arms": bits, **rows}
        for name, column in values.items():
            kept[name] = column[keep]
        kept["file"], kept["row"] = file, np.flatnonzero(keep)
        self._kept.append(kept)

    def _domain_codes(self, scores: pa.Table) -> np.ndarray:
        encoded = scores[columns.DOMAIN].cast(pa.string()).fill_null(NO_DOMAIN).combine_chunks().dictionary_encode()
        for name in encoded.dictionary.to_pylist():
            self._codes.setdefault(name, len(self._codes))
        local = np.array([self._codes[name] for name in encoded.dictionary.to_pylist()], np.int32)
        return local[encoded.indices.to_numpy(zero_copy_only=False)] if len(local) else np.zeros(0, np.int32)

    def _count(self, name: str, domain: np.ndarray, weights: np.ndarray | None = None) -> None:
        # bincount sums weights in float64, exact below 2**53 tokens a file
        part = np.bincount(domain, weights, minlength=len(self._codes)).astype(np.int64)
        self._counts[name] = _grown(self._counts.get(name, np.zeros(0, np.int64)), len(self._codes)) + part

    def _count_reasons(self, file: int, scores: pa.Table, scored: np.ndarray) -> None:
        if scored.all():
            return
        skipped = np.flatnonzero(~scored)
        reasons = scores[columns.REASON].take(pa.array(skipped)).to_pylist()
        for row, reason in zip(skipped.tolist(), (reason or "(no reason)" for reason in reasons), strict=True):
            self._reasons[reason] += 1
            self._examples.setdefault(reason, (file, row))

    def _is_kept(self, scores: pa.Table) -> np.ndarray:
        if self.kept_fraction >= 1:
            return np.ones(scores.num_rows, bool)
        return _mixed(_hashes(scores), self.seed) < np.uint64(self.kept_fraction * 2.0**63) * np.uint64(2)

    def _select(
        self, file: int, scores: pa.Table, selections: Mapping[str, pa.Table], domain: np.ndarray, tokens: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        n, n_domains = scores.num_rows, len(self._codes)
        self._documents, self._tokens, self._shared = (
            _grown(total, n_domains) for total in (self._documents, self._tokens, self._shared)
        )
        self._lowest, self._highest = _grown(self._lowest, n_domains, np.inf), _grown(self._highest, n_domains, -np.inf)
        chosen, rank = np.zeros((len(self.arms), n), bool), np.full(n, np.nan)
        for number, arm in enumerate(self.arms):
            if arm not in selections or arm in self._problems or not self._belongs(arm, file, scores, selections[arm]):
                continue
            chosen[number] = _flags(selections[arm], "selected")
            self._documents[number] += np.bincount(domain, chosen[number], n_domains).astype(np.int64)
            self._tokens[number] += np.bincount(domain, chosen[number] * tokens, n_domains).astype(np.int64)
            self._shared[number] += np.bincount(domain, chosen[number] & chosen[0], n_domains).astype(np.int64)
            if number == 0:
                rank = self._first_arm(scores, selections[arm], domain, chosen[0])
                self._selected_lengths += _binned(tokens[chosen[0]])
        self._overlap += chosen.astype(np.int64) @ chosen.T.astype(np.int64)
        bits = (chosen * (1 << np.arange(len(self.arms)))[:, None]).sum(axis=0)
        return bits, rank

    def _belongs(self, arm: str, file: int, scores: pa.Table, selection: pa.Table) -> bool:
        same = selection.num_rows == scores.num_rows and bool((_hashes(selection) == _hashes(scores)).all())
        if not same:
            self._problems[arm] = f"{arm}/ was made from other scores than these (first seen in file {file})"
        return same

    def _first_arm(self, scores: pa.Table, arm: pa.Table, domain: np.ndarray, selected: np.ndarray) -> np.ndarray:
        rank = _floats(arm, "rank")
        heldout = _flags(arm, "split", equal_to="heldout")
        eligible = ~np.isnan(rank) & ~heldout
        self._count("eligible", domain, eligible)
        self._count("heldout", domain, heldout)
        score = _floats(scores, self.scored_by.column) * self.scored_by.sign
        known = ~np.isnan(score)
        np.minimum.at(self._lowest, domain[selected & known], score[selected & known])
        passed = eligible & ~selected & known
        np.maximum.at(self._highest, domain[passed], score[passed])
        return rank

    def result(self) -> ScoreNumbers:
        """Everything so far."""
        n = len(self._codes)
        good = [number for number, arm in enumerate(self.arms) if arm not in self._problems]
        names = ("rows", "scored", "truncated", "tokens", "tokens_total", "eligible", "heldout")
        return ScoreNumbers(
            scored_by=self.scored_by,
            domains=list(self._codes),
            counts={name: _grown(self._counts.get(name, np.zeros(0, np.int64)), n) for name in names},
            arms=[self.arms[number] for number in good],
            arm_documents=self._documents[good],
            arm_tokens=self._tokens[good],
            overlap=self._overlap[np.ix_(good, good)],
            shared=self._shared[good],
            lengths=self._lengths,
            selected_lengths=self._selected_lengths,
            lowest_selected=np.where(np.isinf(self._lowest), np.nan, self._lowest),
            highest_passed_over=np.where(np.isinf(self._highest), np.nan, self._highest),
            reasons=self._reasons,
            examples=self._examples,
            kept=np.concatenate(self._kept) if self._kept else np.zeros(0, KEPT),
            kept_fraction=self.kept_fraction,
            present=frozenset(self._present),
            problems=self._problems,
        )


def _binned(lengths: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(LENGTHS, lengths, side="right") - 1, minlength=len(LENGTHS))


def _mixed(values: np.ndarray, seed: int) -> np.ndarray:
    """The hashes mixed with the seed, uniform in uint64 (the finaliser of splitmix64)."""
    mixed = values.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _floats(table: pa.Table, name: str) -> np.ndarray:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan, np.float64)
    return np.asarray(table[name].cast(pa.float64()).fill_null(np.nan).to_numpy())


def _integers(table: pa.Table, name: str) -> np.ndarray:
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.int64)
    return np.asarray(table[name].cast(pa.int64()).fill_null(0).to_numpy())


def _hashes(table: pa.Table) -> np.ndarray:
    return _integers(table, columns.TEXT_HASH)


def _flags(table: pa.Table, name: str, *, equal_to: str | None = None) -> np.ndarray:
    if name not in table.column_names:
        return np.zeros(table.num_rows, bool)
    column = table[name] if equal_to is None else pc.equal(table[name], equal_to)
    return np.asarray(column.fill_null(False).to_numpy(zero_copy_only=False), bool)
