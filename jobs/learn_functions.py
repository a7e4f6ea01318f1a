"""Labelling functions from few labels: python -m jobs.learn_functions --corpus DATA --output RUN --labels LABELS.jsonl.

A hundred labelled rows and many without a label, as vectors or numbers of the run's stages (--columns), become rules
of one number each, by Snuba or interactive weak supervision, each class against the rest. RUN/functions/functions.yaml
holds them for `label_corpus`, beside functions of other kinds if you like; a rule abstains where it is unsure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import numpy as np

from raypipe.fitting.sample import ColumnSample
from raypipe.run.inputs import resolve, sizes_of, stages_of
from raypipe.runs.stage import at_work
from raypipe.settings.identity import identity_of

from .parts import learnt_rules, settings
from .parts.classifiers import gathered, read_labels
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name

if TYPE_CHECKING:
    from raypipe.label.autows.rules import Rules

STAGE, LABELLED, POOL, FILE = "functions", "labelled", "pool", "functions.yaml"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of learn_functions."""

    labels: str
    """Parquet or JSON file of rows with `id` and `label`: a hundred will do."""
    columns: tuple[str, ...] = ("embeddings.embedding",)
    """One column of vectors, or several of numbers, STAGE.COLUMN each. Repeatable."""
    method: Literal["snuba", "iws"] = "snuba"
    """What learns: Snuba, or interactive weak supervision."""
    pool: int = 20_000
    """Rows without a label that it looks at, at most."""
    seed: int = 0
    """Of the rows that are drawn, and of iws."""


def main(config: Config) -> int:
    """Learn and write the functions; a second start does it again."""
    labels = read_labels(config.labels)
    if config.pool < 1:
        raise ValueError(f"pool must be at least 1, got {config.pool}.")
    stage = stage_name(STAGE, config)
    with life_of(config, "learn_functions", stages=[stage]) as life:
        corpus, stages = config.to_corpus(), stages_of(config.columns)
        resolve(life.run, config.columns, stages=stages)  # wrong names end here, before any worker
        sizes = sizes_of(life.run, stages[0])
        read = identity_of(corpus, sizes)
        life.begin()
        given = ColumnSample(config.columns, len(labels), config.seed, frozenset(labels))
        known = gathered(given, life, stage_name(LABELLED, config), corpus, sizes, read)
        asked = ColumnSample(config.columns, config.pool, config.seed)
        pool = gathered(asked, life, stage_name(POOL, config), corpus, sizes, read)
        folder = life.run / stage
        identity = {**read, "method": config.method, "columns": list(config.columns), "seed": config.seed}
        with at_work(folder, {"stage": stage, "kind": "functions", "identity": identity}) as own, life.at_once():
            text, said = _learned(config, labels, known, pool)
            folder.write(FILE, text.encode())
            own["counts"] = {"rows": len(known.X), "pool": len(pool.X)}
            own["result"] = {"sha256": sha256(text.encode()).hexdigest()}
        print(f"{len(known.X):,} of {len(labels):,} labelled rows are there, {len(pool.X):,} rows to look at")
        print("\n".join(said))
        print(f"Functions: {folder.uri}/{FILE}")
        life.conclude()
    return life.status


def _learned(config: Config, labels: dict[str, str], known: ColumnSample, pool: ColumnSample) -> tuple[str, list[str]]:
    """The file, and a line a class.

    Raises
    ------
    ValueError
        If a class has no row with these columns, or no rule.
    """
    classes, y = np.unique([labels[name] for name in known.row_ids], return_inverse=True)
    wanted = sorted(set(labels.values()))
    if without := sorted(set(wanted) - set(classes.tolist())):
        raise ValueError(f"class {without[0]!r} of --labels has no row with {', '.join(config.columns)} in this run.")
    if np.isin(pool.row_ids, list(labels)).all():
        raise ValueError(f"rules are learned beside rows without a label, and all {len(pool.X)} have one; label fewer.")
    learn = _learner(config)
    runs = [learn(known.X, (y == k).astype(int), pool.X) for k in ([1] if len(classes) == 2 else range(len(classes)))]
    return learnt_rules.of_autows(runs, classes.tolist(), list(config.columns), config.method)


def _learner(config: Config) -> "Callable[[np.ndarray, np.ndarray, np.ndarray], Rules]":
    if config.method == "iws":
        from raypipe.label.autows.iws import iws

        return partial(iws, random_state=config.seed)
    from raypipe.label.autows.snuba import snuba

    return snuba


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
