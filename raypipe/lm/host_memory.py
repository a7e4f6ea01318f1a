"""Memory of the processor that a forward pass frees is kept for the next one, not given back to the kernel."""

import ctypes
import sys

# from <malloc.h> of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_INT = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Let glibc's allocator reuse the large blocks of a batch; False where the C library has no such setting.

    By default each block over 32 MB is mapped anew, and every page of it costs a fault: an eighth of the time of a
    small model on 2 cores. The price is that a process stays as large as its largest batch made it.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 1 << 30) and mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
