"""Throwing a stage away to do it again: which may be named, what it costs, and whether the user agrees."""

import sys

from raypipe.runs.card import CARD, device_hours, read_card, stages_of
from raypipe.runs.names import nearest
from raypipe.storage.folder import Folder


def check_restart(run: Folder, stage: str, *, own: list[str], yes: bool) -> None:
    """Refuse a stage that isn't there or that this job wouldn't do again; `own` are those that it would.

    Raises
    ------
    ValueError
        With the nearest name; or if there is nobody to ask.
    """
    if not own:
        raise ValueError(f"--restart has no effect here: this job keeps no stage to go on with, got {stage!r}.")
    if stage not in own:
        raise ValueError(f"--restart must name a stage that this job does, got {stage!r}; {nearest(stage, own)}.")
    if not (run / stage).files(recursive=True):
        there = [name for name in stages_of(run) if name in own]
        raise ValueError(f"{run.uri} has no stage {stage!r} to restart; {nearest(stage, there)}.")
    if not yes and not sys.stdin.isatty():
        raise ValueError("--restart needs --yes where nobody can be asked.")


def throw_away(run: Folder, stage: str, *, yes: bool) -> None:
    """Delete a stage's files, after saying what they cost and, without `yes`, asking.

    Raises
    ------
    ValueError
        If the user doesn't agree.
    """
    folder = run / stage
    files, hours = folder.files(recursive=True), device_hours(read_card(folder) or {})
    print(f"--restart {stage} throws away {len(files)} files and {hours:.2f} device-hours of work.")
    if not yes and input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise ValueError("nothing was thrown away.")
    # without its card the rest is stale, whatever happens
    for file in sorted(files, key=lambda file: file.path != CARD):
        folder.delete(file.path)
