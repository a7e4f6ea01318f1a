import os
import signal

import pytest

from raypipe.runs.signals import kept_handlers, orderly_stop


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_first_signal_asks_and_the_second_acts(number: int, code: int) -> None:
    before = signal.getsignal(number)
    with orderly_stop() as (event, status):
        assert not event.is_set()
        os.kill(os.getpid(), number)
        assert event.wait(5)
        assert status["code"] == code
        assert signal.getsignal(number) == before  # the next one ends the process as ever
    assert signal.getsignal(number) == before


def test_without_a_signal_nothing_is_set_and_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with orderly_stop() as (event, status):
        assert signal.getsignal(signal.SIGTERM) != before
    assert (event.is_set(), status["code"], signal.getsignal(signal.SIGTERM)) == (False, 143, before)


def test_handlers_that_a_library_replaces_are_put_back() -> None:
    with orderly_stop() as (event, status):
        with kept_handlers():
            signal.signal(signal.SIGTERM, lambda *_: os._exit(1))  # as ray.init() does
        os.kill(os.getpid(), signal.SIGTERM)
        assert event.wait(5)
        assert status["code"] == 143
