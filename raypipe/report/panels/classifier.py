"""How well a fitted classifier does beside its rivals: measures, differences, recall of each class, what to do next."""

from typing import Any

from raypipe.report.charts.forest import ForestRow, forest_chart
from raypipe.report.numbers.read import Json
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.panels.decisions import lines_of_teen, of_shown
from raypipe.report.words import count

Named = tuple[str, Json]
MEASURES = ("accuracy", "balanced_accuracy", "calibration_error", "auc", "auroc", "oscr")
MOST = 100
"""Classes whose recall is shown, those of the fewest rows first."""


def is_of_classifier(found: Json) -> bool:
    """Whether an evaluation is fit_classifier's."""
    return {"ours", "contenders", "n_unknown", "folds"} <= found.keys()


def of_classifier(found: Json) -> dict[str, Any]:
    """The tables and the chart of such an evaluation."""
    ours, contenders = str(found["ours"]), found["contenders"]
    measures = [name for name in MEASURES if name in contenders[ours]]
    columns = [Column[Named]("classifier", lambda row: foreign(row[0])), *(_measure(name) for name in measures)]
    effects = [
        ForestRow(f"minus {name}", *(100 * of["balanced_accuracy"][end] for end in ("mean", "low", "high")))
        for name, of in found.get(f"{ours} minus", {}).items()
    ]
    unknown = f", {count(found['n_unknown'])} of no class" if found["n_unknown"] else ""
    left_out = [f"Left out: {count(n)} rows, {why}." for why, n in found.get("left_out", {}).items()]
    return {
        "said": f"{count(found['n'])} rows in {count(found['folds'])} folds{unknown}; in %, with 95 % intervals.",
        "tables": [
            table("Cross-validation, %", columns, contenders.items()), _recalls(ours, contenders), *of_shown(found)
        ],
        "chart": forest_chart(effects, x_name="points", label=f"{ours} minus each other, in points")
        if effects else None,
        "chart_name": f"balanced accuracy, {ours} minus each other; pale: no difference shown",
        "lines": [*([f"{found['advice']}."] if "advice" in found else []), *lines_of_teen(found), *left_out],
    }  # fmt: skip


def _measure(name: str) -> Column[Named]:
    return Column(name.replace("_", " "), lambda row: _percent(row[1].get(name)))


def _recalls(ours: str, contenders: Json) -> Any:
    """Recall of each class by each contender, rare classes first."""
    classes = sorted(contenders[ours]["recall"].items(), key=lambda one: int(one[1]["n"]))
    columns = [
        Column[Named]("class", lambda row: foreign(row[0])),
        Column[Named]("rows", lambda row: count(row[1]["n"])),
        *(_recall(name, of["recall"]) for name, of in contenders.items()),
    ]
    more = f"; {count(len(classes) - MOST)} more" if len(classes) > MOST else ""
    return table(f"Recall by class, %{more}", columns, classes[:MOST])


def _recall(name: str, recall: Json) -> Column[Named]:
    return Column(name, lambda row: _percent(recall.get(row[0])))


def _percent(ends: Json | None) -> str:
    if not ends or "mean" not in ends:
        return "–"
    return f"{100 * ends['mean']:.1f} [{100 * ends['low']:.1f}, {100 * ends['high']:.1f}]"
