"""What trained models came to on rows that they never saw: accuracies with intervals, beside simple rivals."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from raypipe.report.charts.forest import ForestRow, forest_chart
from raypipe.report.numbers.read import Json, RunFiles
from raypipe.report.page import cells
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.panels.bags import is_of_bags, of_bags
from raypipe.report.panels.benchmarks import is_of_benchmarks, of_benchmarks
from raypipe.report.panels.classifier import is_of_classifier, of_classifier
from raypipe.report.panels.concept import is_of_concept, of_concept
from raypipe.report.panels.how import settings_table
from raypipe.report.panels.many_labels import is_of_many_labels, of_many_labels
from raypipe.report.panels.retrieval import is_of_retrieval, of_retrieval
from raypipe.report.words import count, value

Named = tuple[str, Json]


def evaluation(files: RunFiles) -> Panel:
    """A part for each evaluation of the run."""
    parts = [_part(name, found) for name, found in files.evaluations.items()]
    return panel("evaluation", "Evaluation", "evaluation.html", parts=parts)


def _part(name: str, found: Json) -> dict[str, Any]:
    empty: dict[str, Any] = {"name": name, "said": "", "tables": [], "chart": None, "chart_name": "", "lines": []}
    if {"tasks", "contenders", "mean_over_tasks"} <= found.keys():
        return empty | _of_tasks(found)
    if is_of_benchmarks(found):
        return empty | of_benchmarks(found)
    if is_of_classifier(found):
        return empty | of_classifier(found)
    if is_of_many_labels(found):
        return empty | of_many_labels(found)
    if is_of_bags(found):
        return empty | of_bags(found)
    if is_of_concept(found):
        return empty | of_concept(found)
    if is_of_retrieval(found):
        return empty | of_retrieval(found)
    if "test_accuracy" in found:
        return empty | _of_seeds(found)
    return empty | {"tables": [settings_table("Figures", found)]}


def _of_tasks(found: Json) -> dict[str, Any]:
    """Many tasks answered by several contenders: exact match, and how much ours is better."""
    ours, mean = str(found["ours"]), found["mean_over_tasks"]
    rivals = mean.get(f"{ours} minus", {})
    effects = [
        ForestRow(f"minus {name}", *(100 * ends[end] for end in ("mean", "low", "high")))
        for name, ends in rivals.items()
    ]
    left_out = ", ".join(f"{reason} ({_rows(n)})" for reason, n in found.get("left_out", {}).items())
    said = f"Exact match on {count(mean['n'])} test questions, in %, with 95 % intervals"
    return {
        "said": "; ".join([said, *([str(found["interval"])] if "interval" in found else [])]) + ".",
        "tables": [tasks_table(found)],
        "chart": forest_chart(effects, x_name="points, mean of tasks", label=f"{ours} minus each other, in points")
        if effects else None,
        "chart_name": f"{ours} minus each other; pale: no difference shown",
        "lines": [f"Left out: {left_out}."] if left_out else [],
    }  # fmt: skip


def tasks_table(found: Json) -> Markup:
    """Exact match of each contender in each task, and the mean over tasks, as they are and before the class cap."""
    mean = found["mean_over_tasks"]
    totals: list[Named] = [("mean of tasks", mean), ("mean, natural", {**mean, "accuracy": mean.get("natural", {})})]
    columns = [
        Column[Named]("task", lambda row: foreign(row[0])),
        Column[Named]("n", lambda row: count(row[1]["n"])),
        *(_accuracy_column(name) for name in found["contenders"]),
    ]
    return table("Exact match by task, %", columns, found["tasks"].items(), totals=totals)


def _accuracy_column(name: str) -> Column[Named]:
    return Column(name, lambda row: percent(row[1]["accuracy"].get(name)))


def percent(ends: Mapping[str, float] | None) -> str:
    """`34.7 [24.3, 46.2]`; a dash where it wasn't measured."""
    if not ends:
        return "–"
    return f"{100 * ends['mean']:.1f} [{100 * ends['low']:.1f}, {100 * ends['high']:.1f}]"


def _of_seeds(found: Json) -> dict[str, Any]:
    """Arms of several seeds on the same test rows: accuracies, the gap recovered, controls."""
    accuracies, recovered = found["test_accuracy"], found.get("recovered", {})
    by_seed = {name: one for name, one in accuracies.items() if one.get("interval")}
    effects = [ForestRow(name, one["mean"], *one["interval"]) for name, one in by_seed.items()]
    null = accuracies.get("majority", {}).get("mean", 0.5)
    withheld = sorted({str(one["withheld"]) for one in recovered.values() if one.get("withheld")})
    chart = forest_chart(effects, x_name="test accuracy", label="test accuracy by arm", null=null) if effects else None
    tables = [accuracy_table("Test accuracy", accuracies, recovered)]
    if found.get("weak_labels"):
        tables.append(accuracy_table("Accuracy of weak labels", found["weak_labels"], {}))
    if found.get("controls"):
        tables.append(controls_table(found["controls"]))
    return {
        "said": f"{count(len(found.get('seeds', [])))} seeds; intervals are over seeds.",
        "tables": tables,
        "chart": chart,
        "chart_name": "test accuracy; dashed: the commoner class; pale: not told apart from it",
        "lines": [f"The gap recovered is withheld: {why}." for why in withheld],
    }  # fmt: skip


def accuracy_table(caption: str, accuracies: Json, recovered: Json) -> Markup:
    """Mean accuracy over seeds with its interval, and the gap recovered where there is one."""
    columns = [
        Column[Named]("arm", lambda row: foreign(row[0])),
        Column[Named]("mean", lambda row: value(row[1]["mean"])),
        Column[Named]("95 % over seeds", lambda row: interval(row[1].get("interval"))),
    ]
    if recovered:
        columns.append(Column("gap recovered", lambda row: value(recovered.get(row[0], {}).get("pgr"))))
        columns.append(Column("its 95 %", lambda row: interval(recovered.get(row[0], {}).get("interval"))))
    return table(caption, columns, accuracies.items())


def interval(ends: list[float] | None) -> str:
    """`0.560 to 0.648`; a dash where it has no ends."""
    return "–" if ends is None else f"{value(ends[0])} to {value(ends[1])}"


def controls_table(controls: Json) -> Markup:
    """What must not be better than its baseline, and whether it is."""
    columns = [
        Column[Named]("control", lambda row: foreign(row[0])),
        Column[Named]("advantage", lambda row: value(row[1]["advantage"])),
        Column[Named]("standard error", lambda row: value(row[1]["standard_error"])),
        Column[Named]("outcome", lambda row: cells.verdict(bool(row[1]["passed"]))),
    ]
    return table("Controls", columns, controls.items())


def _rows(left_out: Any) -> str:
    """How many rows a reason has: a number, or one beside the first places."""
    return count(left_out["n"] if isinstance(left_out, dict) else left_out)
