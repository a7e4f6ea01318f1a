"""Heads files: which heads a score neutralises, bound to the weights they were found on."""

import json
from typing import Any

import numpy as np

from raypipe.lm.heads import Head, check_heads

_MEASURED = ("loss", "accuracy", "prose_loss")


class WeakHeads(ValueError):
    """The heads failed the causal check: a score made with them would mean nothing."""


def parse_heads(content: bytes, *, where: str) -> dict[str, Any]:
    """The record in a heads file, whole: whatever a score, a check or a report reads of it is there.

    Raises
    ------
    ValueError
        If it isn't one, or it names no heads, or heads that its model doesn't have.
    """
    try:
        record = dict(json.loads(content))
        heads = [(layer, head) for layer, head in record["chosen"]]
        sizes = record["model"]["n_layers"], record["model"]["n_heads"]
        len(record["model"]["sha256"])
        if np.shape(record["retrieval_scores"]) != sizes:
            raise ValueError(f"retrieval_scores must be of {sizes[0]} layers x {sizes[1]} heads")
        _check_causal(record.get("causal_check"))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{where} must be a heads file, as find_heads writes it, got something else ({error!r})."
        ) from error
    check_heads(heads, n_layers=sizes[0], n_heads=sizes[1], where=where)
    return record


def _check_causal(check: dict[str, Any] | None) -> None:
    """KeyError or TypeError if a causal check is on record that isn't whole."""
    if check is None:
        return
    for effect in (check["intact"], check["chosen"], *check["draws"]):
        [float(effect[name]) for name in _MEASURED]
    for rule in check["rules"]:
        rule["rule"], float(rule["value"]), float(rule["bar"])
    if bool(check["passed"]) != all(rule["passed"] for rule in check["rules"]) or not check["rules"]:
        raise ValueError("its causal check must have passed where all of its rules have, and only there")


def chosen_heads(record: dict[str, Any], *, sha256: str, allow_weak: bool, where: str) -> tuple[Head, ...]:
    """The heads to neutralise, best first.

    Raises
    ------
    ValueError
        If they were found on other weights.
    WeakHeads
        If the causal check failed and weak heads aren't allowed.
    """
    if record["model"]["sha256"] != sha256:
        raise ValueError(
            f"heads must be found on the weights that score: {where} is of weights {record['model']['sha256'][:12]} "
            f"({record['model'].get('ref')}), the model's are {sha256[:12]}; find them anew with --heads detect."
        )
    check_passed(record, allow_weak=allow_weak, where=where)
    return tuple((int(layer), int(head)) for layer, head in record["chosen"])


def check_passed(record: dict[str, Any], *, allow_weak: bool, where: str) -> None:
    """Refuse heads that failed the causal check, unless weak ones are allowed.

    Raises
    ------
    WeakHeads
        With the rules that failed and what was measured.
    """
    check = record.get("causal_check") or {}
    if check.get("passed") or allow_weak:
        return
    failed = [
        f"{rule['rule']} must be {rule['bar']:.2f}, got {rule['value']:.2f}"
        for rule in check.get("rules", [])
        if not rule["passed"]
    ]
    raise WeakHeads(
        f"the heads in {where} failed the causal check: {'; '.join(failed) or 'there is none on record'}. They don't "
        "carry this model's retrieval; use a larger model, or --allow-weak-heads to go on all the same."
    )
