"""Texts with a yes or no that several studies share: the sample's, and sets of the folder given with --data."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from raypipe import sample

from .open_data import real

N_PIECES, PIECE = 12, 80
"""Pieces of a document of the sample, and their characters."""
PROSE = ("catalogue", "encyclopedia", "fiction", "legal_licence")
"""Domains of the sample that are written to be read; the others are for machines and those who mind them."""
Row = tuple[str, int, int]
"""Text, label, group."""


@dataclass(frozen=True)
class Texts:
    """Rows that are classified."""

    texts: list[str]
    labels: np.ndarray
    """[n] 0 or 1."""
    groups: np.ndarray
    """[n]: rows of one group (pieces of a document) must not be learned and tested."""

    @property
    def sha256(self) -> str:
        """Of texts and labels in their order."""
        return hashlib.sha256(json.dumps([self.texts, self.labels.tolist()]).encode()).hexdigest()


def texts_of(name: str, n_rows: int) -> Texts:
    """The rows of a set whose texts differ, `n_rows` at most, drawn once for all seeds.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in READERS:
        raise ValueError(f"data must be one of {', '.join(READERS)}, got {name!r}.")
    rows = list({text: (text, label, group) for text, label, group in READERS[name]() if text}.values())
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:n_rows])
    texts, labels, groups = zip(*(rows[at] for at in chosen), strict=True)
    return Texts(list(texts), np.array(labels), np.array(groups))


def split_groups(groups: np.ndarray, sizes: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Rows of parts of these sizes, by the seed alone; what is left of a group that begins in the part before is out.

    Raises
    ------
    ValueError
        If there are fewer rows.
    """
    if sum(sizes) > len(groups):
        raise ValueError(f"sizes {sizes} must fit into {len(groups)} rows, they are {sum(sizes)}.")
    names, of = np.unique(groups, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))[of]
    order = np.argsort(place, kind="stable")[: sum(sizes)]
    parts = np.split(order, np.cumsum(sizes)[:-1])
    later = (now[~np.isin(groups[now], groups[before])] for before, now in itertools.pairwise(parts))
    return [parts[0], *later]


def _sample() -> Iterator[Row]:
    """Pieces of the sample's documents: whether the domain is prose."""
    number = 0
    for file in sorted(sample.corpus_folder().glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            text, number = " ".join(json.loads(line)["text"].split()), number + 1
            step = max(PIECE, len(text) // N_PIECES)
            for start in range(0, min(len(text), N_PIECES * step), step):
                yield text[start : start + PIECE].strip(), int(file.stem in PROSE), number


def _youtube() -> Iterator[Row]:
    """Comments, spam or not."""
    for part in ("train", "valid", "test"):
        for row in json.loads((real("wrench_youtube") / f"{part}.json").read_text(encoding="utf-8")).values():
            yield row["data"]["text"].strip(), int(row["label"]), hash_of(row["data"]["text"].strip())


def _table(name: str, file: str) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    return list(pq.read_table(real(name) / file).to_pylist())


def _polarity() -> Iterator[Row]:
    """Sentences of film reviews, for or against."""
    for row in _table("sentence_polarity", "data.parquet"):
        yield str(row["text"]), int(str(row["label"])), hash_of(str(row["text"]))


def _clinc() -> Iterator[Row]:
    """Requests: whether the domain is among the first five in alphabetical order, of ten."""
    rows = [row for row in _table("clinc150", "full.parquet") if row["domain"] != "oos"]
    domains = sorted({str(row["domain"]) for row in rows})
    for row in rows:
        yield str(row["text"]), int(domains.index(str(row["domain"])) < len(domains) // 2), hash_of(str(row["text"]))


def hash_of(text: str) -> int:
    """A group of its own for each text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)


READERS: dict[str, Callable[[], Iterator[Row]]] = {
    "sample": _sample, "wrench_youtube": _youtube, "sentence_polarity": _polarity, "clinc150": _clinc,
}  # fmt: skip
