"""Rules of Gopher, C4 and FineWeb, raypipe beside datatrove's filters, in one run: python -m jobs.benchmark curation.

datatrove runs in an environment that has it and spaCy, by --oracle PYTHON, and says of every document which rule drops
it, each rule asked for itself. Both take the same documents from memory, on one core, in turn. Says the share of equal
verdicts rule by rule, every difference with what it comes from, and documents a second; on a machine with other work,
times of the CPU tell more than those of the clock.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from raypipe.select.rules.conditions import KeepRule, holds
from raypipe.select.rules.published import PUBLISHED, RuleSet

from .processes import apart

SCRIPT = Path(__file__).parent / "oracles" / "datatrove_side.py"
Json = dict[str, Any]
NAMES: dict[RuleSet, tuple[str, ...]] = {
    "gopher": (
        "min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length", "max_symbol_word_ratio",
        "max_symbol_word_ratio", "max_bullet_lines_ratio", "max_ellipsis_lines_ratio", "max_non_alpha_words_ratio",
        "min_stop_words", "dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac",
        *(f"top_{n}_gram" for n in (2, 3, 4)), *(f"duplicated_{n}_n_grams" for n in range(5, 11)),
    ),
    "c4": ("min_num_sentences", "filter_lorem_ipsum", "filter_curly_bracket"),
    "fineweb": ("line_punct_thr", "short_line_thr", "char_duplicates_ratio", "new_line_ratio"),
}  # fmt: skip
"""datatrove's settings, one for each published rule in its order; one of them stands for two rules."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is judged, and the bars."""

    documents: tuple[str, ...] = ("sample",)
    """Parquet or JSON of texts, or `sample`. Repeatable."""
    items: int = 5000
    """Documents, drawn evenly over all."""
    oracle: str = sys.executable
    """The Python of an environment with datatrove and spaCy."""
    min_agreement: float = 0.995
    """Share of equal verdicts of each rule, at least."""
    min_ratio: float = 5.0
    """Documents/s over datatrove's, by the CPU, at least."""
    json: str | None = None
    """File for the figures."""


def main(config: Config) -> int:
    """Print the tables and return 0 if verdicts agree and the bar is met, else 1."""
    texts = _texts(config.documents, config.items)
    theirs = datatrove_verdicts(config.oracle, texts)
    ours = apart(raypipe_verdicts, texts)
    result = compared(texts, ours, theirs)
    result["bars"] = bars(result, config)
    show(result)
    if config.json:
        Path(config.json).write_text(json.dumps(result, indent=1))
    return 0 if all(bar["met"] for bar in result["bars"]) else 1


def _texts(sources: tuple[str, ...], n: int) -> list[str]:
    """Texts of corpora, evenly spaced over all of them."""
    from raypipe.corpus import plan_shards, read_shard

    from ..parts.common import CorpusSettings

    found = list[str]()
    for source in sources:
        corpus = CorpusSettings(corpus=(source,)).to_corpus()
        for shard in plan_shards(corpus, shard_bytes=64 << 20, part_rows=10_000):
            found += [text for text in read_shard(corpus, shard)["text"].to_pylist() if text is not None]
    places = np.linspace(0, len(found) - 1, min(n, len(found))).round().astype(int)
    return [found[at] for at in places]


def raypipe_verdicts(texts: Sequence[str]) -> Json:
    """Which rule drops which text, the columns, and seconds by the clock and of the CPU."""
    from raypipe.contracts.parts import apply
    from raypipe.corpus.rows import source_of
    from raypipe.describe.describe import Describe, parts_of
    from raypipe.describe.texts import words_in

    op, rules = Describe(parts_of(tuple(PUBLISHED))), [KeepRule(r, r) for of in PUBLISHED.values() for r in of]
    holds(rules, apply(op, source_of(["warm"])), 1)
    source = source_of(texts)
    start, cpu = time.perf_counter(), time.process_time()
    table = apply(op, source)
    held = holds(rules, table, len(texts))
    seconds = time.perf_counter() - start, time.process_time() - cpu
    names = [f"{of}.{name}" for of, own in NAMES.items() for name in own]
    dropped = {name: np.zeros(len(texts), bool) for name in names}
    for name, one in zip(names, held, strict=True):
        dropped[name] |= ~one
    return {
        "seconds": seconds, "dropped": {name: one.tolist() for name, one in dropped.items()},
        "n_words": words_in(texts).n.tolist(),
    }  # fmt: skip


def datatrove_verdicts(python: str, texts: Sequence[str]) -> Json:
    """What datatrove says of texts, in a process and an environment of its own.

    Raises
    ------
    ValueError
        If that environment has none, or it failed; with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as temporary:
        asked, answered = Path(temporary) / "asked.json", Path(temporary) / "answered.json"
        asked.write_text(json.dumps({"texts": list(texts)}))
        command = [python, str(SCRIPT), str(asked), str(answered)]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        if done.returncode:
            raise ValueError(
                f"oracle must be a Python with datatrove (pip install 'datatrove[processing]' spacy), {python} ended "
                f"with {done.returncode}: {done.stderr[-500:]}"
            )
        return dict(json.loads(answered.read_text()))


def compared(texts: Sequence[str], ours: Json, theirs: Json) -> Json:
    """Speeds, and where the verdicts differ."""
    n = len(texts)
    rules, differences = {}, []
    for name, own in ours["dropped"].items():
        other = theirs["dropped"][name]
        unlike = [at for at in range(n) if own[at] != other[at]]
        rules[name] = {"dropped": sum(own), "datatrove": sum(other), "agreement": 1 - len(unlike) / n}
        differences += [_traced(name, at, texts[at], ours, theirs) for at in unlike]
    wall, cpu = ours["seconds"]
    return {
        "n": n, "characters": sum(map(len, texts)) / n, "versions": theirs["versions"], "rules": rules,
        "differences": differences,
        "documents_per_s": {"raypipe": n / cpu, **_speeds(n, theirs, 1)},
        "by_the_clock": {"raypipe": n / wall, **_speeds(n, theirs, 0)},
        "ratio": {k: t / cpu for k, (_, t) in theirs["seconds"].items()},
    }  # fmt: skip


def _speeds(n: int, theirs: Json, which: int) -> Json:
    return {f"datatrove, {name}": n / seconds[which] for name, seconds in theirs["seconds"].items()}


def _traced(rule: str, at: int, text: str, ours: Json, theirs: Json) -> Json:
    """A difference, and whether the two cut the text into as many words."""
    own, other = ours["n_words"][at], theirs["n_words"][at]
    return {"rule": rule, "text": at, "begins": text[:60], "words": [own, other],
            "because": "words are cut otherwise" if own != other else "other"}  # fmt: skip


def bars(result: Json, config: Config) -> list[Json]:
    """Agreement rule by rule, and speed."""
    name, worst = min(result["rules"].items(), key=lambda item: item[1]["agreement"])
    ratio = result["ratio"]["all"]
    return [
        {"rule": f"equal verdicts of each rule, at least (worst: {name})", "value": worst["agreement"],
         "bar": config.min_agreement, "met": worst["agreement"] >= config.min_agreement},
        {"rule": "documents/s of CPU over datatrove's, at least", "value": ratio, "bar": config.min_ratio,
         "met": ratio >= config.min_ratio},
    ]  # fmt: skip


def show(result: Json) -> None:
    """The tables and the bars, for a terminal."""
    table = Table("rule", "raypipe drops", "datatrove drops", "equal", title=f"{result['n']:,} documents")
    for name, of in result["rules"].items():
        table.add_row(name, f"{of['dropped']:,}", f"{of['datatrove']:,}", f"{of['agreement']:.2%}")
    console = Console(width=110)
    console.print(table)
    causes = Counter(one["because"] for one in result["differences"])
    console.print(f"{sum(causes.values())} differences: {dict(causes)}")
    speeds = ", ".join(f"{name} {speed:.0f}" for name, speed in result["documents_per_s"].items())
    console.print(f"documents a second of one core's time: {speeds}; {result['versions']}")
    for bar in result["bars"]:
        console.print(f"{'met' if bar['met'] else 'MISSED'}: {bar['rule']}: {bar['value']:.4g} (bar {bar['bar']:g})")
