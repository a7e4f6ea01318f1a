"""A study from its data to its verdicts: which data there are, its trials, the results file."""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from raypipe.report import write_report
from raypipe.run.chain import run_chain
from raypipe.run.sweep import Need, Sweep, sweep
from raypipe.runs.life import Life
from raypipe.runs.stage import at_work
from raypipe.runs.trials import Metrics, Result, TrialFiles, TrialFunction, run_all_here
from raypipe.storage.folder import Folder

from ..studies.open_data import FOLDER, STAGE
from ..studies.study import FEATURES, Study, load_study
from ..studies.verdicts import is_stale, read_record, record, write_record, write_table

RECORD = "verdicts/study.json"
"""What the report is made of; the committed results lie beside the studies."""


@dataclass(frozen=True, kw_only=True)
class StudySettings:
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
    made: str | None
    """URI of what the study has made of its data, where it makes something."""

    def __call__(self, settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
        """The trial's metrics."""
        if self.folder is not None:
            os.environ[FOLDER] = self.folder
        if self.made is not None:
            os.environ[STAGE] = self.made
        return self.trial(settings, seed, folder)


def has_to_run(study: Study) -> bool:
    """Whether there are no committed results of its code and bars as they are."""
    before = read_record(study.name)
    return before is None or is_stale(study, before)


def run_study(study: Study, config: StudySettings) -> int:
    """Run what has not been run, judge, and write the results; the exit status."""
    seeds = config.seeds or study.seeds
    if seeds < 2:
        raise ValueError(f"seeds must be at least 2 for an interval, got {seeds}.")
    there = tuple(name for name in study.more_data if config.data and (Path(config.data) / name).is_dir())
    left_out = tuple(name for name in study.more_data if name not in there)
    if left_out:
        print(f"{study.name}: not there, and left out: {', '.join(left_out)}.", file=sys.stderr)
    beside = arms_beside(study, config.data)
    if without := tuple(f"{arm} ({folder} of --data)" for arm, folder in study.needs.items() if arm not in beside):
        print(f"{study.name}: arms left out, as there is no folder for them: {', '.join(without)}.", file=sys.stderr)
    data, left_out = study.data + there, (*left_out, *without)
    run, recipe = Folder(config.output) / study.name, asdict(config)
    stages = ["trials", *([FEATURES] if study.stage else [])]
    with Life(run, "study", recipe=recipe, stages=stages, restart=config.restart, yes=config.yes) as life:
        life.begin()
        results = run_trials(study, config, life, data=data, seeds=seeds, beside=beside)
        found = record(study, results, data=data, left_out=left_out, seeds=seeds, beside=beside)
        show(found, results, life)
        if config.seeds is None and not config.quick and not found["failed"]:
            print(f"Results: {write_record(found)}")
            write_table()
        for trial, error in found["failed"].items():
            print(f"failed: {trial}: {error}", file=sys.stderr)
        life.conclude(
            f"{len(found['failed'])} trials failed; --retry failed runs them again." if found["failed"] else None
        )
        print(f"Report: {write_report(life.run).removeprefix('file://')}")
    return life.status


def arms_beside(study: Study, folder: str | None) -> tuple[str, ...]:
    """The arms whose folder, which not everybody has, is there."""
    return tuple(arm for arm, name in study.needs.items() if folder and (Path(folder) / name).is_dir())


def run_trials(
    study: Study, config: StudySettings, life: Life, *, data: tuple[str, ...], seeds: int, beside: tuple[str, ...]
) -> list[Result]:
    """How all trials ended."""
    folder = None if config.data is None else str(Path(config.data).resolve())
    made = _features(study, config, life, folder, data=data)
    files, function = TrialFiles(life.run / "trials", study.identity()), WithData(study.trial, folder, made)
    trials = study.trials(data=data, seeds=seeds, quick=config.quick, beside=beside)
    retry = config.retry == "failed"
    if config.on == "tune":
        return sweep(
            Sweep(function, files, trials, need=Need(study.cpus), retry=retry), life.run, stopping=life.stopping
        )
    return run_all_here(function, trials, files, retry=retry, stopping=life.stopping)


def _features(
    study: Study, config: StudySettings, life: Life, folder: str | None, *, data: tuple[str, ...]
) -> str | None:
    """Make what all trials share; its URI, None where there is nothing of the kind."""
    if study.stage is None:
        return None
    if folder is not None:
        os.environ[FOLDER] = folder
    own = life.run / FEATURES
    with at_work(own, {"stage": FEATURES, "kind": "chain", "identity": {}}):
        run_chain(study.features(data=data, quick=config.quick), own, life.stopping)
    return own.uri


def show(found: dict[str, Any], results: list[Result], life: Life) -> None:
    """The verdicts on the terminal, and where the run's report finds them."""
    _show(found)
    seconds: dict[str, float] = {}
    for result in results:
        arm = str(result.trial.settings["arm"])
        seconds[arm] = seconds.get(arm, 0.0) + result.seconds
    life.run.write(RECORD, json.dumps({**found, "arm_seconds": seconds}, indent=1).encode())


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


def list_studies(names: list[str]) -> None:
    """Which studies there are, and what came of them, on the terminal."""
    for name in names:
        before, study = read_record(name), load_study(name)
        outcomes = [claim["verdict"] for claim in before["claims"]] if before else []
        said = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in dict.fromkeys(outcomes)) or "not run yet"
        print(f"{name:24}  {study.summary}\n{'':24}  {len(study.claims)} claims: {said}")
