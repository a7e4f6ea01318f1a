"""What a scoring run measures at its first start and keeps: the cut, the token budget, what 8 bits cost."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from raypipe.columns import DOMAIN
from raypipe.contracts.op import Op, Pool
from raypipe.contracts.parts import assemble
from raypipe.corpus import Corpus, Plan, Shard
from raypipe.run.calibrate import Rate, calibrate, sampled_rows, sampled_shards, unmeasured
from raypipe.run.cluster import Wanted
from raypipe.run.inputs import Sizes
from raypipe.run.one_task import on_a_worker
from raypipe.run.rows import Work, prepare
from raypipe.score.forward_pass import FLOAT8, ForwardPass
from raypipe.score.number_format import agreement

COMPARED_ROWS = 64
"""Of each sampled shard, to compare number formats by."""
COMPARED_S = 60.0


class Budgeted(Op, Protocol):
    """An Op of batches of so many tokens."""

    token_budget: int


B = TypeVar("B", bound=Budgeted)


@dataclass(frozen=True, kw_only=True)
class BudgetSearch:
    """Token budgets to choose from."""

    try_budgets: tuple[int, ...] = ()
    """Token budgets to try at the first start, for 40 s in all; the fastest becomes the run's."""

    def ops(self, op: ForwardPass) -> list[ForwardPass]:
        """The scorer with each budget, or as it is where none is to be tried.

        Raises
        ------
        ValueError
            If a budget holds no document of max_tokens.
        """
        if not self.try_budgets:
            return [op]
        ops = [replace(op, token_budget=budget) for budget in dict.fromkeys(self.try_budgets)]
        for each in ops:
            each.check()
        return ops


def settle(ops: Sequence[B], sizes: Sizes | None, corpus: Corpus, plan: Plan, wanted: Wanted) -> tuple[B, Sizes]:
    """The Op with its budget, and the cut: as given, else measured.

    A small corpus is cut without measuring; the cluster is joined only for what it has to tell.
    """
    if len(ops) == 1:
        cut = sizes or unmeasured(plan.n_bytes, wanted.pool)
        if cut is not None:
            return ops[0], cut
    best, rate = fastest(ops, corpus, plan, wanted.pool)
    return best, sizes or rate.sizes


def fastest(ops: Sequence[B], corpus: Corpus, plan: Plan, pool: Pool) -> tuple[B, Rate]:
    """The one with the most tokens a second on a sample, and its rate; of several, all rates are printed."""
    rates = calibrate(ops, corpus, plan, pool)
    best = max(range(len(ops)), key=lambda at: rates[at].tokens_per_s)
    if len(ops) > 1:
        tried = ", ".join(f"{op.token_budget}: {rate.tokens_per_s:,.0f}" for op, rate in zip(ops, rates, strict=True))
        print(f"tokens/s of a worker by token budget: {tried}; {ops[best].token_budget} it is", flush=True)
    return ops[best], rates[best]


def cost_of_8_bits(op: ForwardPass, corpus: Corpus, plan: Plan, wanted: Wanted) -> dict[str, Any]:
    """For the card of a stage in 8-bit floats: how well they order a sample of this corpus; for others nothing."""
    if op.dtype != FLOAT8:
        return {}
    pool = wanted.pool
    return {"number_format": on_a_worker(pool, _compare, op, corpus, sampled_shards(plan), pool.n_threads)}


def _compare(op: ForwardPass, corpus: Corpus, shards: list[Shard], n_threads: int) -> list[dict[str, Any]]:
    source: pa.Table | None = sampled_rows(corpus, shards, rows=COMPARED_ROWS)
    return [] if source is None else compared(op, source, n_threads)


def compared(
    op: ForwardPass, source: pa.Table, n_threads: int, *, clock: Callable[[], float] = time.monotonic
) -> list[dict[str, Any]]:
    """Each scorer's Agreement of `op` with itself in bfloat16 on rows of columns.SOURCE, for COMPARED_S at most.

    Loads the model twice. As in the run itself, a batch that doesn't fit is cut in two and a document that raises is
    left out. An empty list: no row could be scored.

    Raises
    ------
    BrokenOp
        If more documents raise than a run would bear.
    """
    prepared = prepare(op, source)
    works = [Work(each, prepared, report=lambda *_: None) for each in (op, replace(op, dtype="bfloat16"))]
    for work in works:
        work.op.setup(n_threads=n_threads)
    ends_at = clock() + COMPARED_S
    for rows in op.batches(prepared):
        for work in works:
            work.run(rows)
        if clock() > ends_at:
            break
    if not all(work.parts for work in works):
        return []
    ours, theirs = (assemble(work.op.adds, prepared, work.parts, work.failed) for work in works)
    domains = prepared[DOMAIN].fill_null("").to_numpy()
    names = [statistic.score.column for statistic in op.statistics]
    return [asdict(agreement(name, _values(ours, name), _values(theirs, name), domains)) for name in names]


def _values(table: pa.Table, name: str) -> np.ndarray:
    """A column as float64, NaN where it is null."""
    values: np.ndarray = table[name].to_numpy().astype(np.float64)
    return values
