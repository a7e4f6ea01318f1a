"""Tokens per second over the time of the scoring stage, from the progress files."""

from datetime import datetime

import numpy as np

from raypipe.report.charts.axis import Axis, bottom_labels, grid_lines, left_labels, path, shapes
from raypipe.report.numbers.read import Json, RunFiles, read_progress
from raypipe.report.page.markup import Html, element
from raypipe.report.words import count, duration, fraction

MIN_POINTS = 5
MAX_POINTS = 600


def throughput(files: RunFiles) -> Html:
    """What the card says of speed, and its course where progress files tell enough."""
    times, counts = files.scores_card.get("times", {}), files.scores_card.get("counts", {})
    parts = [
        f"{count(times['tokens_per_s'])} tokens/s" if times.get("tokens_per_s") is not None else "",
        f"{fraction(counts['padding_fraction'])} of computed positions were padding"
        if "padding_fraction" in counts
        else "",
        f"start-up {duration(times['start_up_s'])}" if times.get("start_up_s") is not None else "",
        f"workers busy {duration(times['busy_s'])} in all" if times.get("busy_s") is not None else "",
        f"wall time {duration(times['wall_s'])}" if times.get("wall_s") is not None else "",
    ]
    said = "; ".join(part for part in parts if part)
    return element(
        "div", element("p", said) if said else "", _course([e for e in read_progress(files) if _tells(e, files)])
    )


def _tells(entry: Json, files: RunFiles) -> bool:
    return (
        entry.get("stage") == files.scores_stage and entry.get("tokens_per_s") is not None and bool(entry.get("time"))
    )


def _course(entries: list[Json]) -> Html:
    if len(entries) < MIN_POINTS:
        return Html("")
    entries = entries[:: -(-len(entries) // MAX_POINTS)]
    seconds = np.array([_seconds(entry["time"]) for entry in entries])
    speed = np.array([float(entry["tokens_per_s"]) for entry in entries])
    unit, divisor = ("minutes", 60.0) if seconds[-1] - seconds[0] < 2 * 3600 else ("hours", 3600.0)
    elapsed = (seconds - seconds[0]) / divisor
    if elapsed[-1] <= 0 or speed.max() <= 0:
        return Html("")
    x, y = Axis(0, float(elapsed[-1])), Axis(0, float(speed.max()) * 1.1)
    curve = path(np.stack([x.place(elapsed), y.place(speed)], axis=1), class_="curve")
    drawing = shapes(*grid_lines(x, y, n_x=6), curve, label="tokens per second over time")
    return element(
        "figure",
        element("div", left_labels(y, 3), drawing, class_="panel"),
        bottom_labels(x, 6),
        element("figcaption", element("span", "tokens per second", class_="up"), f" by {unit} since the first report"),
        class_="course",
    )


def _seconds(time: object) -> float:
    return float(time) if isinstance(time, (int, float)) else datetime.fromisoformat(str(time)).timestamp()
