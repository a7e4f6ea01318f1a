"""A concept learned from a model's answers: what was asked for, and each student beside its rivals where truth is."""

from typing import Any

from markupsafe import Markup

from raypipe.report.charts.forest import ForestRow, forest_chart
from raypipe.report.numbers.read import Json
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count

Named = tuple[str, Json]
MEASURES = ("precision", "recall", "accuracy", "average_precision")


def is_of_concept(found: Json) -> bool:
    """Whether results are label_concept's."""
    return {"concept", "taught", "judged", "minus", "calls_of_judging"} <= found.keys()


def of_concept(found: Json) -> dict[str, Any]:
    """The tables and the chart of such results."""
    effects = [
        ForestRow(name.removeprefix("student "), *(100 * of[end] for end in ("mean", "low", "high")))
        for name, of in found["minus"].items()
    ]
    ours = next(iter(found["taught"]))
    return {
        "said": f"{found['concept']}: {count(found['rows'])} rows, {count(found['pool'])} of them in the pool. "
        f"{count(found['calls'])} answers were asked for, {count(found['kept'])} more kept from before and used "
        f"again. Verdicts are by the {found['decided_by']}.",
        "tables": [taught_table(found), *([judged_table(found)] if found["judged"] else [])],
        "chart": forest_chart(effects, x_name="points of F1", label=f"student by {ours} minus each other, in points")
        if effects else None,
        "chart_name": f"F1, student by {ours} minus each other; pale: no difference shown",
        "lines": [
            *(f"{sort}: {' '.join(found[sort])}" for sort in ("positive", "negative") if found.get(sort)),
            *(f"Left out: {count(n)} rows, {why}." for why, n in found["left_out"].items()),
        ],
    }  # fmt: skip


def taught_table(found: Json) -> Markup:
    """What each student was taught by, and the answers that were asked for on its account."""
    columns = [
        Column[Named]("asked for", lambda row: foreign(row[0])),
        Column[Named]("rows annotated", lambda row: _count(row[1].get("rows"))),
        Column[Named]("of the concept", lambda row: _count(row[1].get("positive"))),
        Column[Named]("new answers", lambda row: count(row[1]["calls"])),
    ]
    judging = [("judging the annotator", {"calls": found["calls_of_judging"]})] if found["judged"] else []
    rows = [*((f"student by {name}", of) for name, of in found["taught"].items()), *judging]
    return table("Answers asked for", columns, rows)


def _count(n: int | None) -> str:
    return "–" if n is None else count(n)


def judged_table(found: Json) -> Markup:
    """F1 with its interval over rows, and other measures, of students and rivals on the rows with truth."""
    columns = [
        Column[Named]("on the test rows", lambda row: foreign(row[0])),
        Column[Named]("F1 [95 % of rows]", lambda row: _f1(row[1])),
        *(_measure(name) for name in MEASURES),
    ]
    return table(f"{count(found['test'])} rows with truth, %", columns, found["judged"].items())


def _f1(of: Json) -> str:
    return f"{100 * of['f1']:.1f} [{100 * of['low']:.1f}, {100 * of['high']:.1f}]"


def _measure(name: str) -> Column[Named]:
    return Column(name.replace("_", " "), lambda row: f"{100 * row[1][name]:.1f}")
