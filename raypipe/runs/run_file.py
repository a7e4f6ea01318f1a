"""run.json: what was asked of a run, by which jobs, and how far they are."""

import json
from typing import Any

import raypipe
from raypipe.runs.card import Json, now
from raypipe.storage.folder import Folder
from raypipe.storage.uris import redact

RUN_FILE = "run.json"


def read_run_file(run: Folder) -> Json | None:
    """What run.json says, None where there is none.

    Raises
    ------
    ValueError
        If it isn't JSON.
    """
    try:
        return dict(json.loads(run.read(RUN_FILE)))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{run.uri}/{RUN_FILE} isn't JSON ({error}); restore it or delete it.") from error


def begun(before: Json | None, *, run: str, job: str, recipe: Json, stages: list[str], is_main: bool) -> Json:
    """run.json once a job is at work; `is_main`: the report shows the recipe of this job before that of others."""
    noted = before or {"raypipe": raypipe.__version__, "name": run.rsplit("/", 1)[-1], "created": now()}
    clean = without_secrets(recipe)
    jobs = {**noted.get("jobs", {}), job: {"status": "running", "began": now(), "recipe": clean}}
    is_shown = is_main or noted.get("recipe_of", job) == job
    shown = {"recipe": clean, "recipe_of": job} if is_shown else {}
    known = list(dict.fromkeys([*noted.get("stages", []), *stages]))
    return {**noted, **shown, "status": "running", "job": job, "stages": known, "jobs": jobs}


def ended(noted: Json, *, status: str, why: str | None) -> Json:
    """run.json once its job has ended."""
    end = {"status": status, "why": why} if why else {"status": status}
    job = {**noted["jobs"][noted["job"]], **end, "ended": now()}
    rest = {name: value for name, value in noted.items() if name != "why"}
    return {**rest, **end, "jobs": {**noted["jobs"], noted["job"]: job}}


def without_secrets(value: Any) -> Any:
    """Settings of any depth whose URIs are redacted."""
    if isinstance(value, dict):
        return {name: without_secrets(of) for name, of in value.items()}
    return redact([without_secrets(of) for of in value] if isinstance(value, list | tuple) else value)
