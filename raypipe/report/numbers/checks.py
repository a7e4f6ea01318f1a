"""What speaks for and against trusting a run's scores: each check with its value and its bar.

Sources of the bars: Hua et al., AttentionInfluence, arXiv 2505.07293, and the traps measured around it: influence
copies what a cheap baseline orders (rank correlation above 0.8), rewards repetition, and depends on heads that a causal
check has to confirm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raypipe.report.numbers.measures import BASELINES, MIN_ROWS, Correlation, medians
from raypipe.report.numbers.read import Json
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.words import count, formats_compared, fraction, listed, signed, value

Level = Literal["warning", "note", "passed"]

ALONE = {"loss": ("selection-lowest-loss", "the lowest loss"), "length": ("selection-longest", "length")}
"""By baseline, the arm that takes documents by it alone."""
MIN_SHARED = 5
"""Selected documents from which on a domain's share is worth a word."""
MAX_CORRELATION = 0.8
MAX_DUPLICATES = 0.01
MAX_REPEATED_LINES = 0.3
MIN_FORMAT_CORRELATION = 0.99
MIN_POSITIVE = 0.95
MAX_SKIPPED = 0.05
MAX_TRUNCATED = 0.2


@dataclass(frozen=True)
class Finding:
    """The outcome of one check. Texts may name domains and reasons of the corpus: escape them."""

    level: Level
    title: str
    detail: str


def findings(numbers: Numbers) -> list[Finding]:
    """All checks that the run allows: warnings first, then notes, then what passed."""
    parts = (_state, _cards, _heads, _controls, _number_format, _columns)
    every = [finding for part in parts for finding in part(numbers)]
    return sorted(every, key=lambda finding: ("warning", "note", "passed").index(finding.level))


def _state(numbers: Numbers) -> Iterator[Finding]:
    status = numbers.files.run.get("status")
    if status not in (None, "finished"):
        yield Finding("warning", f"The run is {status}", "The numbers below cover what is written so far.")
    for stage, card in numbers.files.cards.items():
        if card.get("status") == "incomplete" and not card.get("set_aside"):
            yield Finding("warning", f"{stage} is incomplete", "Run the same command again to go on.")
        for shard, reason in list(card.get("set_aside", {}).items())[:5]:
            yield Finding("warning", f"{stage}: shard {shard} was set aside", f"{reason}. Its rows are missing here.")
        if (n_more := len(card.get("set_aside", {})) - 5) > 0:
            yield Finding("warning", f"{stage}: {count(n_more)} more shards were set aside", f"See {stage}/card.json.")


def _cards(numbers: Numbers) -> Iterator[Finding]:
    for stage, card in numbers.files.cards.items():
        for warning in card.get("warnings", []):
            yield Finding("warning", f"From {stage}", str(warning))
    for arm, problem in numbers.rows.problems.items():
        yield Finding("warning", f"{arm} is left out", f"{problem}. Run select_corpus again.")


def _heads(numbers: Numbers) -> Iterator[Finding]:
    if numbers.files.scores_card.get("identity", {}).get("heads") and not used_heads(numbers):
        yield Finding("note", "The heads file of these scores isn't in the run", "Its causal check can't be shown.")
    for name, record in used_heads(numbers).items():
        check = record.get("causal_check")
        if not check:
            yield Finding(
                "warning", f"The heads of {name}.json were never checked", "The heads file has no causal check."
            )
            continue
        failed = [rule["rule"] for rule in check.get("rules", []) if not rule.get("passed")]
        if check.get("passed"):
            yield Finding("passed", f"The heads of {name}.json pass the causal check", _rises(check))
        else:
            detail = f"Failed: {listed(failed, 4)}. The scores below may measure nothing but damage."
            yield Finding("warning", f"The heads of {name}.json are weak", detail)


def _rises(check: Json) -> str:
    intact, chosen = check["intact"]["loss"], check["chosen"]["loss"]
    draws = [draw["loss"] - intact for draw in check.get("draws", [])]
    beside = f"; random draws by {value(float(np.median(draws)))}, at most {value(max(draws))}" if draws else ""
    n_probes = count(check.get("n_probes", 0))
    return (
        f"Neutralised, they raise the loss of answers on {n_probes} fresh probes by {value(chosen - intact)}{beside}."
    )


def _controls(numbers: Numbers) -> Iterator[Finding]:
    """What was tried live, on documents of this corpus, by score/controls.py."""
    for control in numbers.files.run.get("controls", []):
        title = f"Control: {control['control']}"
        detail = f"{value(control['value'])} (bar {value(control['bar'])}), on documents of this corpus."
        yield Finding("passed" if control["passed"] else "warning", title, detail)


def _number_format(numbers: Numbers) -> Iterator[Finding]:
    """What 8-bit floats did to the order, as measured before the first shard."""
    for found in numbers.files.scores_card.get("number_format", []):
        holds = found["rank_correlation"] >= MIN_FORMAT_CORRELATION
        yield Finding(
            "passed" if holds else "warning",
            "8-bit floats keep the order" if holds else "8-bit floats change the order",
            f"{formats_compared(found)} (bar {MIN_FORMAT_CORRELATION})."
            f"{'' if holds else ' Score with --dtype bfloat16.'}",
        )


def used_heads(numbers: Numbers) -> dict[str, Json]:
    """The heads files whose heads the scores neutralised; all of the run folder where no card tells."""
    identity, heads = numbers.files.scores_card.get("identity", {}), numbers.files.heads
    if not identity.get("heads"):
        return heads if not numbers.files.scores_card else {}
    wanted = sorted(map(list, identity["heads"]))
    return {name: record for name, record in heads.items() if sorted(map(list, record["chosen"])) == wanted}


def _columns(numbers: Numbers) -> Iterator[Finding]:
    if numbers.rows.is_empty:
        return
    yield _accounted(numbers)
    yield from _correlations(numbers)
    yield _duplicates(numbers)
    if np.isfinite(numbers.rows.kept["repeated_lines"]).any():
        yield _repetition(numbers)
    if np.isfinite(numbers.rows.kept["loss_masked"]).any():
        yield _positive(numbers)
    yield _skipped(numbers)
    if numbers.rows.counts["truncated"].sum() > MAX_TRUNCATED * numbers.rows.counts["scored"].sum():
        yield _truncated(numbers)


def _accounted(numbers: Numbers) -> Finding:
    rows, scored = (int(numbers.rows.counts[name].sum()) for name in ("rows", "scored"))
    skipped = sum(numbers.rows.reasons.values())
    counts = numbers.files.scores_card.get("counts", {})
    said = int(counts.get("rows", rows))
    sums = f"{count(rows)} rows = {count(scored)} scored + {count(skipped)} skipped"
    if rows == scored + skipped and said == rows:
        return Finding("passed", "Every row is accounted for", f"{sums}, each skipped one with a reason.")
    detail = f"The reader counted {count(said)} rows; the files hold {sums}."
    return Finding("warning", "Rows are missing", f"{detail} A stage that still runs catches up; a finished one won't.")


def _correlations(numbers: Numbers) -> Iterator[Finding]:
    of = numbers.rows.scored_by.better_name
    for correlation in numbers.correlations:
        yield _correlation(numbers, correlation, of)
        if abs(correlation.pooled) > MAX_CORRELATION and not abs(correlation.mean_within) > MAX_CORRELATION:
            title = f"Over all domains together {of} follows {BASELINES[correlation.baseline]} "
            detail = "Compare scores inside a domain only. Ranks are made inside domains, so selection isn't touched."
            yield Finding("note", f"{title}({signed(correlation.pooled)})", detail)
    for correlation in numbers.rank_correlations:
        finding = _correlation(numbers, correlation, "the adjusted rank")
        if finding.level == "warning":
            yield finding


def _correlation(numbers: Numbers, correlation: Correlation, of: str) -> Finding:
    domains, shared = numbers.rows.domains, _shared(numbers, correlation.baseline)
    name = BASELINES[correlation.baseline]
    mean, strong = correlation.mean_within, correlation.strong_domains(MAX_CORRELATION)
    if abs(correlation.pooled) > 1 - 1e-9:
        detail = (
            f"It orders the documents of all domains together exactly as {name} does: it is {name} in another form."
        )
        return Finding("note", f"{of[0].upper()}{of[1:]} is {name}", detail)
    if not strong and not abs(mean) > MAX_CORRELATION:
        none = f"no domain of {MIN_ROWS} documents or more is beyond ±{MAX_CORRELATION}"
        detail = f"Rank correlation within domains {signed(mean)} on average; {none}.{shared}"
        return Finding("passed", f"{of[0].upper()}{of[1:]} is more than {name}", detail)
    named = [f"{domains[number]} {signed(correlation.within[number])}" for number in strong]
    where = f" in {listed(named, 6)}" if named else ""
    detail = f"Rank correlation{where} (mean within domains {signed(mean)}, bar ±{MAX_CORRELATION}): "
    remedy = f"the score then only rebuilds that baseline. Try --adjust {_adjust(correlation.baseline)}.{shared}"
    return Finding("warning", f"{of[0].upper()}{of[1:]} follows {name}", detail + remedy)


def _shared(numbers: Numbers, baseline: str) -> str:
    """How much of the selection a baseline alone would have taken, domain by domain; nothing without its arm."""
    arm, taken_by = ALONE.get(baseline, ("", ""))
    rows = numbers.rows
    if arm not in rows.arms or not (n := int(rows.arm_documents[0].sum())):
        return ""
    shared, selected = rows.shared[rows.arms.index(arm)], rows.arm_documents[0]
    said = (
        f" Of the selection, {fraction(shared.sum() / n)} are documents that {taken_by} alone takes in the same domains"
    )
    shares = {int(at): shared[at] / selected[at] for at in np.flatnonzero(selected >= MIN_SHARED)}
    if len(shares) < 2:
        return f"{said}."
    low, high = (pick(shares, key=lambda at: shares[at]) for pick in (min, max))
    span = [f"{fraction(shares[at])} in {rows.domains[at]}" for at in (low, high)]
    return f"{said}, from {' to '.join(span)}."


def _adjust(baseline: str) -> str:
    return "zlib" if baseline == "zlib_ratio" else baseline


def _duplicates(numbers: Numbers) -> Finding:
    share = fraction(numbers.duplicates)
    if numbers.duplicates <= MAX_DUPLICATES:
        return Finding("passed", "Few exact duplicates", f"{share} of scored rows repeat an earlier row (bar 1 %).")
    detail = f"{share} of scored rows repeat the text of an earlier row (bar 1 %). Of these selection takes one copy, "
    return Finding(
        "warning", "Many exact duplicates", f"{detail}but near-duplicates are likely too: de-duplicate first."
    )


def _repetition(numbers: Numbers) -> Finding:
    median = medians(numbers.rows.kept["repeated_lines"], list(numbers.groups))
    high = [number for number in np.argsort(-median) if median[number] > MAX_REPEATED_LINES]
    if not high:
        detail = (
            f"The median share of repeated lines is at most {fraction(np.nanmax(median))} in every domain (bar 30 %)."
        )
        return Finding("passed", "Domains aren't repetitive", detail)
    named = [f"{numbers.rows.domains[number]} {fraction(median[number])}" for number in high]
    detail = f"Median share of repeated lines above 30 %: {listed(named, 6)}. Scores of a model can reward repetition; "
    return Finding("warning", "Repetitive domains", f"{detail}look at their highest documents below before using them.")


def _positive(numbers: Numbers) -> Finding:
    loss, masked = (numbers.rows.kept[name] for name in ("loss", "loss_masked"))
    known = np.isfinite(loss) & np.isfinite(masked)
    share = float((masked > loss)[known].mean()) if known.any() else 0.0
    text = f"Neutralising the heads raises the loss of {fraction(share)} of documents"
    if share >= MIN_POSITIVE:
        return Finding("passed", "Neutralised heads raise the loss nearly everywhere", f"{text} (bar 95 %).")
    detail = f"{text} only (bar 95 %): the heads do little for this text, and the order is close to noise."
    return Finding("warning", "Neutralised heads often lower the loss", detail)


def _skipped(numbers: Numbers) -> Finding:
    total, skipped = int(numbers.rows.counts["rows"].sum()), sum(numbers.rows.reasons.values())
    share = skipped / max(total, 1)
    reasons = listed([f"{reason} ({count(n)})" for reason, n in numbers.rows.reasons.most_common(4)], 4)
    detail = f"{count(skipped)} of {count(total)} rows ({fraction(share)})" + (f": {reasons}." if skipped else ".")
    if share > MAX_SKIPPED:
        return Finding("warning", "Many rows were skipped", detail)
    return Finding("passed", "Few rows were skipped", detail)


def _truncated(numbers: Numbers) -> Finding:
    share = numbers.rows.counts["truncated"].sum() / max(numbers.rows.counts["scored"].sum(), 1)
    seen = numbers.rows.counts["tokens"].sum() / max(numbers.rows.counts["tokens_total"].sum(), 1)
    detail = (
        f"{fraction(share)} of documents are longer than the scored window; {fraction(seen)} of all tokens were seen."
    )
    return Finding("note", "Only the beginnings of long documents were scored", detail)
