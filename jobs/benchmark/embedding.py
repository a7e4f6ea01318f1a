"""Documents to vectors, raypipe beside sentence-transformers, in one run: python -m jobs.benchmark embedding.

sentence-transformers runs in an environment that has it, by --oracle PYTHON, and is held against the best of its
batch sizes; both embed the same documents with the same weights, threads and number format, in turn, from texts in
memory. Says documents per second, raypipe's time by part, and whether the vectors are the same; on a machine with other
work, times of the CPU tell more than those of the clock.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .processes import apart

SCRIPT = Path(__file__).parent / "oracles" / "sentence_side.py"
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is embedded, and the bars."""

    model: str = "mini"
    """Folder, org/name[@revision], or `mini`; float32 on the CPU for both."""
    documents: str = "sample"
    """Parquet or JSON of texts, or `sample`."""
    items: int = 198
    """Documents, from the first on."""
    batch_sizes: tuple[int, ...] = (8, 16, 32, 64)
    """sentence-transformers'."""
    token_budgets: tuple[int, ...] = (512, 1024, 2048, 4096)
    """raypipe's; it takes part with the best of them."""
    threads: int = 2
    """Of the CPU, for each in its turn."""
    oracle: str = sys.executable
    """The Python of an environment with sentence-transformers."""
    min_ratio: float = 1.0
    """Documents/s over sentence-transformers' best, at least."""
    json: str | None = None
    """File for the figures."""


def main(config: Config) -> int:
    """Print the table and return 0 if the vectors agree and the bar is met, else 1."""
    from raypipe.models.causal import open_model

    from ..parts.common import CorpusSettings

    texts = _texts(CorpusSettings(corpus=(config.documents,)), config.items)
    folder = str(open_model(config.model).folder)
    theirs = sentence_transformers_vectors(
        config.oracle, folder, texts, batch_sizes=config.batch_sizes, threads=config.threads
    )
    ours = apart(raypipe_vectors, texts, config.model, config.token_budgets, config.threads)
    result = compared(texts, ours, theirs) | {"model": config.model, "threads": config.threads}
    result["bars"] = bars(result, config.min_ratio)
    show(result)
    if config.json:
        Path(config.json).write_text(json.dumps(result, indent=1))
    return 0 if all(bar["met"] for bar in result["bars"]) else 1


def _texts(corpus: Any, n: int) -> list[str]:
    """The first texts of a corpus."""
    from raypipe.corpus import plan_shards, read_shard

    source, found = corpus.to_corpus(), list[str]()
    for shard in plan_shards(source, shard_bytes=64 << 20, part_rows=10_000):
        found += [text for text in read_shard(source, shard)["text"].to_pylist() if text is not None]
    return found[:n]


def raypipe_vectors(texts: Sequence[str], model: str, budgets: Sequence[int], threads: int) -> Json:
    """Vectors, and for each token budget the seconds of each part by the clock and of the CPU, without loading."""
    import time

    from raypipe.corpus.rows import source_of
    from raypipe.embed.embed import Embed

    def now() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])

    op = Embed(model)
    op.setup(n_threads=threads)
    source, seconds, tokens = source_of(texts), {}, 0
    for budget in (min(budgets), *budgets):  # the first time is to warm up
        op.token_budget = max(budget, op.encoder.max_tokens)
        at = [now()]
        prepared = op.prepare(source)
        at.append(now())
        found = [(rows, op(prepared.take(rows))) for rows in op.batches(prepared)]
        at.append(now())
        tokens = op.cost(prepared)
        parts = {name: (after - before).tolist() for name, before, after in zip(PARTS, at, at[1:], strict=False)}
        seconds[str(op.token_budget)] = {**parts, "all": (at[-1] - at[0]).tolist()}
    X = np.zeros((len(texts), op.encoder.n_dimensions))
    for rows, table in found:
        X[rows] = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
    return {"seconds": seconds, "vectors": X.tolist(), "tokens": tokens}


PARTS = ("tokenising", "model")


def sentence_transformers_vectors(
    python: str, model: str, texts: Sequence[str], *, prompt: str | None = None, batch_sizes: Sequence[int] = (8,),
    threads: int = 1,
) -> Json:  # fmt: skip
    """What sentence-transformers says of texts, in a process and an environment of its own.

    Raises
    ------
    ValueError
        If that environment has none, or it failed; with the end of what it said.
    """
    request = {"model": model, "texts": texts, "prompt": prompt, "batch_sizes": batch_sizes, "threads": threads}
    with tempfile.TemporaryDirectory() as temporary:
        asked, answered = Path(temporary) / "asked.json", Path(temporary) / "answered.json"
        asked.write_text(json.dumps(request))
        command = [python, str(SCRIPT), str(asked), str(answered)]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        if done.returncode:
            raise ValueError(
                f"oracle must be a Python with sentence-transformers (pip install sentence-transformers), {python} "
                f"ended with {done.returncode}: {done.stderr[-500:]}"
            )
        return dict(json.loads(answered.read_text()))


def compared(texts: Sequence[str], ours: Json, theirs: Json) -> Json:
    """Speeds of both, each at its best, and how far their vectors are apart."""
    X, Y = (np.array(one["vectors"]) for one in (ours, theirs))
    cosines = (X * Y).sum(1) / (np.linalg.norm(X, axis=1) * np.linalg.norm(Y, axis=1))
    best = min(ours["seconds"].values(), key=lambda of: of["all"][1])
    other = min(theirs["seconds"].values(), key=lambda of: of[1])
    return {
        "n": len(texts), "tokens": ours["tokens"], "versions": theirs["versions"],
        "raypipe": {size: len(texts) / of["all"][0] for size, of in ours["seconds"].items()},
        "sentence_transformers": {size: len(texts) / of[0] for size, of in theirs["seconds"].items()},
        "parts": best, "ratio": min(of[0] for of in theirs["seconds"].values())
        / min(of["all"][0] for of in ours["seconds"].values()),
        "cpu_ratio": other[1] / best["all"][1], "least_cosine": float(cosines.min()),
    }  # fmt: skip


def bars(result: Json, min_ratio: float) -> list[Json]:
    """The same vectors, and at least their speed."""
    cosine, ratio = result["least_cosine"], result["ratio"]
    return [
        {"rule": "least cosine of two vectors of a document, above", "value": cosine, "bar": 0.9999,
         "met": cosine > 0.9999},
        {"rule": "documents/s over sentence-transformers' best, at least", "value": ratio, "bar": min_ratio,
         "met": ratio >= min_ratio},
    ]  # fmt: skip


def show(result: Json) -> None:
    """The table and the bars, for a terminal."""
    table = Table("documents/s", "at", "speed", title=f"{result['model']}, float32, {result['n']} documents")
    for name in ("raypipe", "sentence_transformers"):
        for size, speed in result[name].items():
            table.add_row(name, size, f"{speed:.2f}")
    console = Console(width=110)
    console.print(table)
    parts = ", ".join(f"{name} {wall:.2f} s ({cpu:.2f} s of CPU)" for name, (wall, cpu) in result["parts"].items())
    console.print(f"raypipe's time: {parts}; {result['tokens']:,} tokens; {result['threads']} threads each, in turn")
    console.print(f"x {result['ratio']:.2f} by the clock, {result['cpu_ratio']:.2f} by the CPU; {result['versions']}")
    for bar in result["bars"]:
        console.print(f"{'met' if bar['met'] else 'MISSED'}: {bar['rule']}: {bar['value']:.6g} (bar {bar['bar']:g})")
