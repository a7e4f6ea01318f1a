"""What an ablation came to: who won, learning curves, what each arm selected and cost, where the figures are from."""

from typing import Any

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.bands import Band, band_chart, band_of_seeds
from raypipe.report.charts.figure import SERIES
from raypipe.report.charts.forest import ForestRow, forest_chart
from raypipe.report.numbers.read import Json, RunFiles
from raypipe.report.page import cells
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import cost, count, duration, fraction, value

CONTROLS = ("random", "full")
MAX_ROWS = 200
"""Trials in the table."""
Named = tuple[str, Json]


def ablation(files: RunFiles) -> Panel:
    """A part for each ablation of the run."""
    return panel("ablation", "Ablation", "ablation.html", parts=[_part(*of) for of in files.ablations.items()])


def _part(name: str, found: Json) -> dict[str, Any]:
    failed = sum(trial["status"] == "failed" for trial in found["trials"])
    judged = [one for one in found["comparisons"] if one["effect"]]
    said = f"{len(found['order'])} arms, {found['seeds']} seeds; {failed} failed"
    return {
        "name": name,
        "said": verdict(found),
        "tiles": [
            ("trials", count(len(found["trials"])), said),
            ("tokens a trial", count(found["trained_tokens"]), "the same for every arm"),
            ("judged on", count(found["heldout_documents"]), "held-out documents, which no arm saw"),
            ("cost", cost(found["seconds"]), f"{duration(found['seconds'])} of trials"),
        ],
        "forest": effects_chart(judged) if judged else None,
        "curves": curves_chart(found),
        "tables": [comparisons_table(found), arms_table(found), selected_table(found), overlap_table(found),
                   domains_table(found)],
        "details": [("Every trial", trials_table(found)), ("Where the figures are from", lineage_table(found))],
    }  # fmt: skip


def verdict(found: Json) -> str:
    """Who won, in a sentence."""
    of = (
        f"by {found['metric']}, paired over seeds, with intervals corrected for {len(found['comparisons'])} comparisons"
    )
    if found["winner"]:
        return f"{found['winner']} is better than its control, {of}."
    return f"No difference shown: no arm is better than a random selection of its size, {of}."


def effects_chart(judged: list[Json]) -> Markup:
    """How much better each arm is than its control."""
    effects = [ForestRow(_pair(one), *(one["effect"][end] for end in ("mean", "low", "high"))) for one in judged]
    return forest_chart(effects, x_name="better than its control by", label="effect of each arm", width=520)


def _pair(one: Json) -> str:
    """An arm, and its control where the name doesn't tell which that is."""
    return f"{one['arm']} / {one['control']}" if one["arm"] == "full" else str(one["arm"])


def curves_chart(found: Json) -> Markup | None:
    """Held-out loss by step of the controls and of the arms that came out best, with the interval over seeds."""
    others = [arm for arm in best_first(found) if found["arms"][arm]["selector"] not in CONTROLS]
    named = [(arm, found["arms"][arm]["curves"]) for arm in [*(a for a in found["order"] if a not in others), *others]]
    bands = [_band(arm, curves) for arm, curves in named if any(len(curve) > 1 for curve in curves)][: len(SERIES)]
    if not bands:
        return None
    return band_chart(bands, x_name="step", y_name="held-out loss", label="held-out loss of each arm", width=520)


def best_first(found: Json) -> list[str]:
    """The arms by the metric that they are judged by; those without it last."""
    means = {arm: of["metrics"].get(found["metric"], [float("inf")])[0] for arm, of in found["arms"].items()}
    return sorted(found["order"], key=lambda arm: means[arm])


def _band(arm: str, curves: list[list[list[float]]]) -> Band:
    steps = sorted({step for curve in curves for step, _ in curve})
    by_seed = np.full((len(curves), len(steps)), np.nan)
    for seed, curve in enumerate(curves):
        for step, loss in curve:
            by_seed[seed, steps.index(step)] = loss
    return band_of_seeds(arm, np.array(steps, float), by_seed)


def comparisons_table(found: Json) -> Markup:
    """Each arm against its control."""
    columns = [
        Column[Json]("arm", lambda one: foreign(one["arm"])),
        Column[Json]("against", lambda one: foreign(one["control"]), is_text=True),
        Column[Json]("better by", lambda one: _of(one, "mean")),
        Column[Json]("interval", lambda one: f"{_of(one, 'low')} to {_of(one, 'high')}" if one["effect"] else "–"),
        Column[Json]("its level", lambda one: fraction(one["level"]) if one["level"] else "–"),
        Column[Json]("p, corrected", lambda one: value(one["p"])),
        Column[Json]("seeds", lambda one: count(one["effect"]["n"]) if one["effect"] else "–"),
        Column[Json]("verdict", lambda one: foreign(one["verdict"]), is_text=True),
        Column[Json]("seeds to see half of it", _needed),
    ]
    return table("Effects against a random selection of the same size", columns, found["comparisons"])


def _of(one: Json, end: str) -> str:
    return value(one["effect"][end], 4) if one["effect"] else "–"


def _needed(one: Json) -> str:
    if one["verdict"] != "no difference shown":
        return "–"
    return "too many" if one["seeds_for_half"] is None else count(one["seeds_for_half"])


def arms_table(found: Json) -> Markup:
    """What each arm came to, what it was trained on, and what it cost; the best first."""
    metric = found["metric"]
    columns = [
        Column[Named]("arm", lambda row: foreign(row[0])),
        Column[Named](metric, lambda row: _mean(row[1]["metrics"].get(metric))),
        Column[Named]("mean of domains", lambda row: _mean(row[1]["metrics"].get("domain_mean"))),
        Column[Named]("training loss", lambda row: _mean(row[1]["metrics"].get("loss"))),
        Column[Named]("documents selected", lambda row: count(row[1]["documents"])),
        Column[Named]("tokens selected", lambda row: count(row[1]["tokens"])),
        Column[Named]("tokens in a pass", lambda row: count(row[1]["pass_tokens"])),
        Column[Named]("passes", lambda row: value(row[1]["passes"])),
        Column[Named]("device-hours", lambda row: cost(row[1]["seconds"])),
    ]
    return table(
        "Arms, mean ± standard deviation over seeds", columns, [(a, found["arms"][a]) for a in best_first(found)]
    )


def _mean(of: list[float | None] | None) -> str:
    if not of:
        return "–"
    return value(of[0], 5) + (f" ± {value(of[1])}" if of[1] is not None else "")


def selected_table(found: Json) -> Markup:
    """Of the tokens that an arm selected, the share of each domain, and the mean length of its documents."""
    arms = [arm for arm in found["order"] if found["arms"][arm]["documents"]]
    names = sorted({name for arm in arms for name in found["arms"][arm]["domains"]})

    def column(arm: str) -> Column[str]:
        """The shares of one arm."""
        of = found["arms"][arm]
        return Column(arm, lambda name: cells.heat(
            of["domains"][name][1] / max(of["tokens"], 1), title=f"{of['domains'][name][0]:,} documents"))  # fmt: skip

    first = Column[str]("domain", lambda name: foreign(name))
    return table("What each arm selected: share of its tokens by domain", [first, *map(column, arms)], names)


def overlap_table(found: Json) -> Markup:
    """Documents that two arms have in common, of those that either has."""
    arms = [arm for arm in found["order"] if found["arms"][arm]["documents"]]
    shared = {frozenset(of["arms"]): float(of["documents"]) for of in found["overlap"]}

    def column(other: str) -> Column[str]:
        """What each arm shares with one."""
        return Column(other, lambda arm: cells.faint("100 %") if arm == other else cells.heat(
            shared.get(frozenset((arm, other)), 0.0)))  # fmt: skip

    first = Column[str]("documents of both, of all that either has", lambda arm: foreign(arm))
    return table("Overlap of the arms", [first, *map(column, arms)], arms)


def domains_table(found: Json) -> Markup:
    """Effects in each domain; there are many comparisons, so an interval has to be far from zero to count."""
    pairs = [(one["arm"], one["control"]) for one in found["comparisons"]]
    by = {(one["domain"], one["arm"], one["control"]): one for one in found["domains"]}

    def column(pair: tuple[str, str]) -> Column[str]:
        """The effects of one arm."""
        name = pair[0] if pair[0] != "full" else f"full / {pair[1]}"
        return Column(name, lambda domain: _in_domain(by[(domain, *pair)]))

    first = Column[str]("domain", lambda domain: foreign(domain))
    names = sorted({one["domain"] for one in found["domains"]})
    said = "Held-out loss by domain: better than its control by; bold where the corrected interval excludes zero"
    return table(said, [first, *map(column, pairs)], names)


def _in_domain(one: Json) -> Markup:
    if not one["effect"]:
        return cells.faint("–")
    shown = value(one["effect"]["mean"], 4)
    title = f"{_of(one, 'low')} to {_of(one, 'high')}, {one['verdict']}"
    is_shown = one["verdict"] in ("better", "worse")
    return Markup("<b>{}</b>").format(f"{shown} {one['verdict']}") if is_shown else cells.faint(shown, title)


def trials_table(found: Json) -> Markup:
    """Each trial with its folder: its model, its journal and the mix that it saw are there."""
    columns = [
        Column[Json]("folder", lambda trial: foreign(trial["name"])),
        Column[Json]("arm", lambda trial: foreign(trial["arm"]), is_text=True),
        Column[Json]("seed", lambda trial: str(trial["seed"])),
        Column[Json]("mix", lambda trial: foreign(trial["mix"]), is_text=True),
        Column[Json](found["metric"], lambda trial: value(trial["metrics"].get(found["metric"]), 5)),
        Column[Json]("steps", lambda trial: count(trial["steps"])),
        Column[Json]("time", lambda trial: duration(trial["seconds"])),
        Column[Json]("status", lambda trial: foreign(trial["error"] or trial["status"], 120), is_text=True),
    ]
    return table("Trials", columns, found["trials"][:MAX_ROWS])


def lineage_table(found: Json) -> Markup:
    """From the figures back to the corpus."""
    columns = [
        Column[Json]("what", lambda row: foreign(row["what"])),
        Column[Json]("where", lambda row: foreign(row["where"], 120), is_text=True),
        Column[Json]("made of", lambda row: foreign(row["made_of"]), is_text=True),
        Column[Json]("of it", lambda row: foreign(_facts(row["known"]), 300), is_text=True),
    ]
    return table("From the figures back to the corpus", columns, found["lineage"])


def _facts(known: Json) -> str:
    return ", ".join(f"{name} {of}" for name, of in known.items())
