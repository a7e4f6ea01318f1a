"""What became of the rows: skipped ones by reason, how long documents are, tokens per second over time."""

from datetime import datetime

import numpy as np
from markupsafe import Markup

from raypipe import columns
from raypipe.report.charts.axis import Axis
from raypipe.report.charts.curves import Curve, curve_chart
from raypipe.report.charts.histogram import histogram_chart
from raypipe.report.numbers.gather import LENGTHS
from raypipe.report.numbers.read import Json, RunFiles, read_columns, read_progress
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page import cells
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count, duration, fraction

MIN_POINTS, MAX_POINTS = 5, 600
MAX_REASONS = 20
Reason = tuple[str, int, str]
"""What it says, its rows, the id of the first."""


def rows(numbers: Numbers) -> Panel:
    """Skipped rows, lengths and speed."""
    if numbers.rows.is_empty:
        return panel("rows", "Rows and throughput", "rows.html", is_empty=True)
    files = numbers.files
    entries = [entry for entry in read_progress(files) if _tells(entry, files)]
    return panel(
        "rows", "Rows and throughput", "rows.html",
        is_empty=False, skipped=skipped_table(numbers), speed=_speed(files.scores_card), lengths=_lengths(numbers),
        course=_course(entries),
    )  # fmt: skip


def skipped_table(numbers: Numbers) -> Markup | None:
    """Skipped rows by reason, with the id of the first one; None where no row was skipped."""
    found = numbers.rows.reasons
    if not found:
        return None
    total, most = sum(found.values()), max(found.values())
    listed: list[Reason] = [(reason, n, _first_id(numbers, reason)) for reason, n in found.most_common(MAX_REASONS)]
    rest = total - sum(n for _, n, _ in listed)
    more: list[Reason] = [(f"{len(found) - MAX_REASONS} more reasons", rest, "")] if rest else []
    return table(
        "Skipped rows by reason",
        [
            Column[Reason]("reason", lambda row: foreign(row[0], 160)),
            Column[Reason]("rows", lambda row: cells.bar(row[1], most, count(row[1]))),
            Column[Reason]("share", lambda row: fraction(row[1] / total)),
            Column[Reason]("first such row", lambda row: foreign(row[2]), is_text=True),
        ],
        listed + more,
    )


def _first_id(numbers: Numbers, reason: str) -> str:
    files, (file, row) = numbers.files, numbers.rows.examples[reason]
    name = f"{files.scores_stage}/{files.tables[files.scores_stage][file]}"
    return str(read_columns(files.folder, name, (columns.ID,))[columns.ID][row].as_py())


def _speed(card: Json) -> str:
    """What the card says of speed."""
    times, counts = card.get("times", {}), card.get("counts", {})
    parts = [
        f"{count(times['tokens_per_s'])} tokens/s" if times.get("tokens_per_s") is not None else "",
        f"{fraction(counts['padding_fraction'])} of computed positions were padding"
        if "padding_fraction" in counts
        else "",
        f"start-up {duration(times['start_up_s'])}" if times.get("start_up_s") is not None else "",
        f"workers busy {duration(times['busy_s'])} in all" if times.get("busy_s") is not None else "",
        f"wall time {duration(times['wall_s'])}" if times.get("wall_s") is not None else "",
    ]
    return "; ".join(part for part in parts if part)


def _lengths(numbers: Numbers) -> dict[str, object] | None:
    """Documents by their whole length, and those selected among them; None where no document has a length."""
    found, part = numbers.rows.lengths, numbers.rows.selected_lengths
    there = np.flatnonzero(found[1:]) + 1  # a logarithm has no room for nothing
    if not len(there):
        return None
    first, last = int(there[0]), int(there[-1]) + 1
    edges = np.append(LENGTHS, 2 * LENGTHS[-1])[first : last + 1]
    n_selected = int(part.sum())
    chart = histogram_chart(
        edges, found[first:last], part[first:last] if n_selected else None, x_name="tokens of the whole document",
        names=("scored", "selected"), label="documents by length",
    )  # fmt: skip
    return {"chart": chart, "note": f"{count(found.sum())} documents, {count(n_selected)} selected"}


def _tells(entry: Json, files: RunFiles) -> bool:
    is_scoring = entry.get("stage") == files.scores_stage
    return is_scoring and entry.get("tokens_per_s") is not None and bool(entry.get("time"))


def _course(entries: list[Json]) -> dict[str, object] | None:
    """Tokens per second over time, where progress files tell enough."""
    if len(entries) < MIN_POINTS:
        return None
    entries = entries[:: -(-len(entries) // MAX_POINTS)]
    seconds = np.array([_seconds(entry["time"]) for entry in entries])
    speed = np.array([float(entry["tokens_per_s"]) for entry in entries])
    unit, divisor = ("minutes", 60.0) if seconds[-1] - seconds[0] < 2 * 3600 else ("hours", 3600.0)
    elapsed = (seconds - seconds[0]) / divisor
    if elapsed[-1] <= 0 or speed.max() <= 0:
        return None
    x, y = Axis(0, float(elapsed[-1])), Axis(0, float(speed.max()) * 1.1)
    chart = curve_chart(x, y, [Curve(elapsed, speed).smooth], name="tokens per second", by=unit, width=350, height=180)
    return {"chart": chart, "note": "since the first report"}


def _seconds(time: object) -> float:
    return float(time) if isinstance(time, (int, float)) else datetime.fromisoformat(str(time)).timestamp()
