"""The label models that a job may fit, on what votes they are fitted, and what is said of functions and labels."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from raypipe.label.functions.summary import VoteSummary, share_right
from raypipe.label.votes import ABSTAIN, VoteCounts
from raypipe.report.escape import terminal_text

if TYPE_CHECKING:
    from raypipe.label.label_model import LabelModel

LabelModelName = Literal[
    "majority-vote", "weighted-vote", "dawid-skene", "triplets", "matrix-completion", "moment-matching"
]
"""The label models to choose from; a new one is a word more here and two lines below."""


def label_model_of(name: LabelModelName) -> "type[LabelModel]":
    """The class of a name; scikit-learn is loaded."""
    if name == "weighted-vote":
        from raypipe.label.weighted_vote import WeightedVote

        return WeightedVote
    if name == "dawid-skene":
        from raypipe.label.dawid_skene import DawidSkene

        return DawidSkene
    if name == "triplets":
        from raypipe.label.triplets import Triplets

        return Triplets
    if name == "matrix-completion":
        from raypipe.label.matrix_completion import MatrixCompletion

        return MatrixCompletion
    if name == "moment-matching":
        from raypipe.label.moment_matching import MomentMatching

        return MomentMatching
    from raypipe.label.majority_vote import MajorityVote

    return MajorityVote


def telling(votes: VoteCounts) -> tuple[int, ...]:
    """The functions that don't give every row the same answer: of the others a label model learns nothing."""
    return tuple(np.flatnonzero((votes.patterns != votes.patterns[:1]).any(axis=0)).tolist())


def check_votes_of(votes: VoteCounts, classes: tuple[str, ...], kept: tuple[int, ...], name: LabelModelName) -> None:
    """Refuse votes that no label model can learn from.

    Raises
    ------
    ValueError
        If there are none at all or none for a class, or fewer functions tell rows apart than the model needs.
    """
    n_rows = votes.n_rows
    if not (votes.patterns != ABSTAIN).any():
        raise ValueError(f"labels need a vote at least, and every labelling function abstains on all {n_rows:,} rows.")
    voted = set(np.unique(votes.patterns).tolist())
    if without := [one for number, one in enumerate(classes) if number not in voted]:
        raise ValueError(
            f"class {without[0]!r} got no vote on {n_rows:,} rows, so no row could be given it; widen a function of "
            "its, or leave it out of classes."
        )
    if not kept or (len(kept) < 2 and name != "majority-vote"):
        raise ValueError(
            f"{name} learns from where labelling functions agree and needs two at least that tell rows apart, got "
            f"{len(kept)}; write another, or give --label-model majority-vote."
        )


def table_of(found: dict[str, Any], classes: tuple[str, ...]) -> list[str]:
    """The functions for a terminal: a line each, and below it by name those that never vote or raise."""
    lines = [f"  {'function':<24} {'votes for':<20} coverage  overlap conflict   accuracy, of rows with truth"]
    for one in found["functions"]:
        votes = ", ".join(classes[number] for number in one["classes"]) or "-"
        shares = "  ".join(f"{100 * one[what]:5.1f} %" for what in ("coverage", "overlap", "conflict"))
        name = terminal_text(one["name"], max_chars=24)
        lines.append(f"  {name:<24} {terminal_text(votes, max_chars=20):<20}  {shares}   {_share(one)}")
    rows = found["rows"]
    constant = [one["name"] for one in found["functions"] if one["coverage"] == 1 and len(one["classes"]) == 1]
    if constant:
        names = ", ".join(map(terminal_text, constant))
        lines.append(f"votes for the same class on all rows, and teaches nothing: {names}")
    if silent := [one["name"] for one in found["functions"] if not one["classes"]]:
        lines.append(f"never votes on {rows:,} rows: {', '.join(map(terminal_text, silent))}")
    lines += [
        f"raises on {one['failed']:,} of {rows:,} rows, where it abstains: {terminal_text(one['name'])} "
        f"({terminal_text(one['failure'], max_chars=120)})"
        for one in found["functions"]
        if one["failed"]
    ]
    return lines


def said_of_labels(
    model: "LabelModel", name: str, summary: VoteSummary, kept: tuple[int, ...], classes: tuple[str, ...]
) -> list[str]:
    """How many rows are covered and get which class, and how often that is right, beside the majority vote."""
    votes = summary.votes.of_functions(kept)
    covered = (votes.patterns != ABSTAIN).any(axis=1)
    best = model.predict(votes.patterns)
    counts = [int(votes.counts[covered & (best == number)].sum()) for number in range(len(classes))]
    shares = ", ".join(f"{n:,} {terminal_text(one)}" for n, one in zip(counts, classes, strict=True))
    lines = [f"{name}: {sum(counts):,} of {votes.n_rows:,} rows covered by {len(kept)} functions: {shares}"]
    patterns, truth, n = summary.judged
    if not len(n):
        return lines
    patterns = patterns[:, list(kept)]
    majority = label_model_of("majority-vote")(n_classes=len(classes)).fit_counts(votes)
    silent = (patterns == ABSTAIN).all(axis=1)
    for who, of in ((name, model), *([("majority-vote", majority)] if name != "majority-vote" else [])):
        answers = of.predict(patterns)
        right = share_right(np.where(silent, ABSTAIN, answers), truth, n), share_right(answers, truth, n)
        lines.append(
            f"  {who:<16} accuracy of covered rows {_share(right[0])}; of all, by the prior {_share(right[1])}"
        )
    return lines


def _share(found: dict[str, Any]) -> str:
    if found["accuracy"] is None:
        return "-"
    low, high = found["interval"]
    return f"{100 * found['accuracy']:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {found['judged']:,}"
