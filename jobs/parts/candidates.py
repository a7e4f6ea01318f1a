"""Candidate answers to questions, with what verifiers say of each, from files of rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.corpus.records import Record, read_records

FORM = '{"question": TEXT, "candidates": [TEXT, ...], "scores": {VERIFIER: [NUMBER, ...]}, "correct": [true, ...]}'


@dataclass(frozen=True)
class Candidates:
    """All answers to all questions, one after another."""

    questions: list[str]
    """[q]"""
    ids: list[str]
    """[q]"""
    of: np.ndarray
    """[n] number of each answer's question."""
    texts: list[str]
    """[n]"""
    said: list[str]
    """[n] what counts as the same answer: `answers` where a row has it, else the text."""
    scores: np.ndarray
    """[n, m], NaN where a verifier gave none."""
    verifiers: list[str]
    correct: np.ndarray
    """[n] bool; of questions that aren't `known` False."""
    known: np.ndarray
    """[q] bool: whose right answers are known."""


def read_candidates(uris: Sequence[str]) -> Candidates:
    """The rows of Parquet or JSON files; see FORM. `answers` (final ones, by which answers agree), `correct` and `id`
    may be missing, and a verifier in some rows.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If a row isn't like that, with its file and place; or there is none.
    """
    rows = [(f"{record.path}:{record.row}", _checked(record)) for record in read_records(tuple(uris))]
    if not rows:
        raise ValueError(f"{', '.join(uris)} must hold rows like {FORM}, got none.")
    return _joined(rows)


def candidates_of(rows: Sequence[dict[str, Any]]) -> Candidates:
    """The same of rows that are at hand, which aren't checked."""
    return _joined([(str(at), values) for at, values in enumerate(rows)])


def _joined(rows: Sequence[tuple[str, dict[str, Any]]]) -> Candidates:
    """All of one, by the place and the values of each row."""
    verifiers = sorted({name for _, values in rows for name in values["scores"]})
    sizes = [len(values["candidates"]) for _, values in rows]
    missing = [math.nan]
    scores = np.concatenate([
        np.array([values["scores"].get(name, missing * n) for name in verifiers], np.float64).reshape(-1, n).T
        for (_, values), n in zip(rows, sizes, strict=True)
    ])  # fmt: skip
    known = np.array([values.get("correct") is not None for _, values in rows])
    correct = [values.get("correct") or [False] * n for (_, values), n in zip(rows, sizes, strict=True)]
    return Candidates(
        [values["question"] for _, values in rows],
        [str(values.get("id") or place) for place, values in rows],
        np.repeat(np.arange(len(rows)), sizes),
        [text for _, values in rows for text in values["candidates"]],
        [str(one) for _, values in rows for one in values.get("answers") or values["candidates"]],
        scores, verifiers, np.array([one for of in correct for one in of], bool), known,
    )  # fmt: skip


def _checked(record: Record) -> dict[str, Any]:
    values: dict[str, Any] = dict(record.values)
    if (why := record.reason or _wrong(values)) is not None:
        raise ValueError(f"{record.path}, row {record.row}: {why}; a row must be like {FORM}.")
    values["scores"] = {
        name: [math.nan if one is None else float(one) for one in of]
        for name, of in values["scores"].items()
        if of is not None  # Parquet has every verifier in every row
    }
    return values


def _wrong(values: dict[str, Any]) -> str | None:
    """What is wrong with a row, None if nothing is."""
    texts, scores = values.get("candidates"), values.get("scores")
    if not isinstance(values.get("question"), str):
        return "question isn't text"
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in texts):
        return "candidates isn't a list of texts"
    if not isinstance(scores, dict):
        return "scores doesn't map verifiers to lists"
    for name, of in scores.items():
        if of is not None and (not isinstance(of, list) or len(of) != len(texts)):
            return f"scores of {name!r} aren't {len(texts)}, one for each candidate"
        if any(not isinstance(one, int | float | None) or one in (math.inf, -math.inf) for one in of or []):
            return f"scores of {name!r} aren't finite numbers"
    for name in ("correct", "answers"):
        if (of := values.get(name)) is not None and (not isinstance(of, list) or len(of) != len(texts)):
            return f"{name} isn't a list of {len(texts)}, one for each candidate"
    if not all(isinstance(one, bool) for one in values.get("correct") or []):
        return "correct isn't a list of true and false"
    same: dict[str, bool] = {}
    for one, is_right in zip(values.get("answers") or [], values.get("correct") or [], strict=False):
        if same.setdefault(str(one), is_right) != is_right:
            return f"correct contradicts itself: the answer {one!r} is right and wrong"
    return None
