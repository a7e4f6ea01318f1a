"""Programs that a model wrote, run against their tests: without a network, with little time and memory, in no folder.

Each runs in a process group of its own, in an empty folder that goes away, with an empty environment, behind `unshare`
in a network of its own with nobody in it. That keeps accidents in; it is no jail for an attacker: files that this user
may read can be read.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

GUARD = Path(__file__).parent / "guard.py"
UNSHARE = ("--user", "--map-root-user", "--net")
Outcome = Literal["passed", "failed", "out of time", "out of memory"]


@dataclass(frozen=True)
class ProgramLimits:
    """What a program may use."""

    seconds: float = 5.0
    """Of the clock."""
    memory_mb: int = 1024
    """Of address space."""
    needs_no_network: bool = True
    """Refuse to run where the network can't be taken away."""


@cache
def without_network() -> tuple[str, ...] | None:
    """The words before a command that take the network away from it; None where this machine can't."""
    tool = shutil.which("unshare")
    for options in (UNSHARE, UNSHARE[2:]) if tool else ():
        command = (str(tool), *options)
        if subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0:
            return command
    return None


def check_limits(limits: ProgramLimits) -> None:
    """Refuse to run programs where the network stays with them, unless that is allowed.

    Raises
    ------
    ValueError
        With the way out.
    """
    if limits.seconds <= 0 or limits.memory_mb < 64:
        raise ValueError(
            f"a program needs some seconds and 64 MB of memory, got {limits.seconds} and {limits.memory_mb}."
        )
    if limits.needs_no_network and without_network() is None:
        raise ValueError(
            "a model's programs run without a network, and `unshare --net` doesn't work on this machine; run it where "
            "it does, or allow it with --code-network."
        )


def run_program(program: str, limits: ProgramLimits) -> Outcome:
    """How a program ended; it has passed if it came to its end without an exception."""
    command = [] if not limits.needs_no_network else [*(without_network() or ())]
    with tempfile.TemporaryDirectory(prefix="raypipe-program-") as folder:
        path, done, token = Path(folder, "program.py"), Path(folder, "done"), secrets.token_hex(16)
        path.write_text(program, encoding="utf-8", errors="replace")
        command += [sys.executable, "-I", "-S", str(GUARD), str(path), str(done)]
        command += [str(max(1, int(limits.seconds + 1))), str(limits.memory_mb << 20)]
        with open(Path(folder, "said"), "wb") as said:
            child = subprocess.Popen(
                command, cwd=folder, env={}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said,
                start_new_session=True,
            )  # fmt: skip
        try:
            child.communicate(token.encode(), timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            return "out of time"
        finally:
            _kill_group(child)
        if done.exists() and done.read_text() == token:
            return "passed"
        if child.returncode in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
            return "out of time"
        return "out of memory" if _ends_with(Path(folder, "said"), b"MemoryError") else "failed"


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    """The program and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _ends_with(file: Path, words: bytes) -> bool:
    return file.exists() and words in file.read_bytes()[-2000:]


def outcomes(programs: Sequence[str], limits: ProgramLimits) -> list[Outcome]:
    """How each ended, one after the other.

    Raises
    ------
    ValueError
        If they may not run here.
    """
    check_limits(limits)
    return [run_program(program, limits) for program in programs]
