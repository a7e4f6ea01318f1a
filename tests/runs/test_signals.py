import os
import signal
import threading

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


def test_a_request_inside_another_reaches_both_and_the_next_one_acts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with orderly_stop() as (outer, outer_status):
        with orderly_stop() as (inner, inner_status):
            os.kill(os.getpid(), signal.SIGINT)
            assert inner.wait(5)
            assert outer.is_set()
            assert signal.getsignal(signal.SIGINT) == before
        assert (inner_status["code"], outer_status["code"]) == (130, 130)
    assert signal.getsignal(signal.SIGINT) == before


def test_in_a_thread_beside_the_main_one_it_waits_for_no_signal() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with orderly_stop() as (event, status):
            seen.append((event.is_set(), status["code"], signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, 143, before)]
