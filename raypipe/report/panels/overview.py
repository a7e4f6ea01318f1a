"""The top of the page: what happened, in a sentence and in figures, and whether to trust it."""

from collections.abc import Iterator

from raypipe.report.numbers.checks import Finding, findings
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.markup import Html, element, foreign, joined
from raypipe.report.panels.sections import section
from raypipe.report.words import count, duration, fraction

SIGNS = {"warning": "▲ Warning", "note": "● Note", "passed": "✓ Passed"}


def overview(numbers: Numbers) -> Html:
    """The first section."""
    found = findings(numbers)
    return section(
        "summary", "Summary", element("p", _sentence(numbers), class_="lead"), _tiles(numbers), _trust(found)
    )


def _sentence(numbers: Numbers) -> Html:
    rows = numbers.rows
    if rows.is_empty:
        return joined(["Nothing is scored yet."])
    n_rows, scored, n = count(rows.counts["rows"].sum()), count(rows.counts["scored"].sum()), len(rows.domains)
    model = foreign(numbers.files.model, max_chars=120)
    domains = f"{count(n)} domain{'' if n == 1 else 's'}"
    text = joined([f"{scored} of {n_rows} rows in {domains} were scored with the model ", model])
    if not rows.arms:
        return joined([text, "; nothing is selected yet."])
    documents, tokens = rows.arm_documents[0].sum(), rows.arm_tokens[0].sum()
    share = fraction(tokens / max(rows.counts["tokens_total"].sum(), 1))
    return joined([text, f"; {count(documents)} documents with {share} of all tokens were selected."])


def _tiles(numbers: Numbers) -> Html:
    drawn = [
        element("div", element("dt", name), element("dd", figure), element("dd", note, class_="small"))
        for name, figure, note in [*_row_tiles(numbers), *_speed_tiles(numbers), *_selection_tiles(numbers)]
    ]
    return element("dl", drawn, class_="tiles")


def _row_tiles(numbers: Numbers) -> Iterator[tuple[str, str, str]]:
    if (rows := numbers.rows).is_empty:
        return
    n = {name: count(values.sum()) for name, values in rows.counts.items()}
    yield "rows in", n["rows"], f"{n['scored']} scored + {count(sum(rows.reasons.values()))} skipped"
    yield "tokens scored", n["tokens"], f"of {n['tokens_total']} in the documents"


def _speed_tiles(numbers: Numbers) -> Iterator[tuple[str, str, str]]:
    card = numbers.files.scores_card
    times, padding = card.get("times", {}), card.get("counts", {}).get("padding_fraction")
    if times.get("tokens_per_s") is not None:
        note = f"{fraction(padding)} padding" if padding is not None else ""
        yield "tokens per second", count(times["tokens_per_s"]), note
    if times.get("wall_s") is not None:
        yield "scoring time", duration(times["wall_s"]), f"of it start-up {duration(times.get('start_up_s'))}"


def _selection_tiles(numbers: Numbers) -> Iterator[tuple[str, str, str]]:
    rows = numbers.rows
    if rows.arms:
        n_selected, n_eligible = rows.arm_documents[0].sum(), rows.counts["eligible"].sum()
        yield "documents selected", count(n_selected), f"{fraction(n_selected / max(n_eligible, 1))} of the eligible"


def _trust(found: list[Finding]) -> Html:
    n_warnings, n_passed = (sum(finding.level == level for finding in found) for level in ("warning", "passed"))
    warnings = f"{n_warnings or 'No'} warning{'' if n_warnings == 1 else 's'}"
    passed = f"{n_passed} check{'' if n_passed == 1 else 's'} passed"
    title = element("h3", "Can it be trusted? ", element("span", f"{warnings}, {passed}."))
    return element("div", title, element("ul", [_finding(finding) for finding in found], class_="findings"))


def _finding(finding: Finding) -> Html:
    title = element("b", foreign(finding.title, max_chars=200), ".")
    said = element("div", title, " ", foreign(finding.detail, max_chars=600))
    return element("li", element("span", SIGNS[finding.level], class_="sign"), said, class_=finding.level)
