"""Classifiers that explain themselves, beside the packages that have them: python -m jobs.benchmark classifiers.

SS3 beside pyss3, FOLD-SE at its rival's settings beside foldrpp, the Tsetlin machine beside pyTsetlinMachine, SMOTE
beside imbalanced-learn, each on the same rows, by --oracle PYTHON; a package that isn't there is said to be missing.
Each does its work alone on one thread, and what is held against a bar is the CPU's time: other work on the machine
bends the clock's. What numba compiles here is made ready before, as the packages' C is when they are installed; what
that takes, the first time on a machine and in later processes, is printed. Then fitted classifiers are taken over many
vectors, batch by batch as classify_corpus does it, and the memory that this takes is printed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from raypipe.classify.methods import method_class
from raypipe.contracts.estimator import taken_by

from .processes import apart

SIDES = Path(__file__).parent / "oracles"
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much is learned and classified, and the bars."""

    scale: float = 1.0
    """Of the rows of every comparison; below 1 for a quick look."""
    apply: tuple[str, ...] = ("logistic-regression=1000000", "tsetlin=20000")
    """METHOD=ROWS: fitted classifiers of vectors, not of tables, that are taken over so many of them. Repeatable."""
    dimensions: int = 384
    """Of those vectors."""
    oracle: str = sys.executable
    """The Python of an environment with pyss3, foldrpp, pyTsetlinMachine and imbalanced-learn, or some of them."""
    min_ratio: float = 1.0
    """Their CPU time over ours, at least; fitting and classifying together."""
    max_memory_mib: float = 512.0
    """That taking vectors through a classifier may add."""
    json: str | None = None
    """File for the figures."""


def main(config: Config) -> int:
    """Print the tables and return 0 if the bars are met, else 1; a missing package is no bar."""
    methods = {name: int(rows) for name, _, rows in (one.partition("=") for one in config.apply)}
    if wrong := [name for name in methods if taken_by(method_class(name)) not in ("vectors", "words or vectors")]:
        raise ValueError(f"apply must be of methods that take vectors, got {wrong[0]!r}.")
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    compared, versions = dict[str, Json](), dict[str, str]()
    for name, (side, asked, ours) in comparisons(config.scale).items():
        theirs = answers(config.oracle, side, asked)
        mine = apart(ours, asked)
        versions |= theirs.get("versions", {})
        compared[name] = {"ours": mine["seconds"], "says": mine["says"], **told(theirs, mine)}
    applied = {name: apart(taken_over, name, rows, config.dimensions) for name, rows in methods.items()}
    with tempfile.TemporaryDirectory() as nothing:
        first, later = (apart(made_ready, nothing) for _ in range(2))
    ready = {"numba": find_spec("numba") is not None, "first": first, "later": later}
    result: Json = {"compared": compared, "applied": applied, "ready": ready, "versions": versions}
    result["bars"] = bars(compared, applied, config)
    show(result)
    if config.json:
        Path(config.json).write_text(json.dumps(result, indent=1))
    return 0 if all(bar["met"] for bar in result["bars"]) else 1


def comparisons(scale: float) -> dict[str, tuple[str, Json, Callable[[Json], Json]]]:
    """By name the script of the other side, what both are asked, and our answer to it."""

    def rows(n: int) -> int:
        return max(40, int(n * scale))

    tsetlin = "tsetlin_side.py"
    return {
        "SS3": ("pyss3_side.py", {"sets": {"one": word_set(rows(4000))}}, ss3_answers),
        "FOLD-R++": ("foldrpp_side.py", {"tables": {"one": mixed_set(rows(3000))}}, fold_answers),
        "Tsetlin, words": (tsetlin, {"sets": {"one": bit_set(rows(200), 2000, n_clauses=500)}}, tsetlin_answers),
        "Tsetlin, 12 bits": (tsetlin, {"sets": {"one": bit_set(rows(2000), 12, n_clauses=10)}}, tsetlin_answers),
        "SMOTE": ("imblearn_side.py", {"sets": {"one": small_class_set(rows(20_000))}}, smote_answers),
    }  # fmt: skip


def word_set(n_texts: int, *, n_words: int = 3000, n_classes: int = 8) -> Json:
    """Counts of words by class, and texts of 30 words."""
    rng = np.random.default_rng(0)
    rates = 400 / (1 + np.arange(n_words)) * np.exp(rng.normal(size=(n_classes, n_words)))
    texts = [rng.choice(n_words, 30, p=rates[at % n_classes] / rates[at % n_classes].sum()) for at in range(n_texts)]
    settings = {"s": 0.45, "l": 0.5, "p": 1.0, "sg_m": "vanilla", "cv_m": "gv"}
    return {"counts": rng.poisson(rates).tolist(), "settings": settings, "texts": [one.tolist() for one in texts]}


def mixed_set(n: int) -> Json:
    """Cells of numbers and categories, some empty, and a class of two rules with noise."""
    rng = np.random.default_rng(0)
    numbers, colours = np.round(rng.normal(size=(n, 6)), 1), rng.choice(["red", "green", "blue", "grey"], (n, 2))
    y = ((numbers[:, 0] > 0.4) & (colours[:, 0] != "red") | (numbers[:, 1] < -1)) ^ (rng.random(n) < 0.05)
    cells = [[*map(float, row), *map(str, names)] for row, names in zip(numbers, colours, strict=True)]
    return {"cells": [[None if rng.random() < 0.03 else cell for cell in row] for row in cells], "y": y.tolist()}


def bit_set(n: int, n_bits: int, *, n_clauses: int) -> Json:
    """Rows of bits, a tenth of them 1, or half of them where they are few."""
    rng = np.random.default_rng(0)
    bits = (rng.random((2 * n, n_bits)) < (0.1 if n_bits > 100 else 0.5)).astype(int)
    y = bits[:, 0] ^ bits[:, 1] if n_bits <= 100 else (bits[:, :8].sum(axis=1) > 0).astype(int)
    settings = {"n_clauses": n_clauses, "T": 15, "s": 3.9, "n_epochs": 2}
    return {"bits": bits[:n].tolist(), "y": y[:n].tolist(), "told": bits[n:].tolist(), "settings": settings}


def small_class_set(n: int) -> Json:
    """Vectors of two classes, one row in ten of the small one."""
    rng = np.random.default_rng(0)
    return {"X": rng.normal(size=(n, 32)).tolist(), "y": (np.arange(n) % 10 == 0).astype(int).tolist(),
            "n_neighbors": 5}  # fmt: skip


def answers(python: str, side: str, asked: Json) -> Json:
    """What a package says, in a process and an environment of its own; {} if that environment hasn't got it.

    Raises
    ------
    ValueError
        If it failed for another reason; with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as temporary:
        given, answered = Path(temporary) / "asked.json", Path(temporary) / "answered.json"
        given.write_text(json.dumps(asked))
        done = subprocess.run(
            [python, str(SIDES / side), str(given), str(answered)], check=False, capture_output=True, text=True
        )
        if "ModuleNotFoundError" in done.stderr or "PackageNotFoundError" in done.stderr:
            return {}
        if done.returncode:
            raise ValueError(f"oracle {python} ended with {done.returncode} in {side}: {done.stderr[-500:]}")
        return dict(json.loads(answered.read_text()))


def _timed(fit: Callable[[], Any], predict: Callable[[Any], Any]) -> tuple[Any, Json]:
    """What is said in the end, and seconds of the CPU for both, once scikit-learn has looked its plugins up."""
    import time

    from sklearn.base import BaseEstimator
    from sklearn.utils.validation import validate_data

    validate_data(BaseEstimator(), np.ones((1, 1)))  # the first check in a process takes some 10 ms more
    start = time.process_time()
    model = fit()
    fitted = time.process_time()
    said = predict(model)
    return said, {"fit": fitted - start, "predict": time.process_time() - fitted}


def made_ready(folder: str) -> float:
    """CPU seconds until the Tsetlin machine can learn, where a folder keeps what is compiled or gets it."""
    import time

    os.environ["NUMBA_CACHE_DIR"] = folder
    start = time.process_time()
    _learn_little()
    return time.process_time() - start


def _learn_little() -> None:
    from raypipe.classify.tsetlin import TsetlinMachine

    TsetlinMachine(n_clauses=2, n_epochs=1, random_state=0).fit(np.eye(2), np.arange(2))


def ss3_answers(asked: Json) -> Json:
    """SS3 from texts, as pyss3 is given them."""
    import pyarrow as pa

    from raypipe.classify.ss3 import SS3
    from raypipe.fitting.words import WordCounts

    (one,) = asked["sets"].values()
    documents = [" ".join(f"w{word}" for word, n in enumerate(row) for _ in range(n)) for row in one["counts"]]
    texts = [" ".join(f"w{word}" for word in text) for text in one["texts"]]

    def fit() -> Any:
        words = WordCounts(("text",)).fit(table := pa.table({"text": documents}))
        return words, SS3().fit(words.encode(table)[0], np.arange(len(documents)))

    said, seconds = _timed(fit, lambda found: found[1].predict(found[0].encode(pa.table({"text": texts}))[0]))
    return {"said": said.tolist(), "seconds": seconds, "says": f"{len(texts):,} texts"}


def fold_answers(asked: Json) -> Json:
    """FOLD-SE at FOLD-R++'s settings, whose rules are then the same."""
    from raypipe.classify.fold_se import FoldSE

    (one,) = asked["tables"].values()
    X, y = np.array(one["cells"], object), np.array(one["y"])
    model = FoldSE(criterion="ig", tail=0.0, complements=False, positive=True)
    said, seconds = _timed(lambda: model.fit(X, y), lambda fitted: fitted.predict(X))
    return {"said": said.tolist(), "seconds": seconds, "says": f"{len(X):,} rows"}


def tsetlin_answers(asked: Json) -> Json:
    """The Tsetlin machine; it draws otherwise, so answers differ."""
    from raypipe.classify.tsetlin import TsetlinMachine

    (one,) = asked["sets"].values()
    X, y, told = (np.array(one[name], float) for name in ("bits", "y", "told"))
    model = TsetlinMachine(**one["settings"], random_state=0)
    _learn_little()
    said, seconds = _timed(lambda: model.fit(X, y.astype(int)), lambda fitted: fitted.predict(told))
    says = f"{len(X):,} rows, {X.shape[1]:,} bits, {model.n_clauses} clauses"
    return {"said": said.tolist(), "seconds": seconds, "says": says}


def smote_answers(asked: Json) -> Json:
    """SMOTE's new rows."""
    import sklearn.neighbors  # noqa: F401  # not loaded before a fit asks; the other side's is loaded before it starts

    from raypipe.classify.smote import SMOTE

    (one,) = asked["sets"].values()
    X, y = np.array(one["X"]), np.array(one["y"])
    (_, found), seconds = _timed(lambda: SMOTE(k=one["n_neighbors"], random_state=0).fit_resample(X, y), lambda of: of)
    return {"counts": np.bincount(found).tolist(), "seconds": {"fit": seconds["fit"]}, "says": f"{len(X):,} rows"}


def told(theirs: Json, mine: Json) -> Json:
    """The other side's seconds, how often both say the same, and how many times as long it took."""
    if not theirs:
        return {"theirs": None, "same": None, "ratio": None}
    (one,) = (theirs.get("sets") or theirs["tables"]).values()
    said = one.get("said", one.get("predicted", one.get("counts")))
    same = float(np.mean(np.array(said) == np.array(mine.get("said", mine.get("counts")))))
    ratio = sum(one["seconds"].values()) / max(sum(mine["seconds"].values()), 1e-9)
    return {"theirs": one["seconds"], "same": same, "ratio": ratio}


def taken_over(method: str, n_rows: int, d: int) -> Json:
    """Seconds of the CPU for vectors through a classifier as classify_corpus takes them, and what memory it added."""
    import resource
    import time

    import pyarrow as pa

    from raypipe.columns import REASON
    from raypipe.fitting.inputs import input_for
    from raypipe.models.fitted import save_fitted
    from raypipe.run.classify import BATCH_ROWS, Classify
    from raypipe.storage.folder import Folder

    def table(rng: np.random.Generator, n: int) -> pa.Table:
        values = pa.array(rng.normal(size=n * d).astype(np.float32))
        return pa.table({"v": pa.FixedSizeListArray.from_arrays(values, d)})

    rng = np.random.default_rng(0)
    learnt = table(rng, 400)
    kind = method_class(method)
    feed = input_for(taken_by(kind), learnt, ("v",), n_dimensions=d).fit(learnt)
    X = feed.encode(learnt)[0]
    y = np.where(np.asarray(X[:, 0] + X[:, 1], float) > 0, "yes", "no")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Folder(temporary)
        save_fitted(kind().fit(X, y), folder, feed=feed)
        op = Classify(kind, folder, ("v",))
        op.identity()
        of_batch = table(rng, 8 * BATCH_ROWS).append_column(REASON, pa.nulls(8 * BATCH_ROWS, pa.string()))
        op.prepare(of_batch.slice(0, 8))
        before, start, done = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), 0
        while done < n_rows:
            done += len(op.prepare(of_batch.slice(0, min(len(of_batch), n_rows - done))))
        seconds, after = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"rows": done, "seconds": seconds, "added_mib": (after - before) / 1024, "peak_mib": after / 1024}


def bars(compared: Json, applied: Json, config: Config) -> list[Json]:
    """As fast as each package that is there, the same answers where both must give them, and bounded memory."""
    found = []
    for name, of in compared.items():
        if of["theirs"] is None:
            continue
        rule = f"{name}: the package's CPU time over ours, at least"
        found.append({"rule": rule, "value": of["ratio"], "bar": config.min_ratio,
                      "met": of["ratio"] >= config.min_ratio})  # fmt: skip
        if not name.startswith("Tsetlin"):
            rule = f"{name}: share of answers that are the same, at least"
            found.append({"rule": rule, "value": of["same"], "bar": 0.99, "met": of["same"] >= 0.99})
    for name, of in applied.items():
        rule = f"{name}: MiB that {of['rows']:,} vectors add, at most"
        met = of["added_mib"] <= config.max_memory_mib
        found.append({"rule": rule, "value": of["added_mib"], "bar": config.max_memory_mib, "met": met})
    return found


def show(result: Json) -> None:
    """The tables and the bars, for a terminal."""
    console = Console(width=130)
    table = Table("CPU seconds", "on", "fit", "predict", "their fit", "their predict", "x", "same answers")
    for name, of in result["compared"].items():
        theirs = of["theirs"] or {}
        numbers = [
            f"{of_side[part]:.3f}" if part in of_side else ""
            for of_side in (of["ours"], theirs) for part in ("fit", "predict")
        ]  # fmt: skip
        last = [f"{of['ratio']:.2f}", f"{of['same']:.1%}"] if theirs else ["not installed", ""]
        table.add_row(name, of["says"], *numbers, *last)
    console.print(table)
    table = Table("taken over vectors", "rows", "CPU s", "rows/s", "MiB added", "MiB at most")
    for name, of in result["applied"].items():
        speed = f"{of['rows'] / of['seconds']:,.0f}"
        memory = (f"{of['added_mib']:.0f}", f"{of['peak_mib']:.0f}")
        table.add_row(name, f"{of['rows']:,}", f"{of['seconds']:.1f}", speed, *memory)
    console.print(table)
    console.print(f"one thread each, in turn; {result['versions']}")
    ready = result["ready"]
    says = f"{ready['first']:.1f} CPU s the first time on a machine, {ready['later']:.1f} in a later process"
    console.print(f"the Tsetlin machine is ready after {says}{'' if ready['numba'] else ' (without numba)'}")
    for bar in result["bars"]:
        console.print(f"{'met' if bar['met'] else 'MISSED'}: {bar['rule']}: {bar['value']:.3g} (bar {bar['bar']:g})")
