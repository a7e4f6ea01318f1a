"""How well and how fast duplicates are found: python -m jobs.benchmark duplicates [--oracle PYTHON].

MinHash: texts with planted near copies, every pair that shares a band held against the exact Jaccard similarity of all
pairs and the S-curve; beside it datatrove's MinHash on the same files, in an environment that has it (--oracle PYTHON).
Semantic: rows of made vectors with planted near ones, in a file; the pairs that some of them have by brute force with
all others, and how many of these are found inside clusters, with the seconds and the memory it took. Each in a process
of its own; on a machine with other work, seconds of the CPU tell more than those of the clock.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from .near_rows import semantic
from .near_texts import minhash
from .processes import apart

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is looked for in what, and the bars."""

    by: tuple[Literal["minhash", "semantic"], ...] = ("minhash", "semantic")
    """What is measured."""
    documents: int = 20_000
    """minhash: texts, three in ten of which are edited copies of another."""
    ngram: int = 5
    """minhash: words of a run."""
    bands: int = 14
    """minhash: bands of a signature."""
    rows_per_band: int = 8
    """minhash: hashes of a band."""
    oracle: str | None = None
    """The Python of an environment with datatrove and spaCy; None: it takes no part."""
    rows: int = 1_000_000
    """semantic: vectors, one in ten of which is near another."""
    dimensions: int = 384
    """semantic: numbers of a vector."""
    sampled: int = 10_000
    """semantic: rows whose pairs are also found by brute force."""
    min_cosine: float = 0.95
    """semantic: of two vectors that are near."""
    margin: float = 0.05
    """semantic: how much less similar the centroid of a visited cluster may be."""
    max_gb: float = 2.0
    """semantic: memory of the process, with the vectors that it holds."""
    min_recall: float = 0.99
    """semantic: share of brute force's pairs that must be found."""
    seed: int = 0
    """Of the texts and the vectors."""
    json: str | None = None
    """File for the figures."""


def main(config: Config) -> int:
    """Print what was found and return 0 if the bars are met, else 1."""
    result: Json = {}
    with tempfile.TemporaryDirectory() as scratch:
        if "minhash" in config.by:
            bands = (config.ngram, config.bands, config.rows_per_band)
            result["minhash"] = apart(minhash, scratch, config.documents, *bands, config.oracle, config.seed)
        if "semantic" in config.by:
            given = (config.rows, config.dimensions, config.sampled, config.min_cosine, config.margin, config.seed)
            result["semantic"] = apart(semantic, scratch, *given)
    result["bars"] = bars(result, config)
    show(result)
    if config.json:
        Path(config.json).write_text(json.dumps(result, indent=1))
    return 0 if all(bar["met"] for bar in result["bars"]) else 1


def bars(result: Json, config: Config) -> list[Json]:
    """What must hold of either search."""
    found = []
    if "minhash" in result:
        of = result["minhash"]
        found.append(_bar("standard deviations from the curve's number of pairs, at most", abs(of["deviation"]), 4, -1))
        found.append(_bar("pairs found whose Jaccard is below .2, at most", of["unlike"], 0.001 * of["pairs"], -1))
    if "semantic" in result:
        of = result["semantic"]
        found.append(_bar("share of brute force's pairs, at least", of["recall"], config.min_recall, 1))
        found.append(_bar("memory of the process in GB, at most", of["peak_gb"], config.max_gb, -1))
    return found


def _bar(rule: str, value: float, bar: float, sign: int) -> Json:
    return {"rule": rule, "value": value, "bar": bar, "met": bool(sign * value >= sign * bar)}


def show(result: Json) -> None:
    """The figures and the bars, for a terminal."""
    say = Console(width=120, soft_wrap=True, highlight=False).print
    if "minhash" in result:
        of = result["minhash"]
        say(f"MinHash, {of['n']:,} texts; {of['curve']}")
        for row in of["bins"]:
            say(
                f"  Jaccard {row['from']:.1f} to {row['to']:.1f}: {row['pairs']:>7,} pairs, curve {row['curve']:.3f}, "
                f"found {row['found']:.3f}"
            )
        say(
            f"  {of['found']:,} pairs found, {of['expected']:,.0f} expected ({of['deviation']:+.2f} standard "
            f"deviations); {100 * of['precision']:.2f} % of all found have Jaccard .5 or more, {of['unlike']} below .2"
        )
        say(f"  raypipe: {_times(of['seconds'], of['n'])}")
        if "datatrove" in of:
            _show_datatrove(of["datatrove"], of["n"], say)
    if "semantic" in result:
        of = result["semantic"]
        say(
            f"semantic, {of['n']:,} x {of['dimensions']}, cosine {of['min_cosine']:g}: {of['clusters']:,} clusters, "
            f"{of['visits']:.2f} visits a row, {of['groups']} passes; {of['links']:,} links"
        )
        say(
            f"  of {of['pairs']:,} pairs that {of['sampled']:,} rows have by brute force {100 * of['recall']:.3f} % "
            f"found; {of['peak_gb']:.2f} GB at most"
        )
        say(f"  raypipe: {_times(of['seconds'], of['n'])}; brute force {of['brute_s'][0]:.0f} s")
    for bar in result["bars"]:
        say(f"{'met' if bar['met'] else 'MISSED'}: {bar['rule']}: {bar['value']:.6g} (bar {bar['bar']:g})")


def _show_datatrove(of: Json, n: int, say: Any) -> None:
    say(f"  datatrove: {_times(of['seconds'], n)}; {of['versions']}")
    for name in ("raypipe", "datatrove"):
        shares = ", ".join(f"{100 * share:.1f} % from {low}" for low, share in of[f"{name}_share"].items())
        say(f"  {name} puts {of[f'{name}_together']:,} pairs into one cluster; of pairs by Jaccard {shares}")


def _times(seconds: Json, n: int) -> str:
    parts = ", ".join(f"{name} {wall:.1f} s ({cpu:.1f} of CPU)" for name, (wall, cpu) in seconds.items())
    return f"{parts}; {sum(cpu for _, cpu in seconds.values()) * 1e6 / n:,.0f} s of CPU a million rows"
