"""Rows that share a run of words with a benchmark, with the run: what a model must not be trained on.

Source: T. Brown et al., Language Models are Few-Shot Learners, arXiv 2005.14165, appendix C (13-grams of words).
Departures: a row is left out whole, not cut around the run; no run is let off for being common. Every text of a
benchmark's row is sought, one of its choices as well as its question, if it has words enough.
Cost: O(n) in words, one pass; all texts of the benchmarks are held, 40 bytes an n-gram more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, ClassVar

import pyarrow as pa

from raypipe.arrays.ngrams import MIN_WORDS, N, NGrams
from raypipe.columns import DOMAIN, REASON, TEXT
from raypipe.contracts.row_op import ReaderOp
from raypipe.corpus.records import read_records
from raypipe.corpus.sources import split_source

BATCH_ROWS = 4096
IN = "in benchmark "
"""How the reason of a row that is left out begins."""
MATCHED = pa.schema(
    [(DOMAIN, pa.string()), ("benchmark", pa.string()), ("ngram", pa.string()), ("n_ngrams", pa.int32())]
)


@dataclass(frozen=True)
class Sought:
    """The texts of benchmarks, and which row each is of."""

    index: NGrams
    rows: tuple[tuple[str, str], ...]
    """(benchmark, id of its row) of each text."""
    n_short: int
    """Rows none of whose texts has words enough."""
    sha256: str

    @property
    def n_rows(self) -> int:
        """Rows of all benchmarks that are sought."""
        return len(set(self.rows))


@lru_cache(maxsize=1)
def sought_in(benchmarks: tuple[str, ...], n: int, min_words: int) -> Sought:
    """What is sought of benchmarks at `[NAME=]URI`s: every text of a row that has at least `min_words` words.

    Raises
    ------
    ValueError
        If a row can't be read, or no text is long enough; with the benchmark.
    """
    texts: list[str] = []
    rows: list[tuple[str, str]] = []
    for uri in benchmarks:
        name, where = split_source(uri)
        name = name or where.rstrip("/").rsplit("/", 1)[-1].partition(".")[0]
        for record in read_records([where]):
            if record.reason is not None:
                raise ValueError(f"every row of a benchmark must be read, {record.path}:{record.row}: {record.reason}.")
            found = list(_texts_of(record.values))
            texts += found
            rows += [(name, str(record.values.get("id") or f"{record.path}:{record.row}"))] * len(found)
    index = NGrams(texts, n=n, min_words=min_words)
    if not len(index):
        raise ValueError(
            f"benchmarks must have texts of {min_words} words or more to look for, {benchmarks} have none."
        )
    is_long = {rows[at] for at in index.sought}
    digest = sha256(repr((n, min_words, rows, texts)).encode("utf-8", "surrogatepass")).hexdigest()
    return Sought(index, tuple(rows), len(set(rows) - is_long), digest)


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from () if name == "id" else _texts_of(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts_of(one)


@dataclass
class Decontaminate(ReaderOp):
    """The Op behind decontamination/: a row with a benchmark's run of words is skipped, with the first such run."""

    benchmarks: tuple[str, ...]
    """[NAME=]URI of each benchmark's rows."""
    n: int = N
    """Words of a run."""
    min_words: int = MIN_WORDS
    """A benchmark's text of fewer than n words is sought whole, if it has so many."""

    reads: ClassVar[tuple[str, ...]] = (TEXT, DOMAIN)
    adds: ClassVar[pa.Schema] = MATCHED
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = BATCH_ROWS

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work, on a CPU: columns.SOURCE -> MATCHED + reason, same rows and order."""
        sought = sought_in(self.benchmarks, self.n, self.min_words)
        reasons: list[str | None] = table[REASON].to_pylist()
        found: list[dict[str, Any]] = [{} for _ in range(len(table))]
        for row, text in enumerate(table[TEXT].to_pylist()):
            if reasons[row] is not None:
                continue
            matches = list(sought.index.matches(text))
            found[row]["n_ngrams"] = len({one.words for one in matches})
            if matches:
                name, of = sought.rows[matches[0].owner]
                found[row] |= {"benchmark": f"{name}: {of}", "ngram": matches[0].words}
                reasons[row] = IN + name
        added = [pa.array([one.get(field.name) for one in found], field.type) for field in list(MATCHED)[1:]]
        schema = MATCHED.append(pa.field(REASON, pa.string()))
        return pa.table([table[DOMAIN], *added, pa.array(reasons, pa.string())], schema=schema)
