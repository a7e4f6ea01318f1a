"""Rows of a query, a text that belongs to it and texts that don't, as token ids; others are counted by reason."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice

import numpy as np
import pyarrow as pa

from raypipe.columns import require
from raypipe.contracts.rows import Pair
from raypipe.corpus.records import Record, read_records
from raypipe.train.data.labels import class_name
from raypipe.train.data.left_out import LeftOut
from raypipe.train.data.order import uniform

TOGETHER = 512
"""Rows that are tokenised at once."""
Tokenise = Callable[[Sequence[str]], Sequence[np.ndarray | None]]
"""Texts to token ids; None for one that leaves none of its own."""


@dataclass(frozen=True)
class PairColumns:
    """Where the parts of a pair are (--learn embedding)."""

    query_column: str = "query"
    """Text that is asked with (--learn embedding)."""
    positive_column: str = "positive"
    """Text that belongs to it (--learn embedding)."""
    negatives_column: str | None = None
    """List of texts that don't, or one text; None: `negatives`, else `negative`, where a row has one."""
    scores_column: str = "scores"
    """Teacher's scores of the positive, then of each negative (--scores-weight)."""


@dataclass(frozen=True)
class PairTexts:
    """The texts of a row."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()


@dataclass
class PairSets:
    """What was read, and why rows were left out."""

    train: list[Pair]
    heldout: list[Pair]
    train_texts: list[PairTexts]
    heldout_texts: list[PairTexts]
    n_negatives: int
    """Of every row."""
    left_out: LeftOut


def read_pairs(
    uris: Sequence[str],
    columns: PairColumns,
    *,
    queries: Tokenise,
    documents: Tokenise,
    heldout_share: float,
    n_negatives: int | None = None,
    has_scores: bool = False,
    domain_column: str | None = None,
    where: str | None = None,
) -> PairSets:
    """All pairs, in memory; all rows of a query are held out, or none.

    A row gives its first `n_negatives` negatives, one with fewer is left out; None: as many as most rows have. With
    `has_scores` a row must bring a finite score for its positive and each of these.

    Raises
    ------
    ValueError
        If none can be used.
    KeyError
        If no row has a column.
    """
    left_out, keys = LeftOut(), dict[str, None]()
    found: list[tuple[Record, PairTexts]] = []
    for record in read_records(uris, where=where):
        keys.update(dict.fromkeys(record.values))
        texts = record.reason or _texts(record, columns, has_scores=has_scores)
        if isinstance(texts, str):
            left_out.add(texts, path=record.path, row=record.row)
        else:
            found.append((record, texts))
    _check_columns(columns, list(keys), domain_column, has_scores=has_scores)
    n = n_negatives if n_negatives is not None else _commonest(found)
    kept = list(_tokenised(_of_size(found, n, has_scores, left_out), queries, documents, domain_column, left_out))
    if not kept:
        raise ValueError(f"no pair in {', '.join(uris)} can be learnt from: {dict(left_out.counts)}.")
    numbers = np.array([_number(texts.query) for _, texts in kept])
    is_heldout = uniform(numbers, 0, 0, "heldout queries") < heldout_share
    train, heldout = ([one for one, out in zip(kept, is_heldout, strict=True) if out == held] for held in (0, 1))
    if not train:
        raise ValueError(f"there must be a pair to learn from, but all {len(kept)} are held out; lower heldout_share.")
    return PairSets(
        [pair for pair, _ in train], [pair for pair, _ in heldout], [texts for _, texts in train],
        [texts for _, texts in heldout], n, left_out,
    )  # fmt: skip


def _texts(record: Record, columns: PairColumns, *, has_scores: bool) -> PairTexts | str:
    """The texts of a row, or why it has none."""
    values = record.values
    for name in (columns.query_column, columns.positive_column):
        if not isinstance(text := values.get(name), str):
            return f"no {name}" if text is None else f"{name} isn't text"
        if not text.strip():
            return f"empty {name}"
    name = columns.negatives_column or ("negatives" if values.get("negatives") is not None else "negative")
    negatives = values.get(name)
    listed = [negatives] if isinstance(negatives, str) else negatives or []
    if not isinstance(listed, list) or not all(isinstance(one, str) and one.strip() for one in listed):
        return f"{name} aren't texts"
    scores = values.get(columns.scores_column) if has_scores else []
    if not isinstance(scores, list) or not all(map(_is_number, scores)):
        return f"no {columns.scores_column}" if scores is None else f"{columns.scores_column} aren't numbers"
    query, positive = str(values[columns.query_column]), str(values[columns.positive_column])
    if has_scores and len(scores) != 1 + len(listed):
        return "not a score for the positive and each negative"
    return PairTexts(query, positive, tuple(listed), tuple(map(float, scores)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _commonest(found: Sequence[tuple[Record, PairTexts]]) -> int:
    counts = Counter(len(texts.negatives) for _, texts in found)
    return max(counts, key=lambda n: (counts[n], n)) if counts else 0


def _of_size(
    found: Sequence[tuple[Record, PairTexts]], n: int, has_scores: bool, left_out: LeftOut
) -> Iterator[tuple[Record, PairTexts]]:
    """Rows cut to so many negatives, those that have them."""
    for record, texts in found:
        if len(texts.negatives) < n:
            left_out.add(f"fewer than {n} negatives", path=record.path, row=record.row)
            continue
        scores = texts.scores[: 1 + n] if has_scores else ()
        yield record, PairTexts(texts.query, texts.positive, texts.negatives[:n], scores)


def _tokenised(
    rows: Iterator[tuple[Record, PairTexts]], queries: Tokenise, documents: Tokenise, domain_column: str | None,
    left_out: LeftOut,
) -> Iterator[tuple[Pair, PairTexts]]:  # fmt: skip
    while part := list(islice(rows, TOGETHER)):
        asked = queries([texts.query for _, texts in part])
        read = iter(documents([one for _, texts in part for one in (texts.positive, *texts.negatives)]))
        for (record, texts), query in zip(part, asked, strict=True):
            others = list(islice(read, 1 + len(texts.negatives)))
            known = [one for one in others if one is not None]
            if query is None or len(known) < len(others):
                left_out.add("a text without a token of its own", path=record.path, row=record.row)
                continue
            domain = record.domain or "all"
            if domain_column is not None:
                domain = class_name(record.values.get(domain_column)) or "unknown"
            yield Pair(query, known[0], domain, record.path, record.row, tuple(known[1:]), texts.scores), texts


def _number(text: str) -> int:
    """The same for equal texts, of 63 bits."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _check_columns(columns: PairColumns, keys: list[str], domain_column: str | None, *, has_scores: bool) -> None:
    """Refuse names that no row has."""
    wanted = [columns.query_column, columns.positive_column, *([columns.scores_column] if has_scores else [])]
    asked = [name for name in (columns.negatives_column, domain_column) if name is not None]
    if keys:
        require(pa.schema([(name, pa.null()) for name in keys]), [*wanted, *asked], where="a pair")
