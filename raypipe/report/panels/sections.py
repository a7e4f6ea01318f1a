"""The analytical sections of the page; a part that the run lacks says so and how to get it."""

from collections.abc import Iterable

from raypipe import columns
from raypipe.report.numbers.checks import used_heads
from raypipe.report.numbers.measures import MAX_RANKED
from raypipe.report.numbers.read import Json, read_columns
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.markup import Html, element, foreign, joined
from raypipe.report.panels.distributions import axis_name, distributions
from raypipe.report.panels.head_map import causal_table, chosen_heads, head_map, rules_table, verdict
from raypipe.report.panels.scatters import N_POINTS, correlation_table, scatter_panels
from raypipe.report.panels.selections import arms_table, domain_table, overlap_table, skipped_table
from raypipe.report.panels.throughput import throughput
from raypipe.report.words import count, fraction


def section(anchor: str, title: str | Html, *content: Html | Iterable[Html]) -> Html:
    """A section with its heading."""
    return element("section", element("h2", title), *content, id=anchor)


def missing(text: str) -> Html:
    """What isn't there, and how to get it."""
    return element("p", text, class_="missing")


def caption(text: str) -> Html:
    """A remark under a picture."""
    return element("p", text, class_="caption")


def scores(numbers: Numbers) -> Html:
    """Distributions of the score by domain."""
    rows = numbers.rows
    if rows.is_empty:
        return section("score", "Score by domain", missing("No scores yet: run score_corpus."))
    score = rows.scored_by
    title = joined([foreign(score.name[:1].upper() + score.name[1:]), " by domain"])
    said = (
        f"Documents are ordered by {axis_name(score)}; the {'highest' if score.higher_is_better else 'lowest'} is the "
        "best. Domains differ in level, so documents are ranked inside their domain only."
    )
    n_more = len(rows.domains) - len(numbers.shown)
    rest = [caption(f"{count(n_more)} smaller domains aren't drawn; they count in every total.")] if n_more else []
    return section(
        "score",
        title,
        element("p", foreign(said, max_chars=600)),
        _key(bool(rows.arms)),
        distributions(numbers),
        rest,
        _sampled(numbers),
    )


def _key(has_selection: bool) -> Html:
    entries = [("key-box", "middle half, line from 5 to 95 %"), ("key-median", "median")]
    if has_selection:
        entries.append(("key-threshold", "selected from here on (where selection was a plain cut)"))
    return element("p", [element("span", element("i", class_=sign), said) for sign, said in entries], class_="key")


def _sampled(numbers: Numbers) -> list[Html]:
    if numbers.rows.is_empty or numbers.rows.kept_fraction >= 1:
        return []
    share = fraction(numbers.rows.kept_fraction)
    return [
        missing(
            f"Quantiles, correlations and extremes are those of {share} of the rows, chosen by a hash of the text; "
            "counts are exact."
        )
    ]


def baselines(numbers: Numbers) -> Html:
    """Whether the score says more than length, loss and compressibility."""
    title = "What the score follows"
    if numbers.rows.is_empty or not numbers.correlations:
        return section("baselines", title, missing("No scores to compare yet."))
    of = numbers.rows.scored_by.better_name
    said = (
        "A score that orders documents as a cheap baseline does has only rebuilt that baseline. Read the rows of "
        "single domains, where ranks are made; beyond ±0.8 (▲) nothing new is left. Pale: fewer than 20 documents."
    )
    tables = [correlation_table(numbers, numbers.correlations, f"Spearman rank correlation of {of}")]
    if numbers.rank_correlations:
        adjusted = "The same of the rank that selection used, after its adjustment"
        tables.append(correlation_table(numbers, numbers.rank_correlations, adjusted))
    drawn = (
        f"At most {count(N_POINTS)} documents are drawn, as many from each domain, by a fixed seed; a point beyond a "
        f"scale sits on its edge. ρ is of all documents, of a draw of {count(MAX_RANKED)} where there are more."
    )
    both = element("div", tables, class_="pair")
    return section("baselines", title, element("p", said), both, scatter_panels(numbers), caption(drawn))


def heads(numbers: Numbers) -> Html:
    """The head map and the causal check of every heads file that the scores use."""
    records = used_heads(numbers)
    if not records:
        absent = "No file of the heads that these scores used in this run: only those that neutralise heads need one."
        return section("heads", "Retrieval heads", missing(absent))
    return section("heads", "Retrieval heads", [_heads(name, record) for name, record in records.items()])


def _heads(name: str, record: Json) -> Html:
    check = record.get("causal_check")
    if not check:
        checked = [missing("This heads file was never checked causally.")]
    else:
        outcome = element("p", "Causal check: ", verdict(bool(check.get("passed"))))
        checked = [outcome, causal_table(check), rules_table(check)]
    return element("div", element("p", _heads_origin(name, record)), head_map(record), chosen_heads(record), checked)


def _heads_origin(name: str, record: Json) -> list[str]:
    model, n_probes = record.get("model", {}), record.get("probes", {}).get("n_probes", 0)
    weights = f"weights {str(model.get('sha256', '?'))[:12]}…"
    return [
        element("b", foreign(name)),
        f": {len(record.get('chosen', []))} heads, the top {fraction(record.get('share', 0))}, of ",
        foreign(f"{model.get('ref', '?')} ({model.get('architecture', '?')}, {weights})"),
        f", found on {count(n_probes)} probes. ",
        "Retrieval score: the share of answer tokens at whose place in the prompt a head looks hardest.",
    ]


def selection(numbers: Numbers) -> Html:
    """What was selected from each domain, and how the arms compare."""
    rows = numbers.rows
    if not rows.arms:
        return section("selection", "Selection", missing("Nothing is selected yet: run select_corpus."))
    if len(rows.arms) == 1:
        alone = missing("No control arms to compare with: run select_corpus with them.")
        return section("selection", "Selection", domain_table(numbers), alone)
    return section("selection", "Selection", domain_table(numbers), arms_table(numbers), overlap_table(numbers))


def accounting(numbers: Numbers) -> Html:
    """Skipped rows by reason, and throughput over time."""
    rows = numbers.rows
    if rows.is_empty:
        return section("rows", "Rows and throughput", missing("No rows yet."))
    skipped = skipped_table(numbers, _example_ids(numbers)) if rows.reasons else element("p", "No row was skipped.")
    return section("rows", "Rows and throughput", skipped, throughput(numbers.files))


def _example_ids(numbers: Numbers) -> dict[str, str]:
    rows, files = numbers.rows, numbers.files
    ids = {}
    for reason, _ in rows.reasons.most_common(20):
        file, row = rows.examples[reason]
        name = f"{files.scores_stage}/{files.tables[files.scores_stage][file]}"
        ids[reason] = str(read_columns(files.folder, name, (columns.ID,))[columns.ID][row].as_py())
    return ids
