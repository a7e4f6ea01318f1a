import subprocess
import sys

import pytest

from ..conftest import ROOT


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_leave_the_same_bytes_as_none() -> None:
    command = [sys.executable, "-m", "jobs.benchmark", "chaos", "--kills", "20", "--seed", "0"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=880)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    assert run.stdout.count("  kill ") == 20
    assert "0 differences" in run.stdout.splitlines()[-1]
