"""Weak labels for a strong model: python -m jobs.weak_to_strong --data rows.parquet --weak tiny --output RUN.

A weak model learns one half of the rows from their truth and labels the other half; the strong model learns these soft
labels; its ceiling learns the truth of the first half. All are tested on the same rows, for every seed anew.
"""

import json
from dataclasses import dataclass

from raypipe.run.chain import run_chain
from raypipe.runs.stage import at_work

from .parts import settings
from .parts.binary_data import say_skipped
from .parts.common import life_of, run_job, stage_name
from .parts.weak_to_strong.arms import arms_of, seeds_of
from .parts.weak_to_strong.check import check
from .parts.weak_to_strong.links import chain_of
from .parts.weak_to_strong.results import results_of, table_of
from .parts.weak_to_strong.rows import STAGE, load_rows
from .parts.weak_to_strong.settings import WeakToStrongSettings


@dataclass(frozen=True, kw_only=True)
class Config(WeakToStrongSettings):
    """Settings of weak_to_strong."""


def main(config: Config) -> int:
    """Train what isn't trained yet, then write RUN/weak_to_strong/results.json and table.txt."""
    stage = stage_name(STAGE, config.run)
    with life_of(config.run, "weak_to_strong", recipe=config, stages=[stage]) as life:
        folder = life.run / stage
        load_rows.cache_clear()  # files may have changed since this process last looked
        arms = arms_of(config, check(config))
        rows = load_rows(config).rows
        say_skipped(rows)
        life.begin()
        with at_work(folder, {"stage": stage, "kind": "chain", "identity": {}}):
            run_chain(chain_of(config, arms), folder, life.stopping)
            results = results_of(config, rows, arms, seeds_of(config))
            table = table_of(results)
            folder.write("results.json", json.dumps(results, indent=1).encode())
            folder.write("table.txt", table.encode())
        print(table, end="")
        print(f"Results: {folder.uri.removeprefix('file://')}/results.json")
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
