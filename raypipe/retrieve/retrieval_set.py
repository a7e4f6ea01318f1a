"""A retrieval test set as BEIR and MTEB lay it out: documents, queries, and which documents are relevant to which.

    corpus.jsonl      {"_id": "d1", "title": "...", "text": "..."}      (.gz, .zst, .parquet, or a folder of such files)
    queries.jsonl     {"_id": "q1", "text": "..."}
    qrels/test.tsv    query-id  corpus-id  score                        (or qrels.tsv, .jsonl, .parquet)

Source: N. Thakur et al., BEIR, NeurIPS 2021, section 3; a document is its title and its text, as there.
Departure: documents are put in an order by a hash of their ids. Ties, which are broken by position everywhere, are so
broken at random, and the same in whatever order a file has them.
"""

import csv
import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from raypipe.corpus.records import read_records
from raypipe.runs.names import nearest
from raypipe.storage.folder import Folder, walk

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".parquet")
_QUERY, _DOCUMENT, _SCORE = "query-id", "corpus-id", "score"
Place = str
"""File and row, for messages."""


@dataclass(frozen=True)
class RetrievalSet:
    """Documents, the queries that can be judged, and what is relevant to them."""

    document_ids: tuple[str, ...]
    documents: tuple[str, ...]
    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    relevance: tuple[Mapping[int, float], ...]
    """Of each query: position of a document -> how relevant it is, above 0."""
    left_out: Mapping[str, int]
    """Reason -> how many rows."""

    @cached_property
    def sha256(self) -> str:
        """Of all that is in it."""
        judged = [sorted(of.items()) for of in self.relevance]
        known = [self.document_ids, self.documents, self.query_ids, self.queries, judged]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    def gains(self, documents: np.ndarray) -> np.ndarray:
        """How relevant the ranked documents [q, k] are, float64; 0 where nobody says so."""
        found = [[of.get(one, 0.0) for one in row] for of, row in zip(self.relevance, documents.tolist(), strict=True)]
        return np.array(found, np.float64).reshape(documents.shape)

    def judged(self) -> np.ndarray:
        """What is relevant to each query, [q, j] float64, most first, filled with 0."""
        longest = max(map(len, self.relevance), default=0)
        found = np.zeros((len(self.relevance), longest))
        for row, of in enumerate(self.relevance):
            found[row, : len(of)] = sorted(of.values(), reverse=True)
        return found


def read_retrieval_set(uri: str, *, split: str | None = None) -> RetrievalSet:
    """A folder's test set; `split` names a file of qrels/, and None takes `test`, or the only one.

    Raises
    ------
    FileNotFoundError
        If a file is missing, with what there is.
    ValueError
        If an id comes twice, a row has no id, text or score, or no query can be judged.
    """
    names = [entry.path for entry in walk(uri)]
    left_out: Counter[str] = Counter()
    documents = _texts(uri, _find(names, "corpus", uri), left_out, has_title=True)
    queries = _texts(uri, _find(names, "queries", uri), left_out, has_title=False)
    ids = sorted(documents, key=lambda one: hashlib.blake2b(one.encode()).digest())
    at = {name: position for position, name in enumerate(ids)}
    relevance: dict[str, dict[int, float]] = {}
    for query, document, score in _judgements(uri, _qrels(names, split, uri), left_out):
        if query not in queries:
            left_out["judgement of an unknown query"] += 1
        elif document not in at:
            left_out["judgement of an unknown document"] += 1
        elif score > 0:
            relevance.setdefault(query, {})[at[document]] = score
    kept = [name for name, text in queries.items() if name in relevance and text]
    left_out["query without text"] = sum(not text for text in queries.values())
    left_out["query without a relevant document"] = sum(
        bool(text) and name not in relevance for name, text in queries.items()
    )
    found = {reason: n for reason, n in left_out.items() if n}
    if not kept:
        raise ValueError(
            f"{uri} must have a query with a relevant document in its corpus, got none; left out: {found}."
        )
    return RetrievalSet(
        tuple(ids), tuple(documents[name] for name in ids), tuple(kept), tuple(queries[name] for name in kept),
        tuple(relevance[name] for name in kept), found,
    )  # fmt: skip


def _find(names: list[str], what: str, uri: str) -> list[str]:
    """The files `what.jsonl` and its like, or those of a folder of that name."""
    own = [name for name in names if name in {what + ending for ending in ENDINGS}]
    found = own or [name for name in names if name.startswith(f"{what}/") and name.endswith(ENDINGS)]
    if not found or len(own) > 1:
        raise FileNotFoundError(f"{uri} must have one {what}.jsonl (.gz, .zst, .parquet), got {own or names[:9]}.")
    return found


def _qrels(names: list[str], split: str | None, uri: str) -> str:
    """The file of judgements."""
    endings = (".tsv", *ENDINGS)
    by_split = {
        name.removeprefix("qrels/").removesuffix(ending): name
        for ending in endings
        for name in names
        if name.startswith("qrels/") and name.endswith(ending)
    }
    alone = [name for name in names if name in {"qrels" + ending for ending in endings}]
    if split is None and len(by_split) == 1:
        return next(iter(by_split.values()))
    if split is None and not by_split and len(alone) == 1:
        return alone[0]
    if (wanted := split or "test") in by_split:
        return by_split[wanted]
    near = f"; {nearest(wanted, sorted(by_split))}" if by_split else ""
    raise FileNotFoundError(f"{uri} must have qrels/{wanted}.tsv, got {sorted(by_split.values()) or alone}{near}.")


def _texts(uri: str, names: list[str], left_out: Counter[str], *, has_title: bool) -> dict[str, str]:
    """Id -> text, without blanks around it."""
    found: dict[str, str] = {}
    for place, row in _rows(uri, names, left_out):
        key, parts = _id(row, "_id", place), [row.get("title") if has_title else None, row.get("text")]
        if key in found:
            raise ValueError(f"{place}: an _id must come once, got {key!r} again.")
        if not all(isinstance(part, str | None) for part in parts) or parts[1] is None:
            raise ValueError(f"{place}: must have a text, got {type(row.get('text')).__name__}.")
        found[key] = " ".join(str(part) for part in parts if part).strip()
    return found


def _judgements(uri: str, name: str, left_out: Counter[str]) -> Iterator[tuple[str, str, float]]:
    rows = _tsv_rows(uri, name) if name.endswith(".tsv") else _rows(uri, [name], left_out)
    for place, row in rows:
        try:
            score = float(row[_SCORE])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{place}: must have a number as {_SCORE}, got {row.get(_SCORE)!r}.") from error
        if not math.isfinite(score):
            raise ValueError(f"{place}: must have a finite {_SCORE}, got {score}.")
        yield _id(row, _QUERY, place), _id(row, _DOCUMENT, place), score


def _id(row: Mapping[str, Any], name: str, place: Place) -> str:
    value = row.get(name)
    if value is None or isinstance(value, bool | float) or not str(value):
        raise ValueError(f"{place}: must have an id as {name!r}, got {value!r} beside {sorted(row)}.")
    return str(value)


def _rows(uri: str, names: list[str], left_out: Counter[str]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for name in names:
        for record in read_records((f"{uri.rstrip('/')}/{name}",)):
            if record.reason is not None:
                left_out[f"row of {name}: {record.reason}"] += 1
            else:
                yield f"{name}, row {record.row}", record.values


def _tsv_rows(uri: str, name: str) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    text = Folder(uri).read(name).decode()
    lines = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    if not {_QUERY, _DOCUMENT, _SCORE} <= set(lines.fieldnames or ()):
        raise ValueError(f"{name} must begin with a line {_QUERY}, {_DOCUMENT}, {_SCORE}, got {lines.fieldnames}.")
    for number, row in enumerate(lines):
        yield f"{name}, row {number}", row
