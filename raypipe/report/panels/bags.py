"""How well a regressor of instances foretells the numbers of bags, beside its rivals and shuffled numbers."""

from typing import Any

from raypipe.report.charts.forest import ForestRow, forest_chart
from raypipe.report.numbers.read import Json
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count

Named = tuple[str, Json]
MEASURES = {"r2": "R^2", "spearman": "rank correlation"}


def is_of_bags(found: Json) -> bool:
    """Whether an evaluation is fit_bags'."""
    return {"ours", "contenders", "n_bags", "sizes"} <= found.keys()


def of_bags(found: Json) -> dict[str, Any]:
    """The table and the chart of such an evaluation."""
    ours, sizes = str(found["ours"]), found["sizes"]
    columns = [
        Column[Named]("foretold by", lambda row: foreign(row[0])),
        *(_measure(name, label) for name, label in MEASURES.items()),
    ]
    effects = [
        ForestRow(f"minus {name}", *(of["spearman"][end] for end in ("mean", "low", "high")))
        for name, of in found.get(f"{ours} minus", {}).items()
    ]
    label = f"{ours} minus each other"
    spread = f"{count(sizes['smallest'])} to {count(sizes['largest'])} instances"
    return {
        "said": f"{count(found['n_bags'])} bags of {spread} in {count(found['folds'])} folds; with 95 % intervals.",
        "tables": [table("Cross-validation over bags", columns, found["contenders"].items())],
        "chart": forest_chart(effects, x_name="rank correlation", label=label) if effects else None,
        "chart_name": f"rank correlation, {ours} minus each other; pale: no difference shown",
        "lines": [
            f"Penalty on squared weights: {found['alpha']:g}.",
            *_left_out(found),
        ],
    }


def _left_out(found: Json) -> list[str]:
    return [f"Left out: {count(found['left_out'])} numbers without a bag."] if found["left_out"] else []


def _measure(name: str, label: str) -> Column[Named]:
    return Column(label, lambda row: _said(row[1][name]))


def _said(ends: Json) -> str:
    return f"{ends['mean']:.3f} [{ends['low']:.3f}, {ends['high']:.3f}]"
