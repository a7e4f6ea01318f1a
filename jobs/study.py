"""What a paper claims, run as a sweep and judged with error bars: python -m jobs.study NAME [--seeds N] [--list]."""

import sys
from dataclasses import dataclass
from typing import Literal

from raypipe.runs.names import nearest

from .parts import settings
from .parts.common import run_job
from .parts.studying import is_stale, list_studies, run_study
from .studies.study import load_study, study_names
from .studies.verdicts import write_table


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of study."""

    name: str = ""
    """The study; it may also stand first, without a flag."""
    list: bool = False
    """Say which studies there are, and what came of them."""
    all: bool = False
    """Every study whose identity changed since its results were committed; then jobs/studies/RESULTS.md."""
    seeds: int | None = None
    """Seeds of every arm; None: the study's own number, and only then are the results those that are committed."""
    data: str | None = None
    """Folder of real data sets, which the study adds to its own, each a folder of its name."""
    output: str = "runs/studies"
    """Folder of the trials: a folder a study, gone on with if it is there."""
    on: Literal["tune", "here"] = "tune"
    """tune: trials side by side on Ray Tune. here: one after the other in this process."""
    restart: str | None = None
    """trials: throw the study's trials away and run them again; says first what they cost."""
    yes: bool = False
    """Don't ask before --restart throws work away."""
    retry: Literal["nothing", "failed"] = "nothing"
    """failed: take up again the trials that failed."""
    quick: bool = False
    """The tests' settings: seconds, no verdict worth the name, nothing to commit."""


def main(config: Config) -> int:
    """Run a study, or several; 0 whatever the claims' outcomes are, 1 if a trial failed."""
    names = study_names()
    if config.list:
        list_studies(names)
        return 0
    if config.all:
        status = max([run_study(study, config) for study in map(load_study, names) if is_stale(study)], default=0)
        write_table()
        return status
    if config.name not in names:
        raise ValueError(f"name must be a study's, got {config.name!r}; {nearest(config.name, names)}.")
    return run_study(load_study(config.name), config)


if __name__ == "__main__":
    given = sys.argv[1:]
    if given and not given[0].startswith("-"):
        given = ["--name", *given]
    run_job(lambda: main(settings.parse(Config, given)))
