"""Rules applied to the rows of a scores folder: what each drops, and for each row which rules dropped it.

Beside the columns of stages a rule may name `duplicate` (the text stood in an earlier row) and `rank`, or SCORE_rank
(the fraction of the rows of a domain that aren't better by the score, before any rule: 1 is the best).
Cost: the columns that are named, read once; two bits a row stay in memory, the columns of one source file at a time.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import columns
from raypipe.runs.card import Json, tables
from raypipe.runs.files import file_identity
from raypipe.runs.stage import at_work
from raypipe.select.ranking.groups import Eligible, rank_groups
from raypipe.select.ranking.orders import by_score, keys
from raypipe.select.rows import Rows
from raypipe.select.rules.beside import Beside, beside, columns_of, spans_of
from raypipe.select.rules.conditions import Column, KeepRule, conjuncts, find, holds
from raypipe.select.rules.published import PUBLISHED, RuleSet
from raypipe.storage.folder import Entry, Folder

STAGE, DESCRIPTION = "rules", "columns"
DUPLICATE, RANK = "duplicate", "rank"
BEFORE = "not scored, or left out"
"""The reason of a row that no rule was asked about."""


def rules_of(sets: Sequence[RuleSet], keep: str | None) -> tuple[KeepRule, ...]:
    """The rules of the sets, over the columns of a description, and each part of the user's own condition."""
    published = [KeepRule(f"{name}: {one}", one, DESCRIPTION) for name in sets for one in PUBLISHED[name]]
    return (*published, *(KeepRule(one, one) for one in (conjuncts(keep) if keep is not None else ())))


@dataclass
class Ruling:
    """Rules, and where what they name is read."""

    run: Folder
    rules: tuple[KeepRule, ...]
    score: str
    """Column of the scores that rows are ranked by."""
    named: dict[str, Column] = field(init=False)
    """What each name in a rule stands for."""
    readers: list[Beside] = field(init=False)

    def __post_init__(self) -> None:
        """Find the columns, and ask the rules about no rows.

        Raises
        ------
        KeyError
            If a name is no column, or that of several stages.
        ValueError
            If a rule isn't one expression, names no column or doesn't fit those that it names; if a stage isn't
            finished.
        """
        there, own = columns_of(self.run), (DUPLICATE, RANK, f"{self.score}_{RANK}")
        self.named = {name: find(rule, name, there, own=own) for rule in self.rules for name in rule.named}
        self.readers = beside(self.run, list(dict.fromkeys(one for one in self.named.values() if one[0])))
        if idle := [rule for rule in self.rules if not rule.named]:
            raise ValueError(f"a rule must name a column, got {idle[0].condition!r}; leave it out.")
        none = [one.named(one.schema.empty_table()) for one in self.readers]
        holds(self.rules, self._table(none, np.zeros(0, bool), np.zeros(0)), 0)

    @property
    def asks_of_copies(self) -> bool:
        """Whether a rule names what is known only once copies are found: `duplicate`, or a rank."""
        return any(stage == "" for stage, _ in self.named.values())

    def identity(self) -> Json:
        """Of what is read: the files of every stage."""
        read = [[one.stage, one.digest] for one in self.readers]
        return {"ruled_files": sha256(json.dumps(read).encode()).hexdigest()}

    def ranker(self, eligible: Eligible) -> Callable[[Rows, np.ndarray], np.ndarray] | None:
        """What ranks the rows of a file, NaN where one isn't eligible; None if no rule asks for it."""
        if not any(stage == "" and name != DUPLICATE for stage, name in self.named.values()):
            return None
        ranks, seed = rank_groups(eligible, by_score), eligible.scores.seed

        def rank(rows: Rows, is_copy: np.ndarray) -> np.ndarray:
            found = np.full(len(rows), np.nan)
            for group, part in eligible.split(rows.take(rows.is_candidate & ~is_copy)):
                found[part.index] = ranks[group].rank(keys(part, group, order=by_score, seed=seed))
            return found

        return rank

    def held(self, eligible: Eligible) -> Iterator[tuple[Entry, Rows, np.ndarray]]:
        """Each scores file with its rows, and which rows keep which rules: [rules, n] bool.

        Raises
        ------
        Mismatch
            If a stage holds other rows.
        """
        rank, scores = self.ranker(eligible), eligible.scores
        spans = {span.file: (path, span) for path, of in spans_of(scores.folder, scores.files).items() for span in of}
        for number, rows, is_copy in eligible.files():
            file = scores.files[number]
            path, span = spans[file.path]
            there = [one.rows(path, span, rows.text_hash) for one in self.readers]
            ranks = np.zeros(len(rows)) if rank is None else rank(rows, is_copy)
            yield file, rows, holds(self.rules, self._table(there, is_copy, ranks), len(rows))

    def _table(self, there: Sequence[pa.Table], is_copy: np.ndarray, ranks: np.ndarray) -> pa.Table:
        """A column for each name in a rule."""
        of_stages = {name: table[name] for table in there for name in table.column_names}
        own = {DUPLICATE: pa.array(is_copy)}
        own |= dict.fromkeys((RANK, f"{self.score}_{RANK}"), pa.array(ranks, from_pandas=True))
        columns = [of_stages[f"{stage}.{column}"] if stage else own[column] for stage, column in self.named.values()]
        return pa.table(columns, names=list(self.named))


@dataclass
class Ruled:
    """Gather: what the rules dropped of the scored rows."""

    rules: tuple[KeepRule, ...]
    dropped: dict[str, np.ndarray] = field(default_factory=dict)
    """By scores file, the rows that aren't kept, as packed bits."""
    n: int = 0
    kept: int = 0
    of_rule: np.ndarray = field(init=False)
    """[rules, 4] int64: rows and tokens that each dropped, rows that it alone dropped, and that it was the first to."""

    def __post_init__(self) -> None:
        """Count from zero."""
        self.of_rule = np.zeros((len(self.rules), 4), np.int64)

    def update(self, file: str, rows: Rows, held: np.ndarray) -> None:
        """Add the rows of a file [n], and which rules [rules, n] they keep."""
        drops = ~held & rows.is_scored
        alone = drops & (drops.sum(0) == 1)
        first = drops & (drops.cumsum(0) == 1)
        self.of_rule += np.stack([drops.sum(1), drops @ rows.n_tokens_total, alone.sum(1), first.sum(1)], axis=1)
        self.dropped[file] = np.packbits(drops.any(0))
        self.n += int(rows.is_scored.sum())
        self.kept += int((rows.is_scored & ~drops.any(0)).sum())

    def result(self) -> Json:
        """Rows asked about and kept, and for each rule what it dropped."""
        of_rules = [
            {"rule": rule.name} | dict(zip(("dropped", "tokens", "alone", "first"), of.tolist(), strict=True))
            for rule, of in zip(self.rules, self.of_rule, strict=True)
        ]
        return {"rows": self.n, "kept": self.kept, "rules": of_rules}


def ruled(ruling: Ruling, eligible: Eligible) -> Ruled:
    """What the rules drop, without writing anything; raises as `Ruling.held`."""
    found = Ruled(ruling.rules)
    for file, rows, held in ruling.held(eligible):
        found.update(file.path, rows, held)
    return found


def write_rules(ruling: Ruling, eligible: Eligible, identity: Json) -> Ruled:
    """RUN/rules: for each row of the scores whether it is kept, and which rules dropped it; raises as `Ruling.held`."""
    folder, found = ruling.run / STAGE, Ruled(ruling.rules)
    with at_work(folder, {"stage": STAGE, "kind": "annotate", "op": "Rules", "identity": identity}) as card:
        folder.sweep()
        for file in tables(folder):
            folder.delete(file.path)
        for file, rows, held in ruling.held(eligible):
            found.update(file.path, rows, held)
            table = _reasons(eligible.scores.folder, file, rows, held, ruling.rules)
            buffer = pa.BufferOutputStream()
            pq.write_table(table.replace_schema_metadata(file_identity(identity)), buffer, compression="zstd")
            folder.write(file.path, buffer.getvalue())
        card |= {"counts": {"rows": found.n, "kept": found.kept}, "rules": found.result()}
    return found


def forget_rules(run: Folder) -> None:
    """Remove RUN/rules, which an earlier selection wrote: of one without rules there are no reasons."""
    if (run / STAGE).files():
        (run / STAGE).remove()


def _reasons(folder: Folder, file: Entry, rows: Rows, held: np.ndarray, rules: Sequence[KeepRule]) -> pa.Table:
    """The rows' keys, status, the first rule that dropped each as its reason, and all of them."""
    with folder.open(file.path) as source:
        kept = pq.ParquetFile(source).read([columns.ID, columns.TEXT_HASH])
    names = np.array([rule.name for rule in rules], object)
    by: list[list[str] | None] = [None] * len(rows)
    for row in np.flatnonzero(rows.is_scored).tolist():
        by[row] = names[~held[:, row]].tolist()
    reasons = [BEFORE if one is None else (one[0] if one else None) for one in by]
    status = [columns.SKIPPED if reason else columns.SCORED for reason in reasons]
    return pa.table(
        {
            **{name: kept[name] for name in kept.column_names},
            columns.STATUS: pa.array(status, pa.string()),
            columns.REASON: pa.array(reasons, pa.string()),
            "dropped_by": pa.array(by, pa.list_(pa.string())),
        }
    )


def lines_of(found: Json) -> list[str]:
    """What each rule dropped, for the terminal; `found` as a card of rules has it."""
    n = max(int(found["rows"]), 1)
    lines = [f"rules keep {found['kept']:,} of {found['rows']:,} scored rows"]
    for one in found["rules"]:
        lines.append(f"  {one['rule']}: drops {one['dropped']:,} ({one['dropped'] / n:.1%}), {one['alone']:,} alone")
    return lines
