"""The documents of the page: what stands high, in the middle and low, to be read."""

from raypipe.contracts.score import Score
from raypipe.report.numbers.excerpts import KINDS, Excerpt
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.panel import Panel, panel
from raypipe.report.words import count, value


def documents(numbers: Numbers, chosen: dict[int, dict[str, list[Excerpt]]]) -> Panel:
    """The highest, median and lowest documents of each domain, side by side; the first domain is open."""
    domains = [] if numbers.rows.is_empty else [_domain(numbers, number, kinds) for number, kinds in chosen.items()]
    return panel("documents", "Documents", "documents.html", domains=domains)


def headings(score: Score) -> dict[str, str]:
    """What the best, the middle and the worst documents are called."""
    best, worst = ("Highest", "Lowest") if score.higher_is_better else ("Lowest", "Highest")
    named = (f"{best} {score.name}", "Around the median", f"{worst} {score.name}")
    return dict(zip(KINDS, named, strict=True))


def _domain(numbers: Numbers, number: int, kinds: dict[str, list[Excerpt]]) -> dict[str, object]:
    score, n = numbers.rows.scored_by, numbers.rows.counts["scored"][number]
    median = score.sign * numbers.median_score[number]
    return {
        "name": numbers.rows.domains[number],
        "figures": f"{count(n)} documents, median {score.name} {value(median)}",
        "columns": [
            (heading, [_entry(one, score) for one in kinds[kind]]) for kind, heading in headings(score).items()
        ],
    }


def _entry(entry: Excerpt, score: Score) -> dict[str, object]:
    loss = f" · {value(entry.loss)} loss" if score.column != "loss" else ""
    figures = f"{score.name}{loss} · {count(entry.n_tokens)} tokens"
    return {**vars(entry), "score": value(entry.score), "figures": figures}
