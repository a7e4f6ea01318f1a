"""What the command line of a job takes, for the job's page: the very words of its --help."""

import importlib
import io
import os
import sys
from contextlib import redirect_stdout, suppress
from unittest import mock

WIDTH = "110"
"""Columns of the help."""


def helps() -> dict[str, tuple[str, str]]:
    """Module of a job -> the command that asks for its help, and what that says."""
    jobs = importlib.import_module("jobs.__main__")
    return {f"jobs.{name}": (f"raypipe {name} --help", help_of(name)) for name in jobs.JOBS}


def help_of(name: str) -> str:
    """The words of a job's --help, without colours.

    Raises
    ------
    RuntimeError
        If it says nothing.
    """
    run, said = importlib.import_module("jobs.__main__").run, io.StringIO()
    settings = {"COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    with (
        mock.patch.dict(os.environ, settings),
        mock.patch.object(sys, "argv"),
        redirect_stdout(said),
        suppress(SystemExit),
    ):
        run(name, ["--help"])
    if not (words := "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())):
        raise RuntimeError(f"job {name} has no help; mend it, or leave it out of JOBS.")
    return words
