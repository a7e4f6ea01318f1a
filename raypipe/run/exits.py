"""An end for processes of Ray that would hang in their last moment."""

import atexit
import signal
from functools import cache

LAST_S = 60
"""What an exit may take: Ray's own takes a second or two."""


@cache
def end_in_time() -> None:
    """See to it, once, that this process of Ray's is gone LAST_S after its interpreter begins to leave.

    Ray 2.60's core worker takes itself apart at exit and may then wait for a lock of its own that is gone already (seen
    in one of some hundred processes whose driver had died). Python has ended by then, so only the kernel can help.
    """
    import ray

    if ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE:
        atexit.register(signal.alarm, LAST_S)  # nobody handles SIGALRM: it ends the process
