"""The retrieval heads: where they are, and whether neutralising them does what it should."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.strip import percent
from raypipe.report.numbers.checks import used_heads
from raypipe.report.numbers.read import Json, model_name
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page import cells
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count, fraction, signed, value

MAX_TITLES = 2000
"""Cells with a tooltip; a larger map keeps them for the heads that score."""


def heads(numbers: Numbers) -> Panel:
    """The head map and the causal check of every heads file that the scores use."""
    return panel(
        "heads", "Heads", "heads.html", records=[_record(name, record) for name, record in used_heads(numbers).items()]
    )


def _record(name: str, record: Json) -> dict[str, object]:
    model, check = record.get("model", {}), record.get("causal_check")
    weights = f"weights {str(model.get('sha256', '?'))[:12]}…"
    scores = record["retrieval_scores"]
    return {
        "name": name,
        "n_chosen": len(record.get("chosen", [])),
        "share": fraction(record.get("share", 0)),
        "model": f"{model_name(str(model.get('ref', '?')))} ({model.get('architecture', '?')}, {weights})",
        "n_probes": count(record.get("probes", {}).get("n_probes", 0)),
        "map": _map(record),
        "chosen": [(f"{at}.{head}", value(scores[at][head], 2)) for at, head in record.get("chosen", [])],
        "left_out": [(".".join(map(str, out["head"])), str(out.get("why", ""))) for out in record.get("left_out", [])],
        "wreckers": ", ".join(f"{layer}.{head}" for layer, head in record.get("wreckers", [])),
        "check": check
        and {"verdict": cells.verdict(bool(check.get("passed"))), "losses": losses(check), "rules": rules(check)},
    }


def _map(record: Json) -> dict[str, object]:
    """Retrieval score of every head as a heat map, layers across and heads down, the chosen ones ringed."""
    scores = np.array(record["retrieval_scores"], np.float64)  # [n_layers, n_heads]
    n_layers, n_heads = scores.shape
    chosen = {(layer, head) for layer, head in record.get("chosen", [])}
    shares = (
        f"{fraction((scores >= 0.1).mean())} of heads score 0.1 or more, {fraction((scores == 0).mean())} exactly 0."
    )
    return {
        "n_layers": n_layers, "n_heads": n_heads, "height": max(6, min(22, 420 // n_heads)) * n_heads,
        "label": f"retrieval score of {n_heads} heads in each of {n_layers} layers; {len(chosen)} are chosen",
        "cells": [
            _cell(layer, head, float(scores[layer, head]), (layer, head) in chosen)
            for layer in range(n_layers)
            for head in range(n_heads)
            if scores[layer, head] > 0 or (layer, head) in chosen or n_layers * n_heads <= MAX_TITLES
        ],
        "across": _indices(n_layers, every=5 if n_layers > 12 else 1),
        "down": _indices(n_heads, every=1 if n_heads <= 16 else 8),
        "scale": [_shade(step) for step in (0.02, 0.1, 0.25, 0.5, 0.75, 1.0)], "shares": shares,
    }  # fmt: skip


def _cell(layer: int, head: int, score: float, is_chosen: bool) -> dict[str, object]:
    title = f"layer {layer}, head {head}: {value(score)}{', chosen' if is_chosen else ''}"
    place = {"x": f"{10 * layer + 0.6:.1f}", "y": f"{10 * head + 0.6:.1f}"}
    return {**place, "title": title, "shade": _shade(min(score, 1)), "is_chosen": is_chosen}


def _shade(score: float) -> str:
    return f"{score**0.6:.2f}"  # the eye judges steps of light, not of light energy


def _indices(n: int, *, every: int) -> list[tuple[str, int]]:
    return [(percent((i + 0.5) / n), i) for i in range(0, n, every)]


@dataclass(frozen=True)
class _Variant:
    """The model with some heads neutralised, beside the intact one."""

    name: str
    found: Json
    intact: Json

    def rise(self, key: str) -> str:
        """By how much a loss is above the intact model's."""
        return "–" if self.found is self.intact else signed(self.found[key] - self.intact[key])


def losses(check: Json) -> Markup:
    """Losses on fresh probes and on plain prose: intact, the chosen heads neutralised, each random draw."""
    intact = check["intact"]
    named = [("intact model", intact), ("chosen heads neutralised", check["chosen"])]
    named += [(f"random draw {i}, same layers", draw) for i, draw in enumerate(check.get("draws", []), 1)]
    highest = max(entry["loss"] for _, entry in named)
    columns = [
        Column[_Variant]("model", lambda row: row.name),
        Column[_Variant](
            "answer loss, nats", lambda row: cells.bar(row.found["loss"], highest, value(row.found["loss"]))
        ),
        Column[_Variant]("answer tokens right", lambda row: fraction(row.found["accuracy"])),
        Column[_Variant]("prose loss", lambda row: value(row.found["prose_loss"])),
        Column[_Variant]("rise on answers", lambda row: row.rise("loss")),
        Column[_Variant]("rise on prose", lambda row: row.rise("prose_loss")),
    ]
    return table("Causal check on fresh probes", columns, [_Variant(name, entry, intact) for name, entry in named])


def rules(check: Json) -> Markup:
    """The rules that decide whether the heads may be used."""
    columns = [
        Column[Json]("rule", lambda rule: foreign(rule["rule"], 200)),
        Column[Json]("value", lambda rule: value(rule["value"])),
        Column[Json]("bar", lambda rule: value(rule["bar"])),
        Column[Json]("outcome", lambda rule: cells.verdict(bool(rule["passed"]))),
    ]
    return table("Rules of the causal check", columns, check.get("rules", []))
