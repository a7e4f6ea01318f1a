"""What a selection needs to know of the rows of a scores folder, as compact arrays, a file at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe import columns
from raypipe.arrays.hashing import uniform
from raypipe.select.eligibility import Eligibility
from raypipe.storage.folder import Entry, Folder

NO_DOMAIN = "(none)"
RISE = ("loss", "loss_masked")
"""Columns of a score that is the relative rise of the second over the first: with a floor it is made anew."""
Regressor = Literal["loss", "length", "zlib"]
REGRESSORS: dict[Regressor, str] = {"loss": "loss", "length": "n_tokens", "zlib": "zlib_ratio"}
N_THREADS = 8
NO_TEXTS = np.zeros(0, np.int64)
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """The rows of one file, or some of them; arrays of n, about 50 bytes a row with three further columns."""

    index: np.ndarray
    """[n] int64, row in the file"""
    domains: tuple[str, ...]
    domain: np.ndarray
    """[n] int32, into `domains`"""
    text_hash: np.ndarray
    """[n] int64, 0 where there is no text"""
    n_tokens_total: np.ndarray
    """[n] int64"""
    score: np.ndarray
    """[n] float64, NaN where the row has none; its sign turned where lower is better"""
    further: dict[str, np.ndarray]
    """float32 columns by name, as far as the settings need them"""
    is_heldout: np.ndarray
    is_scored: np.ndarray
    is_candidate: np.ndarray
    """[n] bool: eligible, unless the text has stood in an earlier row"""

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: np.ndarray) -> "Rows":
        """Some of the rows, by number or mask."""
        arrays = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        further = {name: column[rows] for name, column in self.further.items()}
        return Rows(domains=self.domains, further=further, **arrays)


def score_columns(eligibility: Eligibility) -> list[str]:
    """The columns of scores/ that the score is made of."""
    return list(dict.fromkeys([eligibility.column, *(RISE if eligibility.min_loss > 0 else ())]))


def size_columns(names: Sequence[str]) -> tuple[str, str]:
    """Columns of scored tokens and of all, among a stage's; of a description its words, for it knows no tokens."""
    return ("n_words", "n_words") if "n_words" in names and "n_tokens" not in names else ("n_tokens", "n_tokens_total")


def columns_read(eligibility: Eligibility, further: Sequence[str] = (), *, there: Sequence[str] = ()) -> list[str]:
    """The columns of scores/ that rows are made of, among those that are `there`."""
    names = ["text_hash", "domain", *size_columns(there), "status", *score_columns(eligibility)]
    return list(dict.fromkeys([*names, *further]))


def rows_of(
    table: pa.Table, eligibility: Eligibility, *, seed: int, further: Sequence[str] = (),
    left_out: np.ndarray = NO_TEXTS, dropped: np.ndarray | None = None,
) -> Rows:  # fmt: skip
    """The rows of a scores table under these settings, in order, with `further` columns.

    `seed` decides the held-out ones; texts with hashes in `left_out` [m], and rows `dropped` [n] bool, aren't scored.
    """
    text_hash = table["text_hash"]
    hashes = _numbers(text_hash, np.int64)
    has_text = text_hash.is_valid().to_numpy()
    score = signed_score(table, eligibility)
    more = {name: _numbers(table[name], np.float32) for name in further}
    names, domain = _domains(table["domain"])
    scored_size, whole_size = size_columns(table.column_names)
    is_heldout = has_text & (uniform(hashes, seed=seed, purpose="holdout") < eligibility.holdout)
    is_scored = has_text & pc.fill_null(pc.equal(table["status"], columns.SCORED), False).to_numpy()
    is_scored &= ~np.isin(hashes, left_out)
    if dropped is not None:
        is_scored &= ~dropped
    usable = np.logical_and.reduce([np.isfinite(column) for column in (score, *more.values())])
    is_long = _numbers(table[scored_size], np.int64) >= eligibility.min_tokens
    return Rows(
        index=np.arange(table.num_rows),
        domains=names,
        domain=domain,
        text_hash=hashes,
        n_tokens_total=_numbers(table[whole_size], np.int64),
        score=score,
        further=more,
        is_heldout=is_heldout,
        is_scored=is_scored,
        is_candidate=is_scored & ~is_heldout & usable & is_long,
    )


def signed_score(table: pa.Table, eligibility: Eligibility) -> np.ndarray:
    """The score of each row of a scores table [n], NaN where it has none; its sign turned where lower is better.

    Raises
    ------
    ValueError
        If there is a floor of the loss, and the score isn't what it is a floor in.
    """
    score = _score(table, eligibility)
    return -score if eligibility.lower_is_better else score


def _score(table: pa.Table, eligibility: Eligibility) -> np.ndarray:
    score = _numbers(table[eligibility.column], np.float64)
    if eligibility.min_loss == 0:
        return score
    loss, masked = (_numbers(table[name], np.float64) for name in RISE)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs((masked - loss) / loss - score) > 1e-3 * np.maximum(np.abs(score), 1) * np.maximum(1 / loss, 1)
    if off.any():
        raise ValueError(
            f"min_loss floors a score that is (loss_masked - loss) / loss, and {eligibility.column!r} isn't; "
            "leave it out."
        )
    return np.where(np.isnan(score), np.nan, (masked - loss) / np.maximum(loss, eligibility.min_loss))


def _numbers(column: pa.ChunkedArray, dtype: type) -> np.ndarray:
    """A column as an array; null is NaN, or 0 among integers."""
    empty = np.nan if np.issubdtype(dtype, np.floating) else 0
    return np.asarray(pc.fill_null(column.cast(pa.from_numpy_dtype(dtype)), empty).to_numpy())


def _domains(column: pa.ChunkedArray) -> tuple[tuple[str, ...], np.ndarray]:
    encoded = pc.fill_null(column.cast(pa.string()), NO_DOMAIN).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return tuple(encoded.dictionary.to_pylist()), encoded.indices.to_numpy().astype(np.int32)


class Scores:
    """The files of a scores folder in corpus order; rows are remembered if they are few enough, else read again."""

    def __init__(
        self, folder: Folder, files: list[Entry], eligibility: Eligibility, *, seed: int,
        further: Sequence[str] = (), left_out: np.ndarray = NO_TEXTS,
        dropped: Mapping[str, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.files, self.eligibility, self.seed = folder, files, eligibility, seed
        self._further, self._left_out, self._dropped = further, left_out, dropped or {}
        self._remembered: list[Rows] | None = None

    def rows(self) -> Iterator[Rows]:
        """All rows, file by file.

        Raises
        ------
        KeyError
            If a column that the settings need is missing.
        """
        if self._remembered is not None:
            yield from self._remembered
            return
        kept: list[Rows] = []
        n_rows = 0
        for rows in ahead(self._read, self.files):
            n_rows += len(rows)
            if n_rows <= self.eligibility.exact_rows:
                kept.append(rows)
            else:
                kept.clear()
            yield rows
        self._remembered = kept if n_rows <= self.eligibility.exact_rows else None

    def _read(self, file: Entry) -> Rows:
        with self.folder.open(file.path) as source:
            parquet = pq.ParquetFile(source)
            names = columns_read(self.eligibility, self._further, there=parquet.schema_arrow.names)
            columns.require(parquet.schema_arrow, names, where=f"{self.folder.uri}/{file.path}")
            _require_number(parquet.schema_arrow, self.eligibility.column)
            table, bits = parquet.read(names), self._dropped.get(file.path)
        dropped = None if bits is None else np.unpackbits(bits, count=len(table)).astype(bool)
        return rows_of(
            table, self.eligibility, seed=self.seed, further=self._further, left_out=self._left_out, dropped=dropped
        )

    def without(self, dropped: Mapping[str, np.ndarray]) -> "Scores":
        """The same files; by file, these rows (packed bits) aren't scored."""
        return Scores(
            self.folder, self.files, self.eligibility, seed=self.seed, further=self._further, left_out=self._left_out,
            dropped=dropped,
        )  # fmt: skip


def skipped_texts(stage: Folder, files: list[Entry]) -> np.ndarray:
    """Hashes of the texts that a stage skipped, sorted [m] int64; rows without a text have none."""

    def read(file: Entry) -> np.ndarray:
        with stage.open(file.path) as source:
            table = pq.read_table(source, columns=["text_hash", "status"])
        skipped = table.filter(pc.equal(table["status"], columns.SKIPPED))["text_hash"].drop_null()
        return np.asarray(skipped.to_numpy())

    return np.unique(np.concatenate([NO_TEXTS, *ahead(read, files)]))


def _require_number(schema: pa.Schema, name: str) -> None:
    kind = schema.field(name).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        numbers = [
            field.name for field in schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        ]
        raise ValueError(f"score must name a column of numbers, got {name!r} of type {kind}; choose one of {numbers}.")


def ahead(action: Callable[[S], T], items: Iterable[S], *, n_threads: int = N_THREADS) -> Iterator[T]:
    """The action's results in order, a bounded number of them computed ahead in threads."""
    pool = ThreadPoolExecutor(n_threads)
    waiting: deque[Any] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(action, item))
            if len(waiting) >= 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
