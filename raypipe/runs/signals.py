"""SIGTERM and Ctrl-C as a request to stop in an orderly way."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)
ASKS = "asks_to_stop"
"""Marks the handlers of `orderly_stop`."""


class Stopped(RuntimeError):
    """The job was asked to stop; what it has done so far is kept, and the same command goes on."""


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Put back, afterwards, the handlers that a library replaces; only the main thread has a say in them."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def orderly_stop() -> Iterator[tuple[threading.Event, dict[str, int]]]:
    """An event set by the first SIGTERM or SIGINT, and the exit status of a stopped job; a second one acts at once.

    Whoever else sets the event (the last node is about to be taken away) means what a SIGTERM means. While `at_once`
    is 1 in what is yielded beside the event, a signal also raises Stopped, for work that looks at no event. One inside
    another, as where a job runs jobs, passes the request on to it. Beside the main thread no signal arrives.
    """
    event, status = threading.Event(), {"code": 128 + signal.SIGTERM, "at_once": 0}
    if threading.current_thread() is not threading.main_thread():
        yield event, status
        return
    before = {number: signal.getsignal(number) for number in STOPPING}

    def stop(number: int, frame: FrameType | None) -> None:
        """Ask the job to stop, and remember the status it ends with."""
        status["code"] = 128 + number
        event.set()
        for restored, handler in before.items():
            signal.signal(restored, handler)
        outer = before[signal.Signals(number)]
        if callable(outer) and hasattr(outer, ASKS):
            outer(number, frame)
        if status["at_once"]:
            raise Stopped("stopped; go on with the same command.")

    setattr(stop, ASKS, True)
    for number in before:
        signal.signal(number, stop)
    try:
        yield event, status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
