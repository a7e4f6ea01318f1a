"""What evaluate_model measured: accuracies on benchmarks beside chance, loss by domain, what was trained on."""

from typing import Any

from markupsafe import Markup

from raypipe.report.charts.forest import ForestRow, forest_chart
from raypipe.report.numbers.read import Json
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count, value

Measured = tuple[str, str, Json]
"""Benchmark or group, what is measured, and its ends with n and chance beside."""
Named = tuple[str, Json]


def is_of_benchmarks(found: Json) -> bool:
    """Whether an evaluation is evaluate_model's."""
    return {"benchmarks", "corpus", "model"} <= found.keys()


def of_benchmarks(found: Json) -> dict[str, Any]:
    """The tables and the chart of such an evaluation."""
    benchmarks, corpus = found["benchmarks"], found["corpus"]
    rows = [row for name, of in benchmarks.items() for row in _rows(name, of, of["accuracy"])]
    above = [
        ForestRow(f"{name}, {label}", *(100 * (ends[end] - of["chance"]) for end in ("mean", "low", "high")))
        for name, of in benchmarks.items()
        if "chance" in of
        for label, ends in of["accuracy"].items()
    ]
    tables = [_accuracies("Benchmarks, %", rows)] if rows else []
    tables += [
        _accuracies(f"{name} by group, %", [row for group, of in one["groups"].items() for row in _rows(group, {}, of)])
        for name, one in benchmarks.items()
        if "groups" in one
    ]
    return {
        "said": f"{found['model']}; intervals hold 95 % of the resamples of questions or documents.",
        "tables": [*tables, *([_losses(corpus)] if corpus else [])],
        "chart": forest_chart(above, x_name="points above chance", label="accuracy above chance, in points")
        if above else None,
        "chart_name": "accuracy above chance; pale: not told apart from it",
        "lines": _seen(corpus) if corpus else [],
    }  # fmt: skip


def _rows(name: str, of: Json, accuracy: Json) -> list[Measured]:
    return [(name, label, {**of, **ends}) for label, ends in accuracy.items()]


def _accuracies(caption: str, rows: list[Measured]) -> Markup:
    columns = [
        Column[Measured]("benchmark", lambda row: foreign(row[0])),
        Column[Measured]("measure", lambda row: foreign(row[1])),
        Column[Measured]("mean [95 %]", lambda row: _percent(row[2])),
    ]
    if any("n" in row[2] for row in rows):
        columns.insert(1, Column("n", lambda row: count(row[2]["n"])))
        columns.append(Column("chance", lambda row: value(100 * row[2]["chance"]) if "chance" in row[2] else "–"))
    return table(caption, columns, rows)


def _losses(corpus: Json) -> Markup:
    totals: list[Named] = [("all documents", corpus["all"])]
    if "unseen" in corpus:
        totals.append(("never trained on", corpus["unseen"]["all"]))
    columns = [
        Column[Named]("domain", lambda row: foreign(row[0])),
        Column[Named]("n", lambda row: count(row[1]["n"])),
        Column[Named]("loss, nats a token", lambda row: _ends(row[1]["loss"])),
        Column[Named]("bits per byte", lambda row: _ends(row[1]["bits_per_byte"])),
    ]
    return table("Documents by domain", columns, corpus["domains"].items(), totals=totals)


def _seen(corpus: Json) -> list[str]:
    if "trained_on" not in corpus:
        return ["Not compared with what the model was trained on."]
    n = corpus["trained_on"]["n_shared"]
    first = [f"{one['name']}: {one['shared']}" for one in corpus["trained_on"]["first"]]
    return [f"{count(n)} documents share their id, text or 13 words with what was trained on.", *first]


def _percent(ends: Json) -> str:
    return f"{100 * ends['mean']:.1f} [{100 * ends['low']:.1f}, {100 * ends['high']:.1f}]"


def _ends(ends: Json) -> str:
    return f"{value(ends['mean'], 4)} [{value(ends['low'], 4)}, {value(ends['high'], 4)}]"
