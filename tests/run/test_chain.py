"""Chains without Ray: what is worked on again, what is refused, and how a failure names its link."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.contracts.op import Pool
from raypipe.run.chain import Chain, Link, Step, run_chain, training_step
from raypipe.run.training import Training
from raypipe.runs.card import IdentityChanged, read_card
from raypipe.runs.lock import LockLost
from raypipe.runs.signals import Stopped
from raypipe.storage.folder import Folder
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule


class Words:
    """Links that write a word behind those that they read; notes who worked, and does what it is told on the way."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.worked = Folder(str(folder)), []
        self.words = {"a": "one", "b": "two", "c": "three"}
        self.on_the_way: dict[str, Callable[[threading.Event], None]] = {}
        self.stopping = threading.Event()

    def link(self, name, *reads, gives=("words.txt",)):
        def plan(own, made):
            before = [made[other].read("words.txt").decode() for other in reads]

            def work(card, stopping):
                self.worked.append(name)
                self.on_the_way.get(name, lambda _: None)(stopping)
                own.write("words.txt", " ".join([*before, self.words[name]]).encode())
                card["counts"] = {"words": len(before) + 1}

            return Step({"word": self.words[name]}, work)

        return Link(name, plan, reads, gives)

    def run(self, *links):
        """Work on the chain; who worked this time."""
        self.worked = []
        links = links or (self.link("a"), self.link("b", "a"), self.link("c", "a", "b"))
        run_chain(Chain("chain", links), self.folder, self.stopping)
        return self.worked

    def said(self, name):
        return (self.folder / name).read("words.txt").decode()

    def status(self):
        cards = {name: read_card(self.folder / name) for name in self.words}
        return {name: card["status"] for name, card in cards.items() if card}


@pytest.fixture
def words(tmp_path):
    return Words(tmp_path)


def raising(error):
    def fail(_):
        raise error

    return fail


def test_each_link_reads_those_before_it_and_is_worked_on_once(words):
    assert words.run() == ["a", "b", "c"]
    assert words.said("c") == "one one two three"
    assert words.run() == []
    card = read_card(words.folder / "c")
    assert (card["status"], card["counts"], card["kind"]) == ("finished", {"words": 3}, "step")
    assert set(card["identity"]) == {"word", "reads a", "reads b"}
    assert card["made"]["words.txt"]["size_bytes"] == len("one one two three")


def test_further_links_are_all_that_is_worked_on(words):
    words.words["d"] = "four"
    words.run()
    assert words.run(words.link("a"), words.link("d", "a"), words.link("b", "a")) == ["d"]


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ValueError("k must be 2."), ValueError, "'b' of chain: k must be 2."),
        (KeyError("no column 'x'."), KeyError, "'b' of chain: no column 'x'."),
        (KeyError("x"), RuntimeError, "'b' of chain: KeyError: x"),
        (FileNotFoundError("nothing at /x"), FileNotFoundError, "'b' of chain: nothing at /x"),
        (PermissionError(13, "Permission denied"), OSError, "'b' of chain: [Errno 13] Permission denied"),
        (ZeroDivisionError(), RuntimeError, "'b' of chain: ZeroDivisionError"),
    ],
)  # fmt: skip
def test_a_failure_names_its_link_and_the_same_call_goes_on_there(words, error, kind, said):
    words.on_the_way["b"] = raising(error)
    with pytest.raises(kind) as failed:
        words.run()
    assert type(failed.value) is kind
    assert failed.value.args[0] == said
    assert failed.value.__cause__ is error
    assert words.status() == {"a": "finished", "b": "failed"}
    words.on_the_way = {}
    assert words.run() == ["b", "c"]
    assert words.said("c") == "one one two three"


@pytest.mark.parametrize("error", [Stopped("stopped at step 7"), LockLost("another driver")])
def test_stops_and_lost_locks_pass_as_they_are(words, error):
    words.on_the_way["b"] = raising(error)
    with pytest.raises(type(error)) as ended:
        words.run()
    assert ended.value is error


def test_a_stop_between_two_links_says_before_which_and_the_same_call_goes_on(words):
    words.on_the_way["a"] = lambda stopping: stopping.set()
    with pytest.raises(Stopped, match="stopped before 'b' of chain; go on with the same command"):
        words.run()
    assert words.status() == {"a": "finished"}
    words.stopping.clear()
    assert words.run() == ["b", "c"]


def test_a_stop_refuses_no_chain_that_is_finished(words):
    words.run()
    words.stopping.set()
    assert words.run() == []


def test_other_settings_of_a_link_are_refused_with_its_name(words):
    words.run()
    words.words["b"] = "zwei"
    with pytest.raises(IdentityChanged, match=r"^'b' of chain: stage 'chain' .* word was 'two' and is now 'zwei'"):
        words.run()
    assert words.worked == []


def test_who_read_something_else_is_refused_and_not_gone_on_with(words):
    words.run()
    for name in (*read_card(words.folder / "a")["made"], "card.json"):
        (words.folder / "a").delete(name)
    words.words["a"] = "eins"
    with pytest.raises(IdentityChanged, match=r"'b' of chain: .* reads a was '.{16}' and is now '.{16}'"):
        words.run()
    assert words.worked == ["a"]


@pytest.mark.parametrize("content", [None, b"on"])
def test_what_was_made_must_still_be_there(words, content):
    words.run()
    own = words.folder / "a"
    own.delete("words.txt")
    if content:
        own.write("words.txt", content)
    found = "has 2 bytes" if content else "is gone"
    with pytest.raises(ValueError, match=f"'a' of chain: words.txt .* 3 bytes, but {found}; .*--restart chain"):
        words.run(words.link("a"))


def test_a_link_that_makes_nothing_of_what_it_promised_has_failed(words):
    with pytest.raises(RuntimeError, match="'a' of chain: it should have made 'model', and hasn't"):
        words.run(words.link("a", gives=("words.txt", "model")))
    assert words.status() == {"a": "failed"}


def test_a_folder_may_be_given(tmp_path):
    def plan(own, made):
        return Step({}, lambda card, stopping: [own.write(f"model/{n}", b"x" * n) for n in (1, 2)] and None)

    run_chain(Chain("chain", (Link("a", plan, gives=("model",)),)), Folder(str(tmp_path)), threading.Event())
    made = read_card(Folder(str(tmp_path / "a")))["made"]
    assert {name: file["size_bytes"] for name, file in made.items()} == {"model/1": 1, "model/2": 2}


def test_how_much_a_link_has_to_do_may_depend_on_what_it_reads(tmp_path):
    """Rounds of pseudo-labels: as many rows as the teacher was sure of."""
    folder = Folder(str(tmp_path))

    def plan(own, made):
        n = len(made["teacher"].read("sure")) if made else 3
        return Step({"n": n}, lambda card, stopping: own.write("sure", b"x" * (2 * n)))

    links = (Link("teacher", plan, gives=("sure",)), Link("student", plan, reads=("teacher",)))
    run_chain(Chain("rounds", links), folder, threading.Event())
    assert read_card(folder / "student")["identity"]["n"] == 6


def _nothing(own, made):
    raise AssertionError("planned")


A = Link("a", _nothing, gives=("x",))


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ([A, A], "a folder of its own, got 'a' beside 'a'"),
        ([A, replace(A, name="a/b")], "a folder of its own, got 'a/b' beside 'a'"),
        ([replace(A, name="a/b"), A], "a folder of its own, got 'a' beside 'a/b'"),
        ([A, replace(A, name="b", reads=("aa",))], "'b' must read links before it, got 'aa'; the nearest is 'a'"),
        ([replace(A, reads=("a",))], "'a' must read links before it, got 'a'; there is none"),
        ([replace(A, gives=()), replace(A, name="b", reads=("a",))], "'b' reads 'a', which gives nothing"),
        ([replace(A, name="../a")], "letters, digits and"),
    ],
)
def test_chains_that_can_not_be_worked_on_are_refused(links, words):
    with pytest.raises(ValueError, match=words):
        Chain("chain", tuple(links))


@pytest.fixture
def training(tmp_path):
    plan = TrainingPlan(3, Schedule(), 0, 1, 0)
    return Training(
        folder=Folder(str(tmp_path / "a")), make=None, export=None, plan=plan, n_sequences=1, micro=1,
        identity={"rate": 1},
    )  # fmt: skip


def test_a_training_is_a_link_that_keeps_no_checkpoints_once_finished(training, tmp_path, monkeypatch):
    from raypipe.run import trainer
    from raypipe.train.loop.checkpoint import State

    trained = []

    def fit(training, **more):
        trained.append(more["n_workers"])
        training.folder.write("checkpoints/x", b"")
        training.folder.write("metrics/0.jsonl", json.dumps({"step_s": 2.0}).encode())
        training.folder.write("model/x", b"")
        return State(step=3, size=5)

    monkeypatch.setattr(trainer, "fit", fit)

    def plan(own, made):
        return training_step(training, n_workers=2, pool=lambda: Pool(), max_failures=0)

    chain, folder = Chain("chain", (Link("a", plan, gives=("model",)),)), Folder(str(tmp_path))
    assert run_chain(chain, folder, threading.Event()) == 1
    card = read_card(folder / "a")
    assert (card["kind"], card["counts"]["step"], card["times"]["busy_s"]) == ("train", 3, 4.0)
    assert sorted(card["made"]) == ["model/x"]
    assert not (folder / "a/checkpoints").files()
    (folder / "a").write("checkpoints/left-by-a-kill", b"")
    assert run_chain(chain, folder, threading.Event()) == 0
    assert not (folder / "a/checkpoints").files()
    assert trained == [2]


def test_chains_load_neither_ray_nor_torch():
    code = "import sys, raypipe.run.chain; print([name for name in ('ray', 'torch') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
