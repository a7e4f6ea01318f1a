"""What a selection did, in numbers: by domain, by ranking group, and between arms."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from raypipe.select.rows import Rows

COPIES_WARNING = 0.01
"""From this fraction of exact copies on the card warns."""
_FLAGS = ("skipped", "heldout", "duplicates", "eligible", "selected")


class Tally:
    """Gather: counts, tokens and scores of the rows of each domain."""

    def __init__(self) -> None:
        self.domains: dict[str, dict[str, float]] = {}

    def update(self, rows: Rows, *, is_copy: np.ndarray, is_selected: np.ndarray) -> None:
        """Add the rows of a file: which of them are copies [n] and which are selected [n]."""
        is_eligible = rows.is_candidate & ~is_copy
        is_rest = is_eligible & ~is_selected
        flags = dict(zip(_FLAGS, (~rows.is_scored, rows.is_heldout, is_copy, is_eligible, is_selected), strict=True))
        sums = {"rows": _sums(rows, slice(None))}
        sums |= {flag: _sums(rows, rows_with) for flag, rows_with in flags.items()}
        sums |= {f"tokens_{flag}": _sums(rows, flags[flag], rows.n_tokens_total) for flag in ("eligible", "selected")}
        scores = {"selected": _sums(rows, is_selected, rows.score), "rest": _sums(rows, is_rest, rows.score)}
        lowest = np.full(len(rows.domains), np.inf)
        np.minimum.at(lowest, rows.domain[is_selected], rows.score[is_selected])
        for code, name in enumerate(rows.domains):
            found: dict[str, float] = {key: int(values[code]) for key, values in sums.items()}
            found |= {f"score_sum_{key}": float(values[code]) for key, values in scores.items()}
            _add(self.domains.setdefault(name, {}), found | {"lowest_selected": float(lowest[code])})

    def merge(self, other: "Tally") -> None:
        """Add what another has seen."""
        for name, theirs in other.domains.items():
            _add(self.domains.setdefault(name, {}), theirs)

    def result(self) -> dict[str, dict[str, Any]]:
        """By domain: counts, tokens, mean score of the selected and of the other eligible rows, lowest selected."""
        return {name: _summarised(own) for name, own in sorted(self.domains.items())}


def _sums(rows: Rows, which: np.ndarray | slice, values: np.ndarray | None = None) -> np.ndarray:
    """By domain of a file [k]: the number of these rows, or the sum of their values; whole numbers up to 2^53."""
    own = None if values is None else values[which]
    return np.bincount(rows.domain[which], weights=own, minlength=len(rows.domains))


def _add(own: dict[str, float], more: Mapping[str, float]) -> None:
    for key, value in more.items():
        if key == "lowest_selected":
            own[key] = min(own.get(key, np.inf), value)
        else:
            own[key] = own.get(key, 0) + value


def _summarised(own: dict[str, float]) -> dict[str, Any]:
    counts: dict[str, Any] = {
        name: value for name, value in own.items() if not name.startswith(("score_sum", "lowest"))
    }
    n_rest = own["eligible"] - own["selected"]
    return counts | {
        "mean_score_selected": own["score_sum_selected"] / own["selected"] if own["selected"] else None,
        "mean_score_rest": own["score_sum_rest"] / n_rest if n_rest else None,
        "lowest_score_selected": own["lowest_selected"] if own["selected"] else None,
    }


class Overlap:
    """Gather: how many documents and tokens two arms have in common, for each pair of arms."""

    def __init__(self, arms: tuple[str, ...]) -> None:
        self.arms = arms
        self.documents = np.zeros((len(arms), len(arms)), np.int64)
        self.tokens = np.zeros((len(arms), len(arms)), np.int64)

    def update(self, selected: Mapping[str, np.ndarray], tokens: np.ndarray) -> None:
        """Add rows: by arm which are selected [n] bool, and their tokens [n]."""
        chosen = np.stack([selected[arm] for arm in self.arms]).astype(np.int64)
        self.documents += chosen @ chosen.T
        self.tokens += (chosen * tokens) @ chosen.T

    def merge(self, other: "Overlap") -> None:
        """Add what another has seen."""
        self.documents = self.documents + other.documents
        self.tokens = self.tokens + other.tokens

    def result(self) -> list[dict[str, Any]]:
        """For each pair: shared documents of all that either has (Jaccard), and shared tokens of an arm's."""
        found = []
        for i, j in combinations(range(len(self.arms)), 2):
            union = self.documents[i, i] + self.documents[j, j] - self.documents[i, j]
            mean_tokens = (self.tokens[i, i] + self.tokens[j, j]) / 2
            found.append(
                {
                    "arms": [self.arms[i], self.arms[j]],
                    "documents": float(self.documents[i, j] / union) if union else 0.0,
                    "tokens": float(self.tokens[i, j] / mean_tokens) if mean_tokens else 0.0,
                }
            )
        return found


def totals(domains: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The counts of all domains together."""
    names = ("rows", *_FLAGS, "tokens_eligible", "tokens_selected")
    return {name: sum(domain[name] for domain in domains.values()) for name in names}


def by_group(domains: Mapping[str, Mapping[str, Any]], group_of: Mapping[str, str], name: str) -> dict[str, int]:
    """One count of the domains, summed by ranking group."""
    found: dict[str, int] = {}
    for domain, own in domains.items():
        group = group_of[domain]
        found[group] = found.get(group, 0) + own[name]
    return found


def by_arm(domains_of: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """By arm: documents and tokens selected, in all and in each domain."""
    names = ("selected", "tokens_selected")
    return {
        arm: {
            **{name: totals(domains)[name] for name in names},
            "domains": {domain: {name: own[name] for name in names} for domain, own in domains.items()},
        }
        for arm, domains in domains_of.items()
    }


def warnings(domains: Mapping[str, Mapping[str, Any]], group_of: Mapping[str, str]) -> list[str]:
    """What a user should know before training on the selection."""
    found = []
    n_copies, n_rows = (sum(domain[key] for domain in domains.values()) for key in ("duplicates", "rows"))
    if n_rows and n_copies > COPIES_WARNING * n_rows:
        found.append(
            f"{n_copies / n_rows:.1%} of the rows ({n_copies:,}) are exact copies of an earlier text; one copy of each "
            "is eligible and the others weigh 0. Near-copies are likely too: de-duplicate the corpus."
        )
    pooled = sorted(name for name, group in group_of.items() if group != name)
    if pooled:
        shown = ", ".join(map(repr, pooled[:5])) + (f" and {len(pooled) - 5} more" if len(pooled) > 5 else "")
        found.append(
            f"{len(pooled)} domains have too few eligible rows to be ranked alone and are ranked together: {shown}. "
            "Scores aren't comparable between domains: read their selection with care."
        )
    if n_rows and not any(domain["selected"] for domain in domains.values()):
        found.append("no row is selected: check the skipped rows, min_tokens and share.")
    return found
