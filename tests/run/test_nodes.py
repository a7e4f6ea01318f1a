"""When a node that is about to be taken away ends the job, and when its work goes on elsewhere."""

import pytest

from raypipe.run.ledger import Identity, Ledger
from raypipe.run.nodes import ends_job


def node(name: str, *, cpus: float = 4.0, alive: bool = True) -> dict:
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": cpus} if cpus else {}}


@pytest.mark.parametrize(
    ("going", "known", "ends"),
    [
        ({"a"}, [node("head"), node("a"), node("b")], False),
        ({"a", "b"}, [node("head"), node("a"), node("b")], False),  # the head has CPUs too
        ({"head"}, [node("head"), node("a")], True),  # the driver goes with it
        ({"a"}, [node("head", cpus=0), node("a"), node("b")], False),
        ({"a", "b"}, [node("head", cpus=0), node("a"), node("b")], True),
        ({"a"}, [node("head", cpus=0), node("a"), node("b", alive=False)], True),
    ],
)
def test_a_job_ends_when_no_other_node_can_go_on(going: set[str], known: list[dict], ends: bool) -> None:
    assert ends_job(frozenset(going), known, here="head") is ends


def test_a_worker_on_a_leaving_node_gets_no_shard_and_costs_no_attempt() -> None:
    ledger, here, there = Ledger(), Identity("a", "x", 1, 0.0), Identity("b", "y", 2, 0.0)
    assert ledger.begin(here, "one") == 1
    ledger.done(here, "one")
    ledger.leave(frozenset("a"))
    assert ledger.begin(here, "two") == 0
    assert [one.who for one in ledger.snapshot()[0]] == []  # it goes; nobody waits for its reports
    assert ledger.begin(there, "two") == 1
    ledger.leave(frozenset())
    assert ledger.begin(here, "three") == 1
