"""What a paper claims, run as a sweep and judged with error bars: python -m jobs.study NAME [--seeds N] [--list]."""

import sys
from dataclasses import dataclass

from raypipe.runs.names import nearest

from .parts import settings
from .parts.common import run_job
from .parts.studying import StudySettings, has_to_run, list_studies, run_study
from .studies.study import load_study, study_names
from .studies.verdicts import write_table


@dataclass(frozen=True, kw_only=True)
class Config(StudySettings):
    """Settings of study."""


def main(config: Config) -> int:
    """Run a study, or several; 0 whatever the claims' outcomes are, 1 if a trial failed."""
    names = study_names()
    if config.list:
        list_studies(names)
        return 0
    if config.all:
        status = max([run_study(study, config) for study in map(load_study, names) if has_to_run(study)], default=0)
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
