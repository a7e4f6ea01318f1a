import threading
import time
from collections.abc import Iterator

import pytest

from raypipe.run.event_loop import arriving, root_cause, too_large


def never() -> bool:
    return False


def test_what_a_stream_yields_arrives_in_order_and_ends() -> None:
    rows = [{"n": number} for number in range(3000)]
    assert [row for row in arriving(iter(rows), until=never) if row is not None] == rows


def test_an_error_of_the_stream_is_the_followers() -> None:
    def broken() -> Iterator[dict]:
        yield {"n": 1}
        raise KeyError("gone")

    arrived = arriving(broken(), until=never)
    assert next(arrived) == {"n": 1}
    with pytest.raises(KeyError, match="gone"):
        list(arrived)


def test_a_stream_that_hangs_is_left_and_ended_once_it_moves() -> None:
    moves, closed = threading.Event(), threading.Event()

    def hanging() -> Iterator[dict]:
        try:
            yield {"n": 1}
            moves.wait(60)
            yield {"n": 2}
            yield {"n": 3}
        finally:
            closed.set()

    deadline = time.monotonic() + 2.5
    arrived = list(arriving(hanging(), until=lambda: time.monotonic() > deadline))
    assert arrived[0] == {"n": 1}
    assert set(map(str, arrived[1:])) == {"None"}  # it had its say in between
    moves.set()
    assert closed.wait(30)


def test_the_cause_of_a_chain_is_told_on_one_line() -> None:
    died = RuntimeError("a worker died")
    died.__cause__ = ValueError("first line\nmodel must be readable")
    assert root_cause(died) == "ValueError: model must be readable"
    assert root_cause(KeyError()) == "KeyError: "


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"token_budget": 4096}, "start a run with --token-budget 2048"),
        ({"pairs": 8, "token_budget": 64}, "start a run with --pairs 4 --token-budget 32"),
        ({"pairs": 1}, "no setting makes them smaller: give its workers more memory"),
        ({}, "no setting makes them smaller: give its workers more memory"),
    ],
)
def test_batches_that_do_not_fit_are_answered_with_what_the_op_can_halve(limits: dict[str, int], said: str) -> None:
    assert too_large("scores", limits) == f"scores: batches of 3 shards didn't fit into memory; {said}."
