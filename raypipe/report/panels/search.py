"""What a search over settings came to: every trial, learning curves, which settings mattered, what it cost."""

from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.curves import thinned
from raypipe.report.charts.figure import ACCENT, LOUD, SOFT, draw, words
from raypipe.report.numbers.read import Json, RunFiles
from raypipe.report.page import cells
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import cost, count, duration, fraction, value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CURVES = 60
"""Trials whose curves are drawn, the best."""
MAX_ROWS = 200
"""Trials in the table, the best."""
Share = tuple[str, float]


def search(files: RunFiles) -> Panel:
    """A part for each search of the run."""
    return panel("search", "Search", "search.html", parts=[_part(*found) for found in files.searches.items()])


def _part(name: str, found: Json) -> dict[str, Any]:
    trials = found["trials"]
    stopped = sum(trial["status"] == "stopped" for trial in trials)
    failed = sum(trial["status"] == "failed" for trial in trials)
    end = "lowest" if found["mode"] == "min" else "highest"
    best = next((trial for trial in trials if trial["status"] == "finished"), None)
    n_more = len(trials) - MAX_ROWS
    return {
        "name": name,
        "said": f"{found['job']} by the {end} {found['metric']}; settings by {found['search']}"
        + (", stopped early by ASHA." if found["asha"] else "."),
        "tiles": [
            ("trials", count(len(trials)), f"{count(stopped)} stopped early, {count(failed)} failed"),
            ("best", value(best["metrics"][found["metric"]], 4) if best else "–", str(found["metric"])),
            ("steps", count(found["steps"]), "of all trials together"),
            ("cost", cost(found["seconds"]), f"{duration(found['seconds'])} of training"),
        ],
        "chart": _curves(found),
        "importance": _importance(found["importance"]),
        "trials": _trials(found),
        "rest": f"{count(n_more)} worse trials aren't shown." if n_more > 0 else "",
    }


def _curves(found: Json) -> Markup | None:
    """The metric of each trial by step; the best one's stands out, those that were stopped are pale."""
    trials = [trial for trial in found["trials"] if len(trial["curve"]) > 1][:MAX_CURVES]
    if not trials:
        return None

    def paint(axes: "Axes") -> None:
        """The best last, over the others."""
        for at in range(len(trials) - 1, -1, -1):
            step, metric = np.array(trials[at]["curve"], np.float64).T
            colour = LOUD if at == 0 else ACCENT if trials[at]["status"] == "finished" else SOFT
            axes.plot(*thinned(step, metric), color=colour, linewidth=2 if at == 0 else 1, alpha=1 if at == 0 else 0.5)
        axes.set_xlabel("step")
        axes.set_ylabel(words(found["metric"]))

    return draw(f"{found['metric']} of each trial by step", paint, width=520, height=240)


def _importance(shares: dict[str, float]) -> Markup | None:
    if not shares:
        return None
    highest = max(shares.values())
    columns = [
        Column[Share]("setting", lambda row: foreign(row[0])),
        Column[Share]("share of the variance", lambda row: cells.bar(row[1], highest, fraction(row[1])), is_text=True),
    ]
    return table("Which settings mattered, by fANOVA over the trials that finished", columns, shares.items())


def _trials(found: Json) -> Markup:
    metric = found["metric"]
    columns = [
        Column[Json]("trial", lambda trial: foreign(trial["name"])),
        *(_setting(name) for name in found["settings"]),
        Column[Json]("seed", lambda trial: str(trial["seed"])),
        Column[Json](metric, lambda trial: value(trial["metrics"].get(metric), 4)),
        Column[Json]("steps", lambda trial: count(trial["steps"])),
        Column[Json]("time", lambda trial: duration(trial["seconds"])),
        Column[Json]("status", lambda trial: foreign(trial["error"] or trial["status"], 120), is_text=True),
    ]
    return table("Every trial, the best first", columns, found["trials"][:MAX_ROWS])


def _setting(name: str) -> Column[Json]:
    return Column(name, lambda trial: foreign(_plain(trial["settings"].get(name))))


def _plain(setting: object) -> str:
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)
