import time

from raypipe.run.ledger import Identity, Ledger

WHO, OTHER = Identity("n", "host", 1, 1.0), Identity("n", "host", 1, 2.0)


def phases(ledger: Ledger) -> dict[Identity, str]:
    return {one.who: one.activity.phase for one in ledger.snapshot()[0]}


def test_attempts_are_counted_until_a_shard_is_done() -> None:
    ledger = Ledger()
    assert [ledger.begin(WHO, "a"), ledger.begin(OTHER, "a"), ledger.begin(WHO, "b")] == [1, 2, 1]
    ledger.done(WHO, "a")
    assert ledger.begin(WHO, "a") == 1
    assert [ledger.read_begins(WHO, "a"), ledger.read_begins(WHO, "a")] == [1, 2]  # reading is counted by itself


def test_whoever_takes_up_the_shard_of_a_dead_worker_takes_its_place() -> None:
    ledger = Ledger()
    ledger.begin(WHO, "a")
    ledger.begin(OTHER, "a")
    assert phases(ledger) == {OTHER: "working"}


def test_after_a_stop_nothing_begins() -> None:
    ledger = Ledger()
    ledger.begin(WHO, "a")
    ledger.stop()
    assert ledger.begin(OTHER, "b") is None
    assert ledger.read_begins(OTHER, "b") is None
    assert phases(ledger) == {WHO: "working"}


def test_phases_follow_what_a_process_says() -> None:
    ledger = Ledger()
    ledger.hello(WHO)
    assert phases(ledger) == {WHO: "setup"}
    ledger.ready(WHO)
    assert phases(ledger) == {WHO: "idle"}
    ledger.begin(WHO, "a")
    ledger.read_begins(OTHER, "b")
    assert phases(ledger) == {WHO: "working", OTHER: "reading"}
    ledger.read_waits(OTHER)
    assert phases(ledger)[OTHER] == "waiting"
    ledger.read_goes_on(OTHER, "b")
    assert phases(ledger)[OTHER] == "reading"
    ledger.read_done(OTHER, "b")
    ledger.forget(WHO)
    assert phases(ledger) == {}


def test_a_sign_of_life_is_no_report() -> None:
    ledger = Ledger()
    ledger.ready(WHO)
    ledger.begin(WHO, "a")
    ledger.processes[WHO].reported -= 100
    ledger.processes[WHO].ticked -= 100
    assert ledger.snapshot()[0][0].still_s >= 100
    ledger.alive(WHO)
    assert ledger.snapshot()[0][0].silent_s >= 100
    assert ledger.snapshot()[0][0].still_s < 50
    ledger.report(WHO, 10, 2.5)
    (one,), slowest_s = ledger.snapshot()
    assert one.silent_s < 50
    assert (one.activity.cost, slowest_s) == (10, 2.5)
    assert one.still_s < 50
    ledger.alive(OTHER)  # one that nobody knows any more
    assert len(ledger.snapshot()[0]) == 1


def test_a_long_stage_keeps_nothing_of_shards_that_are_done() -> None:
    ledger = Ledger()
    begun = time.monotonic()
    for number in range(20_000):
        ledger.read_begins(OTHER, f"key-{number}")
        ledger.read_done(OTHER, f"key-{number}")
        ledger.begin(WHO, f"key-{number}")
        ledger.done(WHO, f"key-{number}")
    assert len(ledger.attempts) == 0
    assert time.monotonic() > begun
