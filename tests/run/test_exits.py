import subprocess
import sys

import pytest
import ray

from raypipe.run import exits

HANGS = """
import ctypes, sys
from types import SimpleNamespace
import ray
from raypipe.run import exits
ray.is_initialized = lambda: True
ray.get_runtime_context = lambda: SimpleNamespace(worker=SimpleNamespace(mode=int(sys.argv[1])))
exits.LAST_S = 2
exits.end_in_time()
libc = ctypes.CDLL(None)
libc.__cxa_atexit(ctypes.cast(libc.pause, ctypes.c_void_p), None, None)  # waits for ever, after Python is gone
print("leaving", flush=True)
"""


def test_a_process_that_hangs_after_its_interpreter_is_ended_by_the_kernel():
    ended = subprocess.run([sys.executable, "-c", HANGS, str(ray.WORKER_MODE)], capture_output=True, timeout=60)
    assert ended.stdout == b"leaving\n"
    assert ended.returncode == -14


def test_a_driver_is_left_alone():
    command = [sys.executable, "-c", HANGS, str(ray.SCRIPT_MODE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as driver:
        assert driver.stdout.readline() == b"leaving\n"
        with pytest.raises(subprocess.TimeoutExpired):
            driver.wait(timeout=5)
        driver.kill()


@pytest.mark.ray
def test_it_is_set_in_a_worker_of_ray(ray_session):
    @ray.remote
    def is_set():
        import atexit

        exits.end_in_time.cache_clear()  # another test's work may have set it in this very process
        before = atexit._ncallbacks()
        exits.end_in_time()
        exits.end_in_time()
        return atexit._ncallbacks() - before

    assert ray.get(is_set.remote()) == 1
