"""How well a classifier of many labels a row does beside its rivals: measures, differences, each label, how it says."""

from typing import Any

from raypipe.report.charts.forest import ForestRow, forest_chart
from raypipe.report.numbers.read import Json
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count

Named = tuple[str, Json]
MEASURES = {
    "micro_f1": "micro F1", "macro_f1": "macro F1", "instance_f1": "instance F1", "micro_precision": "precision",
    "micro_recall": "recall", "precision_at_1": "P@1", "precision_at_5": "P@5",
    "weighted_precision_at_5": "P@5 by propensity", "rare_recall": "recall of rare labels", "reach": "reach",
}  # fmt: skip
MOST = 100
"""Labels that are shown, those of the fewest rows first."""


def is_of_many_labels(found: Json) -> bool:
    """Whether an evaluation is fit_classifier's on rows with lists of labels."""
    return {"ours", "contenders", "n_labels", "by_label", "threshold"} <= found.keys()


def of_many_labels(found: Json) -> dict[str, Any]:
    """The tables and the chart of such an evaluation."""
    ours, contenders = str(found["ours"]), found["contenders"]
    columns = [Column[Named]("classifier", lambda row: foreign(row[0])), *map(_measure, MEASURES.items())]
    effects = [
        ForestRow(f"minus {name}", *(100 * of["micro_f1"][end] for end in ("mean", "low", "high")))
        for name, of in found.get(f"{ours} minus", {}).items()
    ]
    said = (
        f"A label is said from a probability of {found['threshold']:.3g} on, which is best for micro F1; rows of a "
        "fold are judged at what is best for the others."
    )
    reach = (
        f"{count(found['n_rare'])} labels are rare. Reach: the share of true labels among the {found['most']} "
        "likeliest of their rows; more than that can't be found at any threshold."
    )
    left_out = [f"Left out: {count(n)} rows, {why}." for why, n in found.get("left_out", {}).items()]
    return {
        "said": (
            f"{count(found['n'])} rows of {count(found['n_labels'])} labels, {found['labels_a_row']:.1f} a row, in "
            f"{count(found['folds'])} folds; in %, with 95 % intervals."
        ),
        "tables": [table("Cross-validation, %", columns, contenders.items()), _by_label(ours, found["by_label"])],
        "chart": forest_chart(effects, x_name="points", label=f"{ours} minus each other, in points")
        if effects
        else None,
        "chart_name": f"micro F1, {ours} minus each other; pale: no difference shown",
        "lines": [said, reach, *left_out],
    }


def _measure(named: tuple[str, str]) -> Column[Named]:
    name, said = named
    return Column(said, lambda row: _percent(row[1][name]))


def _by_label(ours: str, by_label: Json) -> Any:
    """Precision and recall of each label by the fitted method, rare ones first."""
    labels = sorted(by_label.items(), key=lambda one: int(one[1]["n"]))
    columns = [
        Column[Named]("label", lambda row: foreign(row[0])),
        Column[Named]("rows", lambda row: count(row[1]["n"])),
        Column[Named]("precision", lambda row: _share(row[1]["precision"])),
        Column[Named]("recall", lambda row: _share(row[1]["recall"])),
    ]
    more = f"; {count(len(labels) - MOST)} more" if len(labels) > MOST else ""
    return table(f"Labels by {ours}, %{more}", columns, labels[:MOST])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _percent(ends: Json) -> str:
    return f"{100 * ends['mean']:.1f} [{100 * ends['low']:.1f}, {100 * ends['high']:.1f}]"
