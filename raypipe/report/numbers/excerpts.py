"""The highest, median and lowest documents of each domain, their texts read again from the source.

Scores files hold no text; their footers name the shard that each was made from. `ReadText` is the seam: from that JSON
and rows of the shard to texts, None for a row whose text is gone.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.parquet as pq

from raypipe import columns
from raypipe.report.numbers.gather import ScoreNumbers
from raypipe.report.numbers.measures import extremes
from raypipe.report.numbers.read import Json, read_columns
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.storage.folder import Folder

ReadText = Callable[[Json, Sequence[int]], list[tuple[int, str] | None]]
"""(shard, rows in shard) -> (text_hash, text) of each, None where there is none. May raise OSError or ValueError."""

EXCERPT_CHARS = 400
GONE = "text no longer available"
LATE = "not read again: the time for excerpts was used up"
KINDS = ("highest", "median", "lowest")


@dataclass(frozen=True)
class Excerpt:
    """A document of the report; `text` is None where `missing` says why."""

    id: str
    score: float
    loss: float
    n_tokens: int
    is_selected: bool
    text: str | None = None
    is_cut: bool = False
    missing: str = GONE


@dataclass(frozen=True)
class _Wanted:
    place: tuple[int, str, int]  # domain, kind, position in the list
    file: int
    row: int
    text_hash: int
    excerpt: Excerpt


def excerpts(
    numbers: Numbers, read_text: ReadText | None, *, n_each: int = 10, limit_s: float = 60.0
) -> dict[int, dict[str, list[Excerpt]]]:
    """By domain and kind, best first. Sources are read for at most `limit_s`, the most telling documents first."""
    rows = numbers.rows
    if rows.is_empty:
        return {}
    wanted = [item for domain in numbers.shown for item in _choose(rows, domain, numbers.groups[domain], n_each)]
    by_file: dict[int, list[_Wanted]] = {}
    for item in sorted(wanted, key=lambda item: (item.place[2], KINDS.index(item.place[1]))):
        by_file.setdefault(item.file, []).append(item)
    deadline = time.monotonic() + limit_s
    found: dict[tuple[int, str, int], Excerpt] = {}
    for file, items in by_file.items():
        name = numbers.files.tables[numbers.files.scores_stage][file]
        reader = read_text if time.monotonic() < deadline else _late
        found |= _read_file(numbers.files.folder, f"{numbers.files.scores_stage}/{name}", items, reader)
    return {
        domain: {kind: [found[key] for key in sorted(found) if key[:2] == (domain, kind)] for kind in KINDS}
        for domain in numbers.shown
    }


def _choose(rows: ScoreNumbers, domain: int, group: np.ndarray, n_each: int) -> list[_Wanted]:
    kept = rows.kept
    return [
        _Wanted(
            (domain, kind, position),
            int(kept["file"][i]),
            int(kept["row"][i]),
            int(kept["text_hash"][i]),
            _bare(rows, i),
        )
        for kind, chosen in extremes(rows.score, group, n_each).items()
        for position, i in enumerate(chosen.tolist())
    ]


def _bare(rows: ScoreNumbers, i: int) -> Excerpt:
    kept = rows.kept[i]
    score = float(kept["score"])
    return Excerpt("", score, float(kept["loss"]), int(kept["length"]), bool(kept["arms"] & 1))


def _late(shard: Json, rows: Sequence[int]) -> list[tuple[int, str] | None]:
    raise TimeoutError(LATE)


def _read_file(
    folder: Folder, name: str, items: list[_Wanted], read_text: ReadText | None
) -> dict[tuple[int, str, int], Excerpt]:
    ids = read_columns(folder, name, (columns.ID,))[columns.ID].take([item.row for item in items]).to_pylist()
    texts, missing = _texts(folder, name, items, read_text)
    return {
        item.place: _with_text(replace(item.excerpt, id=str(id_), missing=missing), item.text_hash, text)
        for item, id_, text in zip(items, ids, texts, strict=True)
    }


def _texts(
    folder: Folder, name: str, items: list[_Wanted], read_text: ReadText | None
) -> tuple[list[tuple[int, str] | None], str]:
    """The texts, and what to say of a missing one. A report outlives its corpus: a lost source is no failure."""
    shard = shard_of(folder, name)
    if read_text is None or shard is None:
        return [None] * len(items), GONE
    try:
        return read_text(shard, [item.row for item in items]), GONE
    except TimeoutError:
        return [None] * len(items), LATE
    except (OSError, ValueError) as error:
        return [None] * len(items), f"{GONE} ({type(error).__name__})"


def shard_of(folder: Folder, name: str) -> Json | None:
    """The shard that a scores file was made from, None if its footer doesn't say."""
    with folder.open(name) as file:
        metadata = pq.read_metadata(file).metadata or {}
    content = metadata.get(b"raypipe.shard")
    return json.loads(content) if content else None


def _with_text(excerpt: Excerpt, text_hash: int, found: tuple[int, str] | None) -> Excerpt:
    if found is None:
        return excerpt
    if found[0] != text_hash:
        return replace(excerpt, missing="the source now holds another text in this row")
    return replace(excerpt, text=found[1][:EXCERPT_CHARS], is_cut=len(found[1]) > EXCERPT_CHARS)
