"""The documents of the page: what stands high, in the middle and low, to be read."""

from raypipe.contracts.score import Score
from raypipe.report.numbers.excerpts import KINDS, Excerpt
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.markup import Html, element, foreign
from raypipe.report.panels.sections import missing, section
from raypipe.report.words import count, value


def headings(score: Score) -> dict[str, str]:
    """What the best, the middle and the worst documents are called."""
    best, worst = ("Highest", "Lowest") if score.higher_is_better else ("Lowest", "Highest")
    named = (f"{best} {score.name}", "Around the median", f"{worst} {score.name}")
    return dict(zip(KINDS, named, strict=True))


def documents(numbers: Numbers, chosen: dict[int, dict[str, list[Excerpt]]]) -> Html:
    """The highest, median and lowest documents of each domain, side by side; the first domain is open."""
    if numbers.rows.is_empty or not chosen:
        return section("documents", "Documents", missing("No scored documents to show yet."))
    said = "How documents begin that stand at the top, in the middle and at the bottom of their domain. "
    asked = "Would you choose as the score did?"
    domains = [_domain(numbers, number, kinds, is_open=i == 0) for i, (number, kinds) in enumerate(chosen.items())]
    return section("documents", "Documents", element("p", said, asked), domains)


def _domain(numbers: Numbers, number: int, kinds: dict[str, list[Excerpt]], *, is_open: bool) -> Html:
    rows = numbers.rows
    name, median = rows.scored_by.name, rows.scored_by.sign * numbers.median_score[number]
    figures = f"{count(rows.counts['scored'][number])} documents, median {name} {value(median)}"
    title = element("summary", foreign(rows.domains[number]), element("small", figures))
    columns = [_column(kinds[kind], heading, name) for kind, heading in headings(rows.scored_by).items()]
    return element("details", title, element("div", columns, class_="thirds"), open=is_open)


def _column(entries: list[Excerpt], heading: str, score_name: str) -> Html:
    return element("div", element("h4", heading), [_article(entry, score_name) for entry in entries] or ["–"])


def _article(entry: Excerpt, score_name: str) -> Html:
    loss = f" · {value(entry.loss)} loss" if score_name != "loss" else ""
    figures = [element("b", value(entry.score)), f" {score_name}{loss} · {count(entry.n_tokens)} tokens"]
    badge = [element("span", "selected", class_="badge")] if entry.is_selected else []
    if entry.text is None:
        body = element("p", entry.missing, class_="missing")
    else:
        body = element("p", element("bdi", entry.text), "…" if entry.is_cut else "", class_="excerpt", dir="auto")
    return element("article", element("header", figures, badge), body, element("footer", foreign(entry.id)))
