"""What a study of a paper's claims came to: each claim with its effect against its bar, what the arms gave and cost."""

from typing import Any

from markupsafe import Markup

from raypipe.report.charts.forest import ForestRow, forest_chart
from raypipe.report.numbers.read import Json, RunFiles
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import cost, count, duration, moment, value

ENDS = ("mean", "low", "high")
Numbered = tuple[int, Json]
Named = tuple[str, Json]


def study(files: RunFiles) -> Panel:
    """A part for each study of the run."""
    return panel("study", "Study", "study.html", parts=[_part(found) for found in files.studies.values()])


def _part(found: Json) -> dict[str, Any]:
    claims = list(enumerate(found["claims"], start=1))
    outcomes = [claim["verdict"] for _, claim in claims]
    said = {kind: outcomes.count(kind) for kind in ("shown", "not shown", "contradicted")}
    return {
        "name": found["study"],
        "said": f"{found['summary']} {found['source']}.",
        "tiles": [
            ("claims", count(len(claims)), ", ".join(f"{n} {kind}" for kind, n in said.items() if n)),
            ("seeds", count(found["seeds"]), "of every arm, paired"),
            ("data sets", count(len(found["data"])), ", ".join(found["data"])),
            ("cost", cost(found["seconds"]), f"{duration(found['seconds'])} of trials"),
        ],
        "charts": charts(claims),
        "tables": [claims_table(claims), *(arms_table(found, data) for data in found["arms"])],
        "origin": f"Commit {found['commit'] or 'unknown'}, {moment(found['date'])}.",
        "failed": [f"{trial}: {error}" for trial, error in found["failed"].items()],
    }  # fmt: skip


def charts(claims: list[Numbered]) -> list[tuple[str, Markup]]:
    """For each metric, the effects that its claims speak of, each less its bar: what is beyond 0 is shown."""
    by_metric: dict[str, list[ForestRow]] = {}
    for number, claim in claims:
        if claim["effect"] and claim["within"] is None:
            ends = (claim["effect"][end] - claim["at_least"] for end in ENDS)
            axis = f"{claim['metric']}, share of the gap" if claim.get("share_of") else claim["metric"]
            by_metric.setdefault(axis, []).append(ForestRow(f"claim {number}", *ends))
    return [
        (metric, forest_chart(rows, x_name=f"{metric}: effect less its bar", label=f"claims about {metric}"))
        for metric, rows in by_metric.items()
    ]


def claims_table(claims: list[Numbered]) -> Markup:
    """Each claim with its outcome."""
    columns = [
        Column[Numbered]("claim", lambda row: str(row[0])),
        Column[Numbered]("in words", lambda row: foreign(row[1]["sentence"], 300), is_text=True),
        Column[Numbered]("verdict", lambda row: foreign(row[1]["verdict"]), is_text=True),
        Column[Numbered]("effect", lambda row: value(row[1]["effect"].get("mean"))),
        Column[Numbered]("95 % interval", _interval),
        Column[Numbered]("bar", lambda row: foreign(row[1]["bar"])),
        Column[Numbered]("seeds", lambda row: count(row[1]["effect"].get("n", 0))),
    ]
    return table("Claims", columns, claims)


def _interval(row: Numbered) -> str:
    effect = row[1]["effect"]
    without = "unbounded" if row[1].get("is_unbounded") else "–"
    return f"{value(effect['low'])} to {value(effect['high'])}" if effect else without


def arms_table(found: Json, data: str) -> Markup:
    """The metrics of each arm on one data set, mean ± standard deviation over seeds, and what its trials took."""
    arms = found["arms"][data]
    metrics = list(dict.fromkeys(name for of in arms.values() for name in of))
    seconds = found.get("arm_seconds", {})
    columns = [
        Column[Named]("arm", lambda row: foreign(row[0])),
        *(_metric_column(name) for name in metrics),
        Column[Named]("time on all data", lambda row: duration(seconds.get(row[0]))),
    ]
    return table(f"Arms on {data}", columns, arms.items())


def _metric_column(name: str) -> Column[Named]:
    return Column(name, lambda row: _mean(row[1].get(name)))


def _mean(of: list[float] | None) -> str:
    return "–" if of is None else f"{value(of[0])} ± {value(of[1])}"
