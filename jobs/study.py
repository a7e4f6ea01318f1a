"""What a paper claims, run as a sweep and judged with error bars: python -m jobs.study NAME [--seeds N] [--list]."""

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from raypipe.run.sweep import Need, Sweep, sweep
from raypipe.runs.life import Life
from raypipe.runs.names import nearest
from raypipe.runs.signals import Stopped
from raypipe.runs.trials import Metrics, Result, TrialFiles, TrialFunction, run_here
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.common import run_job
from .studies.open_data import FOLDER
from .studies.study import Study, load_study, study_names
from .studies.verdicts import identity_of, read_record, record, write_record, write_table


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


@dataclass(frozen=True)
class WithData:
    """A study's trial that finds the real data sets, on whatever worker it runs."""

    trial: TrialFunction
    folder: str | None

    def __call__(self, settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
        """The trial's metrics."""
        if self.folder is not None:
            os.environ[FOLDER] = self.folder
        return self.trial(settings, seed, folder)


def main(config: Config) -> int:
    """Run a study, or several; 0 whatever the claims' outcomes are, 1 if a trial failed."""
    names = study_names()
    if config.list:
        _list(names)
        return 0
    if config.all:
        status = max([_run(study, config) for study in map(load_study, names) if _is_stale(study)], default=0)
        write_table()
        return status
    if config.name not in names:
        raise ValueError(f"name must be a study's, got {config.name!r}; {nearest(config.name, names)}.")
    return _run(load_study(config.name), config)


def _is_stale(study: Study) -> bool:
    before = read_record(study.name)
    if before is None:
        return True
    return bool(before["identity"] != identity_of(study, data=tuple(before["data"]), seeds=before["seeds"]))


def _run(study: Study, config: Config) -> int:
    seeds = config.seeds or study.seeds
    if seeds < 2:
        raise ValueError(f"seeds must be at least 2 for an interval, got {seeds}.")
    there = tuple(name for name in study.more_data if config.data and (Path(config.data) / name).is_dir())
    left_out = tuple(name for name in study.more_data if name not in there)
    if left_out:
        print(f"{study.name}: not there, and left out: {', '.join(left_out)}.", file=sys.stderr)
    data = study.data + there
    run, recipe = Folder(config.output) / study.name, asdict(config)
    with Life(run, "study", recipe=recipe, stages=["trials"], restart=config.restart, yes=config.yes) as life:
        life.begin()
        results = _trials(study, config, life, data=data, seeds=seeds)
        found = record(study, results, data=data, left_out=left_out, seeds=seeds)
        _show(found)
        if config.seeds is None and not config.quick and not found["failed"]:
            print(f"Results: {write_record(found)}")
            write_table()
        for trial, error in found["failed"].items():
            print(f"failed: {trial}: {error}", file=sys.stderr)
        life.conclude(
            f"{len(found['failed'])} trials failed; --retry failed runs them again." if found["failed"] else None
        )
    return life.status


def _trials(study: Study, config: Config, life: Life, *, data: tuple[str, ...], seeds: int) -> list[Result]:
    folder = None if config.data is None else str(Path(config.data).resolve())
    files, function = TrialFiles(life.run / "trials", study.identity()), WithData(study.trial, folder)
    trials, retry = study.trials(data=data, seeds=seeds, quick=config.quick), config.retry == "failed"
    if config.on == "tune":
        return sweep(
            Sweep(function, files, trials, need=Need(study.cpus), retry=retry), life.run, stopping=life.stopping
        )
    results = run_here(function, trials, files, retry=retry, stopping=life.stopping)
    if life.stopping.is_set():
        raise Stopped(f"stopped; {len(results)} trials are done, go on with the same command.")
    return results


def _show(found: dict[str, Any]) -> None:
    """The verdicts on the terminal."""
    table = Table(title=f"{found['study']}: {found['summary']}", title_justify="left")
    for heading in ("claim", "verdict", "effect", "95 % interval", "bar", "n"):
        table.add_column(heading)
    for claim in found["claims"]:
        effect = claim["effect"]
        numbers = (f"{effect['mean']:.3g}", f"{effect['low']:.3g} to {effect['high']:.3g}") if effect else ("", "")
        table.add_row(claim["sentence"], claim["verdict"], *numbers, claim["bar"], str(effect.get("n", 0)))
    Console().print(table)


def _list(names: list[str]) -> None:
    for name in names:
        before, study = read_record(name), load_study(name)
        outcomes = [claim["verdict"] for claim in before["claims"]] if before else []
        said = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in dict.fromkeys(outcomes)) or "not run yet"
        print(f"{name:24}  {study.summary}\n{'':24}  {len(study.claims)} claims: {said}")


if __name__ == "__main__":
    given = sys.argv[1:]
    if given and not given[0].startswith("-"):
        given = ["--name", *given]
    run_job(lambda: main(settings.parse(Config, given)))
