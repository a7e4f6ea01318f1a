"""What was selected: by domain, and by arm against its controls."""

import numpy as np

from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.markup import Html, element, foreign, table
from raypipe.report.panels.distributions import clean_threshold
from raypipe.report.panels.head_map import bar
from raypipe.report.words import count, fraction, value


def domain_table(numbers: Numbers) -> Html:
    """Rows, eligible, held out, selected, tokens and threshold of each domain, and in all."""
    rows = numbers.rows
    shown, n = numbers.shown, len(rows.domains)
    others = [number for number in range(n) if number not in set(shown)]
    lines = [
        [foreign(rows.domains[number]), *_cells(numbers, [number]), _threshold(numbers, number)] for number in shown
    ]
    if others:
        lines.append([f"{count(len(others))} smaller domains", *_cells(numbers, others), "–"])
    total = [element("strong", cell) for cell in ("all", *_cells(numbers, list(range(n))), "")]
    headers = ["domain", "rows", "eligible", "held out", "selected", "of eligible", "tokens selected", "of tokens",
               "of all selected tokens", "threshold"]  # fmt: skip
    return table(headers, [*lines, total], caption="Selection by domain")


def _cells(numbers: Numbers, domains: list[int]) -> list[str]:
    rows = numbers.rows
    n_rows, eligible, heldout, tokens = (
        int(rows.counts[name][domains].sum()) for name in ("rows", "eligible", "heldout", "tokens_total")
    )
    selected, selected_tokens = int(rows.arm_documents[0][domains].sum()), int(rows.arm_tokens[0][domains].sum())
    return [
        count(n_rows), count(eligible), count(heldout), count(selected), fraction(selected / max(eligible, 1)),
        count(selected_tokens), fraction(selected_tokens / max(tokens, 1)),
        fraction(selected_tokens / max(int(rows.arm_tokens[0].sum()), 1)),
    ]  # fmt: skip


def _threshold(numbers: Numbers, number: int) -> str:
    threshold = clean_threshold(numbers, number)
    return "–" if threshold is None else value(threshold)


def arms_table(numbers: Numbers) -> Html:
    """Each arm with what it took: documents, tokens, and the medians of what they are like."""
    rows = numbers.rows
    chosen = {arm: (rows.kept["arms"] >> bit) & 1 == 1 for bit, arm in enumerate(numbers.files.arms)}
    everything = (
        "all scored documents",
        rows.counts["scored"].sum(),
        rows.counts["tokens_total"].sum(),
        np.isfinite(rows.kept["score"]),
    )
    listed = [
        (arm, rows.arm_documents[place].sum(), rows.arm_tokens[place].sum(), chosen[arm])
        for place, arm in enumerate(rows.arms)
    ]
    beside = [name for name in ("loss", "zlib_ratio") if name in rows.present and name != rows.scored_by.column]
    names = ["score", *beside]
    lines = [
        [foreign(arm), count(documents), count(tokens), fraction(tokens / max(rows.counts["tokens_total"].sum(), 1))]
        + [value(_median(rows.kept[name][mask])) for name in names]
        + [count(tokens / max(documents, 1))]
        for arm, documents, tokens, mask in [*listed, everything]
    ]
    medians = [f"median {name.replace('_', ' ')}" for name in (rows.scored_by.name, *beside)]
    return table(["arm", "documents", "tokens", "of all tokens", *medians, "mean tokens"], lines, caption="Arms")


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def overlap_table(numbers: Numbers) -> Html:
    """Of the documents of one arm (row), the share that another arm (column) selected too."""
    rows = numbers.rows
    share = rows.overlap / np.maximum(np.diag(rows.overlap), 1)[:, None]
    lines = [
        [foreign(arm)] + [_overlap_cell(share[i, j], int(rows.overlap[i, j]), i == j) for j in range(len(rows.arms))]
        for i, arm in enumerate(rows.arms)
    ]
    return table(["of the documents of ↓ also in →", *rows.arms], lines, caption="Overlap of the arms")


def _overlap_cell(share: float, n: int, is_self: bool) -> Html:
    if is_self:
        return element("span", "100 %", class_="faint")
    return element("span", fraction(share), title=f"{n} documents", class_="heat", style=f"--strength:{share:.2f}")


def skipped_table(numbers: Numbers, example_ids: dict[str, str]) -> Html:
    """Skipped rows by reason, with the id of the first one."""
    rows = numbers.rows
    total = sum(rows.reasons.values())
    most = max(rows.reasons.values(), default=0)
    lines = [
        [
            foreign(reason, max_chars=160),
            bar(n, most, count(n)),
            fraction(n / total),
            foreign(example_ids.get(reason, "–")),
        ]
        for reason, n in rows.reasons.most_common(20)
    ]
    if (more := len(rows.reasons) - 20) > 0:
        n_rest = total - sum(n for _, n in rows.reasons.most_common(20))
        lines.append([f"{more} more reasons", "", count(n_rest), fraction(n_rest / total)])
    headers = ["reason", "first such row", "rows", "share"]
    return table(headers, lines, caption="Skipped rows by reason", text_columns=2)
