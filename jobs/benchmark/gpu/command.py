"""Everything to know of a GPU in under nine minutes: python -m jobs.benchmark gpu --json FILE.

No Ray, no network: the way from here to the last line needs torch, transformers, safetensors, numpy and pyarrow, as
they lie on a machine that was lent for an hour. Steps run in processes of their own, each for a limited time; one that
fails, or takes the device's context with it, costs only itself. Without a GPU, or with --rehearse, shapes are tiny.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .show import table
from .supervise import StepOutcome, run_group

TOTAL_S = 525.0
"""For all; what has no time left then is cut, and said to be."""
SCORING = {
    "plain": 45.0, "sorted": 45.0, "single": 45.0, "raypipe": 45.0, "float8": 45.0,
    "compiled": 110.0, "float8-compiled": 110.0,
}  # fmt: skip
GROUPS: dict[str, tuple[str, dict[str, float]]] = {
    "card": ("card", {"machine": 60.0, "peak-bfloat16": 30.0, "peak-float32": 30.0, "peak-float8": 30.0}),
    "losses": ("losses", {"float32": 40.0, "bfloat16": 40.0, "float8": 40.0}),
    "scoring-1.3b": ("scoring", SCORING),
    "training": ("training", {"packed": 90.0, "packed-compiled": 120.0}),
    "scoring-135m": ("scoring", SCORING),
}
"""Steps that share a process while all goes well: their module, and the seconds that each may take. What is worth most
to know comes first: time runs out for the last ones."""


def main(arguments: Sequence[str]) -> int:
    """Run all steps, print the table, write the file after each of them; status 1 if any failed or was cut."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` ends the processes below us
    begun = time.monotonic()
    result: dict[str, Any] = {**provenance(), "rehearsed": None, "parts": {}, "not_done": {}}
    with tempfile.TemporaryDirectory() as folder:
        for group, (module, limits) in GROUPS.items():
            outcomes = run_group(
                group, f"{__package__}.{module}", limits, Path(folder), ends_at=begun + options.total_s,
                rehearse=options.rehearse,
            )  # fmt: skip
            for step, outcome in outcomes:
                note(result, group, step, outcome)
                result["seconds"] = round(time.monotonic() - begun, 1)
                print(f"{group} {step}: {outcome.trouble or 'done'} ({outcome.seconds:.0f} s)", flush=True)
                Path(options.json).write_text(json.dumps(result, indent=1))
    print(table(result))
    return 1 if result["not_done"] else 0


def note(result: dict[str, Any], group: str, step: str, outcome: StepOutcome) -> None:
    """Put what a step found, or why it found nothing, into the result."""
    if outcome.trouble is not None:
        result["not_done"][f"{group} {step}"] = outcome.trouble
        return
    if step == "machine":
        result |= outcome.found
        return
    result["parts"].setdefault(group, {})[step] = {**outcome.found, "seconds": round(outcome.seconds, 1)}


def provenance() -> dict[str, Any]:
    """When, and of which commit; None where this is no clone."""
    here = Path(__file__).resolve().parent
    commit = _git(here, "rev-parse", "HEAD")
    changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit, "changed": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.benchmark gpu", description=__doc__)
    parser.add_argument("--json", required=True, help="file for the figures, written anew after each step")
    parser.add_argument("--rehearse", action="store_true", help="tiny shapes, also on a GPU")
    parser.add_argument("--total-s", type=float, default=TOTAL_S, help="seconds for all (default: %(default)s)")
    return parser.parse_args(arguments)
