import resource
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
import torch
from raypipe.lm.host_memory import keep_freed_memory

if sys.argv[1] == "keep" and not keep_freed_memory():
    print("unsupported"); sys.exit()
def allocate():
    torch.zeros(16 << 20).add_(1)  # 64 MiB, over the size that is mapped anew each time
for _ in range(12):
    allocate()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    allocate()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(what: str) -> int:
    done = subprocess.run([sys.executable, "-c", COUNT_FAULTS, what], capture_output=True, text=True, check=True)
    if "unsupported" in done.stdout:
        pytest.skip("this C library has no mallopt")
    return int(done.stdout)


@pytest.mark.slow
def test_large_blocks_are_reused_and_cost_few_page_faults() -> None:
    pages = 8 * (64 << 20) // resource.getpagesize()
    assert faults("default") >= pages  # else this shows nothing
    assert faults("keep") <= pages / 4
