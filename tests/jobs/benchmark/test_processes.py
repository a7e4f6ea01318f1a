"""A benchmark's processes end with it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from jobs.benchmark.processes import apart, fresh_process

BUSY = """
import signal, sys, time
from jobs.benchmark.processes import fresh_process
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
if __name__ == "__main__":
    with fresh_process() as process:
        print(process.submit(__import__("os").getpid).result(), flush=True)
        process.submit(time.sleep, 600).result()
"""


def test_a_call_apart_is_another_process_of_ours():
    assert apart(os.getpid) != os.getpid()
    assert apart(os.getppid) == os.getpid()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_benchmark_that_is_ended_leaves_nothing_computing(tmp_path, number, status):
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    benchmark = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment)
    child = psutil.Process(int(benchmark.stdout.readline()))
    benchmark.send_signal(number)
    assert benchmark.wait(timeout=60) == status
    benchmark.stdout.close()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def begin_and_fail():
    with fresh_process() as process:
        process.submit(time.sleep, 600)
        raise RuntimeError("enough")


def test_an_error_does_not_wait_for_what_runs():
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="enough"):
        begin_and_fail()
    assert time.monotonic() - began < 300
