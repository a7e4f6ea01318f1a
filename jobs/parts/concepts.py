"""A concept on a corpus: the rows, who is asked about which of them, and how the students compare."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from raypipe.arrays.bootstrap import drawn_counts
from raypipe.corpus.records import read_records
from raypipe.label.collaborator.answers import KeptAnswers
from raypipe.label.collaborator.concept import Concept, Decision, tuned
from raypipe.label.collaborator.student import Annotate, Choice, distilled, mined

from .annotating import NOTHING, key_of

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Json = dict[str, Any]
N_DRAWS = 400
"""Of rows, for an interval."""
CHUNK = 16
"""Rows whose answers are kept together: no more are asked about again after a kill."""


@dataclass(frozen=True)
class AskedRows:
    """Rows of a corpus that can be asked about, each text once."""

    ids: list[str]
    texts: list[str]
    left_out: Mapping[str, int]
    """Rows that aren't there, by the reason."""

    @cached_property
    def keys(self) -> np.ndarray:
        """[n] by which answers are kept."""
        return np.array([key_of(text) for text in self.texts], np.int64)

    def without(self, keys: Mapping[int, int], why: str) -> "AskedRows":
        """Those whose keys aren't among these."""
        kept = [at for at, key in enumerate(self.keys.tolist()) if key not in keys]
        left_out = {**self.left_out, **({why: len(self.ids) - len(kept)} if len(kept) < len(self.ids) else {})}
        return AskedRows([self.ids[at] for at in kept], [self.texts[at] for at in kept], left_out)


def read_rows(uris: Sequence[str], *, text_column: str) -> AskedRows:
    """Rows of Parquet or JSON files; of equal texts the first.

    Raises
    ------
    KeyError
        If no row has the column.
    ValueError
        If an id comes twice.
    """
    ids, texts, left_out, columns = [], dict[str, None](), dict[str, int](), set[str]()
    seen = set[str]()
    for record in read_records(tuple(uris)):
        columns |= record.values.keys()
        text, name = record.values.get(text_column), str(record.values.get("id", f"{record.path}:{record.row}"))
        why = "no text" if record.reason is not None or not isinstance(text, str) or not text.strip() else None
        why = "the text of another row" if why is None and text in texts else why
        if why is not None:
            left_out[why] = left_out.get(why, 0) + 1
            continue
        if name in seen:
            raise ValueError(f"{record.path}, row {record.row}: id {name!r} comes twice.")
        seen.add(name)
        ids.append(name)
        texts[str(text)] = None
    if text_column not in columns:
        raise KeyError(f"no row of {', '.join(uris)} has a column {text_column!r}; they have {sorted(columns)}.")
    return AskedRows(ids, list(texts), left_out)


@dataclass(frozen=True)
class RowParts:
    """Numbers of rows: no row of one is in another."""

    pool: np.ndarray
    """That the annotator may be asked about for the student's sake."""
    tune: np.ndarray
    """Whose truth is looked at."""
    test: np.ndarray
    """Whose truth judges."""


def parts_of(ids: Sequence[str], truth: Mapping[str, bool], *, n_tune: int, test_share: float, seed: int) -> RowParts:
    """Rows with truth are for tuning, then this share of the others for the test; all else is the pool.

    Raises
    ------
    ValueError
        If too few rows have a truth to tune by.
    """
    known = np.random.default_rng(seed).permutation([at for at, name in enumerate(ids) if name in truth]).astype(int)
    if len(known) < n_tune:
        raise ValueError(f"tune_labels asks for {n_tune} rows with truth, and {len(known)} have it.")
    tune, rest = np.split(known, [n_tune])
    test = rest[: round(test_share * len(rest))]
    pool = np.setdiff1d(np.arange(len(ids)), np.append(tune, test))
    return RowParts(pool, np.sort(tune), np.sort(test))


class Annotator:
    """Verdicts on rows by the answers to a concept's questions, which are asked once."""

    def __init__(self, concept: Concept, kept: KeptAnswers, keys: np.ndarray, *, calibrates: bool) -> None:
        """`calibrates`: answers are taken less those about a text that says nothing, one more call a question."""
        self.concept, self.kept, self.keys, self.calibrates = concept, kept, keys, calibrates
        self.decide: Decision = concept.decided

    def answers(self, rows: np.ndarray) -> np.ndarray:
        """[n, q], kept some rows at a time."""
        asked, questions = self.keys[rows], self.concept.questions
        parts = [self.kept.of(questions, asked[at : at + CHUNK]) for at in range(0, len(asked), CHUNK)]
        found = np.vstack(parts) if parts else np.empty((0, len(questions)))
        return found - self.kept.of(questions, np.array([key_of(NOTHING)])) if self.calibrates else found

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Whether each is of the concept: [n] bool."""
        return self.decide(self.answers(rows))


@dataclass(frozen=True)
class Rounds:
    """How a student is taught."""

    near: int
    random: int
    rounds: int
    batch: int
    seed: int


def taught(
    X: np.ndarray, phrases: np.ndarray, pool: np.ndarray, annotate: Annotate, choice: Choice, given: Rounds
) -> "tuple[LogisticRegression, np.ndarray]":
    """A student of the pool, and the rows that were annotated for it."""
    first = mined(X[pool], phrases, n_near=given.near, n_random=given.random, random_state=given.seed)
    student, rows = distilled(
        X[pool], first, lambda rows: annotate(pool[rows]), rounds=given.rounds, batch=given.batch, choice=choice,
        random_state=given.seed,
    )  # fmt: skip
    return student, pool[rows]


def tune(annotator: Annotator, rows: np.ndarray, labels: np.ndarray, *, seed: int) -> str:
    """Decide by what is better on some of these labels, the rule or a regression; its name."""
    name, annotator.decide = tuned(annotator.concept, annotator.answers(rows), labels, random_state=seed)
    return name


def of_chance(X: np.ndarray, verdicts: np.ndarray, *, seed: int) -> "LogisticRegression":
    """The control: a student of the same rows whose verdicts are shuffled."""
    from sklearn.linear_model import LogisticRegression

    shuffled = np.random.default_rng(seed).permutation(verdicts)
    return LogisticRegression(class_weight="balanced", C=10.0, max_iter=500).fit(X, shuffled)


def figures(said: np.ndarray, score: np.ndarray, truth: np.ndarray, *, seed: int) -> Json:
    """F1 with its interval over resampled rows, precision, recall, accuracy and average precision.

    Of verdicts [n] and scores [n].
    """
    from sklearn.metrics import average_precision_score

    right = said & truth
    low, high = np.quantile(_f1_of_draws(said, truth, seed), [0.025, 0.975])
    return {
        "f1": float(_share(2 * right.sum(), said.sum() + truth.sum())), "low": float(low), "high": float(high),
        "precision": float(_share(right.sum(), said.sum())), "recall": float(_share(right.sum(), truth.sum())),
        "accuracy": float((said == truth).mean()),
        "average_precision": float(average_precision_score(truth, score)),
    }  # fmt: skip


def f1_minus(said: np.ndarray, others: Mapping[str, np.ndarray], truth: np.ndarray, *, seed: int) -> Json:
    """F1 of verdicts [n] less that of each other's, with intervals over the same resampled rows for all."""
    whole, ours = np.ones((1, len(truth)), int), _f1_of_draws(said, truth, seed)
    found: Json = {}
    for name, other in others.items():
        low, high = np.quantile(ours - _f1_of_draws(other, truth, seed), [0.025, 0.975])
        mean = _f1(whole, said, truth)[0] - _f1(whole, other, truth)[0]
        found[name] = {"mean": float(mean), "low": float(low), "high": float(high)}
    return found


def _f1_of_draws(said: np.ndarray, truth: np.ndarray, seed: int) -> np.ndarray:
    """F1 in each of N_DRAWS draws of rows; one seed draws the same rows for any verdicts."""
    draws = drawn_counts(len(truth), n_resamples=N_DRAWS, seed=seed)
    return np.concatenate([_f1(times, said, truth) for times in draws])


def _f1(times: np.ndarray, said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[draws] of rows that are there so many times [draws, n]."""
    return _share(2 * times @ (said & truth), times @ said + times @ truth)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """0 of none."""
    found: np.ndarray = part / np.maximum(whole, 1)
    return found


def best_cut(score: np.ndarray, truth: np.ndarray) -> float:
    """The threshold of scores [n] that has the highest F1 on these rows."""
    from sklearn.metrics import f1_score

    return float(max(np.unique(score), key=lambda cut: f1_score(truth, score >= cut, zero_division=0)))


def table_of(found: Json) -> list[str]:
    """For a terminal."""
    lines = [
        f"{found['rows']:,} rows, {found['pool']:,} of them in the pool"
        + "".join(f"; {n:,} left out: {why}" for why, n in found["left_out"].items()),
        f"{found['calls']:,} answers asked for, {found['kept']:,} kept already and used again",
    ]
    for name, of in found["taught"].items():
        lines.append(f"  student by {name:<7} {of['rows']:,} rows annotated, {of['positive']:,} of the concept; "
                     f"{of['calls']:,} new answers")  # fmt: skip
    if judged := found.get("judged"):
        lines.append(f"{'on ' + format(found['test'], ',') + ' rows with truth':<38} F1    95 % of rows      "
                     "precision  recall  average precision")  # fmt: skip
        for name, of in judged.items():
            lines.append(f"  {name:<36} {of['f1']:.3f} [{of['low']:.3f}, {of['high']:.3f}]   {of['precision']:9.3f} "
                         f"{of['recall']:7.3f} {of['average_precision']:18.3f}")  # fmt: skip
    return lines


def counted(annotator: Annotator, work: Callable[[], Any]) -> tuple[Any, int]:
    """What some work makes, and for how many answers it asked."""
    before = annotator.kept.calls
    made = work()
    return made, annotator.kept.calls - before
