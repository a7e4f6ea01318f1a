"""How well documents were found for queries: measures of each ranking, and the differences between them."""

from typing import Any

from raypipe.report.charts.forest import ForestRow, forest_chart
from raypipe.report.numbers.read import Json
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count

Measured = tuple[str, Json]
"""A measure, and by ranking its ends."""


def is_of_retrieval(found: Json) -> bool:
    """Whether an evaluation is evaluate_retrieval's."""
    return {"retrieval", "differences", "n_documents"} <= found.keys()


def of_retrieval(found: Json) -> dict[str, Any]:
    """The table and the chart of such an evaluation."""
    rankings = found["retrieval"]
    measures = [*next(iter(rankings.values()), {})]
    rows: list[Measured] = [(measure, {name: of[measure] for name, of in rankings.items()}) for measure in measures]
    columns = [Column[Measured]("measure", lambda row: foreign(row[0])), *(_ranking(name) for name in rankings)]
    effects = [
        ForestRow(f"{name}, {measure}", *(100 * ends[end] for end in ("mean", "low", "high")))
        for name, of in found["differences"].items()
        for measure, ends in of.items()
        if measure.startswith("nDCG")
    ]
    counts = f"{count(found['n'])} queries, {count(found['n_documents'])} documents"
    return {
        "said": f"{counts}; in %, intervals hold 95 % of the resamples of queries.",
        "tables": [table("Rankings, %", columns, rows)],
        "chart": forest_chart(effects, x_name="points", label="differences between rankings, in points")
        if effects else None,
        "chart_name": "differences between rankings; pale: no difference shown",
        "lines": [f"Left out: {count(n)} x {reason}." for reason, n in found["left_out"].items()],
    }  # fmt: skip


def _ranking(name: str) -> Column[Measured]:
    return Column(name, lambda row: _percent(row[1][name]))


def _percent(ends: Json) -> str:
    return f"{100 * ends['mean']:.1f} [{100 * ends['low']:.1f}, {100 * ends['high']:.1f}]"
