"""The top of the page: what happened, in a sentence and in figures, and whether to trust it."""

from collections.abc import Iterator

from markupsafe import Markup

from raypipe.report.numbers.checks import Finding, findings
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign, joined
from raypipe.report.words import cost, count, duration, fraction

SIGNS = {"warning": "▲ Warning", "note": "● Note", "passed": "✓ Passed"}
Tile = tuple[str, str, str]


def summary(numbers: Numbers) -> Panel:
    """The first panel."""
    found = findings(numbers)
    return panel(
        "summary", "Summary", "summary.html",
        lead=_sentence(numbers),
        tiles=[*_row_tiles(numbers), *_speed_tiles(numbers), *_selection_tiles(numbers)],
        trusted=_trusted(found), findings=found, signs=SIGNS,
    )  # fmt: skip


def _sentence(numbers: Numbers) -> Markup:
    rows = numbers.rows
    if rows.is_empty:
        return joined("Nothing is scored yet.")
    n_rows, scored, n = count(rows.counts["rows"].sum()), count(rows.counts["scored"].sum()), len(rows.domains)
    domains = f"{count(n)} domain{'' if n == 1 else 's'}"
    text = joined(f"{scored} of {n_rows} rows in {domains} were scored with ", foreign(numbers.files.model, 120))
    if not rows.arms:
        return joined(text, "; nothing is selected yet.")
    documents, tokens = rows.arm_documents[0].sum(), rows.arm_tokens[0].sum()
    share = fraction(tokens / max(rows.counts["tokens_total"].sum(), 1))
    return joined(text, f"; {count(documents)} documents with {share} of all tokens were selected.")


def _row_tiles(numbers: Numbers) -> Iterator[Tile]:
    if (rows := numbers.rows).is_empty:
        return
    n = {name: count(values.sum()) for name, values in rows.counts.items()}
    yield "rows in", n["rows"], f"{n['scored']} scored + {count(sum(rows.reasons.values()))} skipped"
    yield "tokens scored", n["tokens"], f"of {n['tokens_total']} in the documents"


def _speed_tiles(numbers: Numbers) -> Iterator[Tile]:
    card = numbers.files.scores_card
    times, padding = card.get("times", {}), card.get("counts", {}).get("padding_fraction")
    if times.get("tokens_per_s") is not None:
        note = f"{fraction(padding)} padding" if padding is not None else ""
        yield "tokens per second", count(times["tokens_per_s"]), note
    if times.get("wall_s") is not None:
        yield "scoring time", duration(times["wall_s"]), f"of it start-up {duration(times.get('start_up_s'))}"
    n_scored = 0 if numbers.rows.is_empty else int(numbers.rows.counts["scored"].sum())
    if times.get("busy_s") and n_scored:
        million = cost(times["busy_s"] * 1e6 / n_scored)
        yield "device-hours", cost(times["busy_s"]), f"{million} for a million documents like these"


def _selection_tiles(numbers: Numbers) -> Iterator[Tile]:
    rows = numbers.rows
    if rows.arms:
        n_selected, n_eligible = rows.arm_documents[0].sum(), rows.counts["eligible"].sum()
        yield "documents selected", count(n_selected), f"{fraction(n_selected / max(n_eligible, 1))} of the eligible"


def _trusted(found: list[Finding]) -> str:
    n_warnings, n_passed = (sum(finding.level == level for finding in found) for level in ("warning", "passed"))
    warnings = f"{n_warnings or 'No'} warning{'' if n_warnings == 1 else 's'}"
    return f"{warnings}, {n_passed} check{'' if n_passed == 1 else 's'} passed."
