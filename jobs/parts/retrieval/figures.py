"""The figures of rankings: means over queries with intervals, differences paired, and a table for a terminal."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from raypipe.evaluate.retrieval import means_over_queries, ndcg_of_first, recall_of_first, reciprocal_rank
from raypipe.evaluate.task_means import Estimate
from raypipe.retrieve.ranking import NONE, Ranked
from raypipe.retrieve.retrieval_set import RetrievalSet
from raypipe.runs.card import Json

MRR = 10
MINUS = " minus "
HEADLINE = "nDCG@10"
"""What differences are printed of, where it is measured."""


def figures_of(rankings: Mapping[str, Ranked], data: RetrievalSet, *, ks: tuple[int, ...], seed: int) -> Json:
    """What evaluation.json holds."""
    judged = data.judged()
    measures = {name: _measures(data.gains(one.documents), judged, ks) for name, one in rankings.items()}
    values = {(name, measure): of[measure] for name, of in measures.items() for measure in of}
    values |= {
        (one + MINUS + other, measure): measures[one][measure] - measures[other][measure]
        for other, one in combinations(measures, 2)
        for measure in measures[one]
    }
    found = means_over_queries({"\0".join(key): of for key, of in values.items()}, seed=seed)
    figures: Json = {"retrieval": {}, "differences": {}}
    for key, ends in found.items():
        name, measure = key.split("\0")
        figures["differences" if MINUS in name else "retrieval"].setdefault(name, {})[measure] = _ends(ends)
    empty = {name: int((one.documents == NONE).all(axis=1).sum()) for name, one in rankings.items()}
    return {
        **figures, "n": len(data.queries), "n_documents": len(data.documents), "left_out": dict(data.left_out),
        "queries_without_a_document": {name: n for name, n in empty.items() if n},
    }  # fmt: skip


def _measures(gain: np.ndarray, judged: np.ndarray, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Name -> value of each query."""
    return {
        **{f"nDCG@{k}": ndcg_of_first(gain, judged, k=k) for k in ks},
        **{f"recall@{k}": recall_of_first(gain, judged, k=k) for k in ks},
        f"MRR@{MRR}": reciprocal_rank(gain, judged, k=MRR),
    }


def _ends(of: Estimate) -> Json:
    return {"mean": of.mean, "low": of.low, "high": of.high}


def table_of(found: Json) -> str:
    """A line a measure, a column a ranking; then what differs."""
    names = [*found["retrieval"]]
    measures = [*found["retrieval"][names[0]]]
    headline = HEADLINE if HEADLINE in measures else measures[0]
    lines = [
        f"{found['n']:,} queries, {found['n_documents']:,} documents; in %, with 95 % of resamples of queries",
        f"{'':<12}" + "".join(f"{name:>21}" for name in names),
    ]
    for measure in measures:
        cells = [_cell(found["retrieval"][name][measure]) for name in names]
        lines.append(f"{measure:<12}" + "".join(f"{cell:>21}" for cell in cells))
    for name, of in found["differences"].items():
        ends = of[headline]
        shown = "" if ends["low"] > 0 or ends["high"] < 0 else ": no difference shown"
        lines.append(f"{name}, {headline}: {_cell(ends, sign='+')}{shown}")
    for reason, n in found["left_out"].items():
        lines.append(f"left out: {n:,} x {reason}")
    for name, n in found["queries_without_a_document"].items():
        lines.append(f"{name} finds nothing for {n:,} queries")
    return "\n".join(lines)


def _cell(of: Json, *, sign: str = "") -> str:
    mean, low, high = (f"{100 * of[end]:{sign}.1f}" for end in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"
