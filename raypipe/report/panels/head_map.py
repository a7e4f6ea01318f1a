"""The retrieval heads: where they are, and whether neutralising them does what it should."""

import numpy as np

from raypipe.report.charts.axis import percent
from raypipe.report.numbers.read import Json
from raypipe.report.page.markup import Html, element, foreign, table
from raypipe.report.words import fraction, signed, value

MAX_TITLES = 2000
"""Cells with a tooltip; a larger map keeps them for the heads that score."""


def head_map(record: Json) -> Html:
    """Retrieval score of every head as a heat map, layers across and heads down, the chosen ones ringed."""
    scores = np.array(record["retrieval_scores"], np.float64)  # [n_layers, n_heads]
    n_layers, n_heads = scores.shape
    chosen = {(layer, head) for layer, head in record.get("chosen", [])}
    cells = [
        _cell(layer, head, float(scores[layer, head]), (layer, head) in chosen)
        for layer in range(n_layers)
        for head in range(n_heads)
        if scores[layer, head] > 0 or (layer, head) in chosen or n_layers * n_heads <= MAX_TITLES
    ]
    label = f"retrieval score of {n_heads} heads in each of {n_layers} layers; {len(chosen)} are chosen"
    drawing = element(
        "svg", cells, viewBox=f"0 0 {10 * n_layers} {10 * n_heads}", preserveAspectRatio="none", role="img",
        aria_label=label, style=f"height:{max(6, min(22, 420 // n_heads)) * n_heads}px",
    )  # fmt: skip
    across = _index_labels(n_layers, "left", every=5 if n_layers > 12 else 1)
    down = _index_labels(n_heads, "top", every=1 if n_heads <= 16 else 8)
    return element(
        "figure",
        element("div", element("div", down, class_="yticks"), drawing, class_="panel"),
        element("div", across, class_="ticks"),
        element("figcaption", element("span", "head", class_="up"), " by layer, both counted from 0", _legend(scores)),
        class_="head-map",
    )


def _cell(layer: int, head: int, score: float, is_chosen: bool) -> Html:
    title = element("title", f"layer {layer}, head {head}: {value(score)}{', chosen' if is_chosen else ''}")
    box = {"x": f"{10 * layer + 0.6:.1f}", "y": f"{10 * head + 0.6:.1f}", "width": "8.8", "height": "8.8"}
    shade = f"fill-opacity:{min(score, 1) ** 0.6:.2f}"  # the eye judges steps of light, not of light energy
    ground = element("rect", **box, class_="ground")
    return element("g", title, ground, element("rect", **box, style=shade, class_="chosen" if is_chosen else "cell"))


def _index_labels(n: int, side: str, *, every: int) -> list[Html]:
    return [element("span", str(i), style=f"{side}:{percent((i + 0.5) / n)}") for i in range(0, n, every)]


def _legend(scores: np.ndarray) -> Html:
    steps = [element("i", style=f"opacity:{step**0.6:.2f}") for step in (0.02, 0.1, 0.25, 0.5, 0.75, 1.0)]
    shares = (
        f"{fraction((scores >= 0.1).mean())} of heads score 0.1 or more, {fraction((scores == 0).mean())} exactly 0."
    )
    ring = element("i", class_="ring")
    return element(
        "span", "score 0 ", element("span", steps, class_="scale"), " 1  ", ring, " chosen. ", shares, class_="legend"
    )


def chosen_heads(record: Json) -> Html:
    """The chosen heads by falling score, and what was left out, as a line of text."""
    scores = record["retrieval_scores"]
    chips = [
        element("li", element("b", f"{layer}.{head}"), f" {value(scores[layer][head], 2)}")
        for layer, head in record.get("chosen", [])
    ]
    left_out = [
        element(
            "p",
            f"Left out: head {entry['head'][0]}.{entry['head'][1]}, ",
            foreign(str(entry.get("why", "")), max_chars=200),
        )
        for entry in record.get("left_out", [])
    ]
    wreckers = ", ".join(f"{layer}.{head}" for layer, head in record.get("wreckers", []))
    named = [element("p", f"Heads that alone wreck all text: {wreckers}. Random draws keep them.")] if wreckers else []
    return element("div", element("ul", chips, class_="chips"), left_out, named)


def causal_table(check: Json) -> Html:
    """Losses on fresh probes and on plain prose: intact, the chosen heads neutralised, each random draw."""
    intact = check["intact"]
    named = [("intact model", intact), ("chosen heads neutralised", check["chosen"])]
    named += [(f"random draw {i}, same layers", draw) for i, draw in enumerate(check.get("draws", []), 1)]
    highest = max(entry["loss"] for _, entry in named)
    rows = [
        [name, bar(entry["loss"], highest, value(entry["loss"])), fraction(entry["accuracy"]),
         value(entry["prose_loss"]), *(_rise(entry, intact, key) for key in ("loss", "prose_loss"))]
        for name, entry in named
    ]  # fmt: skip
    headers = ["model", "answer loss, nats", "answer tokens right", "prose loss", "rise on answers", "rise on prose"]
    return table(headers, rows, caption="Causal check on fresh probes")


def _rise(entry: Json, intact: Json, key: str) -> str:
    return "–" if entry is intact else signed(entry[key] - intact[key])


def bar(number: float, highest: float, shown: str) -> Html:
    """A number as it is shown, with a bar from 0 behind it."""
    width = percent(max(number, 0) / highest) if highest > 0 else "0%"
    return element("span", element("span", shown), class_="bar", style=f"--width:{width}")


def rules_table(check: Json) -> Html:
    """The rules that decide whether the heads may be used."""
    rows = [
        [
            foreign(str(rule["rule"]), max_chars=200),
            value(rule["value"]),
            value(rule["bar"]),
            verdict(bool(rule["passed"])),
        ]
        for rule in check.get("rules", [])
    ]
    return table(["rule", "value", "bar", "outcome"], rows, caption="Rules of the causal check")


def verdict(is_passed: bool) -> Html:
    """Passed or failed, by word and sign, not by colour alone."""
    return element("span", "✓ passed" if is_passed else "▲ failed", class_="passed" if is_passed else "strong")
