"""Give a job to a cluster and follow it to its end: python -m jobs.submit http://HEAD:8265 curate --config RECIPE.

Settings are checked here, Ray's version and the token before anything is sent, packages and machines before anything
runs. The job is this clone's own code, its status is this command's; given again, it goes on where it stopped.
"""

import argparse
import asyncio
import importlib
import os
import shlex
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .parts import settings
from .parts.common import run_job

LEFT_OUT = ["/.git", "/.venv", "/tests", "/runs", "/data", "/build", "**/*.egg-info", "**/__pycache__"]
"""What isn't sent beside what .gitignore and .rayignore name; Ray unpacks the rest on each machine."""
MAX_BYTES = 20_000_000
ANSWER_S = 5.0
ENDED_BY_HAND = 130


def main(words: Sequence[str] | None = None) -> int:
    """Submit the job and return its status, 130 if following it was interrupted: then the job goes on."""
    parser = argparse.ArgumentParser(prog="raypipe submit", description=__doc__.partition("\n")[0])
    parser.add_argument("address", help="the dashboard's address: http://HEAD:8265")
    parser.add_argument("job", help="its name, as in `raypipe NAME`")
    parser.add_argument("settings", nargs=argparse.REMAINDER, help="the job's own")
    given = parser.parse_args(words)
    job = given.job.replace("-", "_")
    check_job(job, given.settings)
    client = reach(given.address)
    name = client.submit_job(
        entrypoint=shlex.join(["python", "-m", "jobs.parts.on_cluster", job, *given.settings]),
        runtime_env={"working_dir": str(clone()), "excludes": LEFT_OUT},
    )
    print(f"submitted as {name}; to stop it: ray job stop --address {given.address} {name}", flush=True)
    return follow(client, name)


def check_job(job: str, words: Sequence[str]) -> None:
    """Refuse a job that isn't there, and settings that it would refuse, as it does itself: with status 2.

    Raises
    ------
    ValueError
        If there is no such job, or it can't be submitted.
    """
    from .__main__ import JOBS

    if job not in JOBS or job in ("submit", "benchmark"):
        raise ValueError(f"job must be one of {', '.join(JOBS)}, but neither submit nor benchmark, got {job!r}.")
    settings.parse(importlib.import_module(f".{job}", __package__).Config, words)


def clone() -> Path:
    """The folder of this code, which is sent.

    Raises
    ------
    ValueError
        If this isn't a clone, or holds too much.
    """
    folder = Path(__file__).resolve().parents[1]
    if not (folder / "pyproject.toml").exists():
        raise ValueError(f"jobs are submitted from a clone, but {folder} has no pyproject.toml.")
    files = (path for part in sent(folder) for path in part.rglob("*") if "__pycache__" not in path.parts)
    sizes = {path: path.stat().st_size for path in files if path.is_file()}
    if sum(sizes.values()) > MAX_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        raise ValueError(
            f"the clone holds {sum(sizes.values()) / 1e6:.0f} MB beside data and runs, the largest file is {largest}; "
            "at most 20 MB are sent to each machine: keep data outside, on a store that all machines see."
        )
    return folder


def sent(folder: Path) -> list[Path]:
    """The folders of a clone that hold code."""
    left_out = {name.strip("/*") for name in LEFT_OUT}
    return [part for part in folder.iterdir() if part.is_dir() and part.name not in left_out and part.name[0] != "."]


def reach(address: str) -> Any:
    """A client of the cluster's dashboard, which has answered and has our version of Ray.

    Raises
    ------
    ValueError
        If the address is none, the token is refused, or the versions differ.
    OSError
        If nobody answers.
    """
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"address must be that of a dashboard, like http://HEAD:8265, got {address!r}.")
    try:
        socket.create_connection((url.hostname, url.port or 8265), timeout=ANSWER_S).close()
    except OSError as error:
        raise OSError(
            f"{address} doesn't answer ({error}); see that the head is up and its port open to you."
        ) from None
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray looks when it is imported
    import ray
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        client = JobSubmissionClient(address)
        theirs = client._do_request("GET", "/api/version").json()["ray_version"]
    except AuthenticationError as error:
        raise ValueError(
            f"{address} refuses us: {str(error).splitlines()[0]} Put the cluster's token into ~/.ray/auth_token or "
            "RAY_AUTH_TOKEN."
        ) from None
    if theirs != ray.__version__:
        raise ValueError(
            f"the cluster runs Ray {theirs}, this clone {ray.__version__}; install the clone's version there "
            "(cluster/Dockerfile), or check out the clone that the cluster was made from."
        )
    return client


def follow(client: Any, name: str) -> int:
    """Print the job's words as they come, and return its status."""
    try:
        asyncio.run(_show(client, name))
    except KeyboardInterrupt:
        print(f"\nno longer following {name}, which goes on.", file=sys.stderr)
        return ENDED_BY_HAND
    found = client.get_job_info(name)
    if found.driver_exit_code is None:  # it never ran, or was stopped from outside
        raise OSError(f"{name} has {found.status.value}: {found.message}")
    return int(found.driver_exit_code)


async def _show(client: Any, name: str) -> None:
    n_shown = 0
    while True:
        n_seen = 0
        async for text in client.tail_job_logs(name):  # from the beginning, also after the connection broke
            fresh = text[max(0, n_shown - n_seen) :]
            n_seen += len(text)
            print(fresh, end="", flush=True)
            n_shown = max(n_shown, n_seen)
        if client.get_job_status(name).is_terminal():
            return
        await asyncio.sleep(1)


if __name__ == "__main__":
    run_job(main)
