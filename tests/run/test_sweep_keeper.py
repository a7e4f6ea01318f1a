"""What counts as the end of a trial on Tune, whatever Tune says: no cluster is needed to tell it."""

import threading
from collections import Counter
from types import SimpleNamespace

import pytest

from raypipe.run.sweep_keeper import MAX_DEATHS, Keeper
from raypipe.run.sweep_table import Table
from raypipe.runs.trials import Trial, TrialFiles
from raypipe.storage.folder import Folder

TRIAL = Trial({"x": 1})


class Told:
    """A keeper of one trial, and what Tune would tell it."""

    def __init__(self, folder, deaths=None, stopping=None):
        self.files, self.deaths = TrialFiles(Folder(f"{folder}/trials"), {}), Counter() if deaths is None else deaths
        table, self.stopping = Table(Folder(str(folder)), [], 1), stopping or threading.Event()
        self.keeper = Keeper(self.files, None, lambda config: TRIAL, table, self.stopping, self.deaths)
        self.tune = SimpleNamespace(trial_id="t", config={}, last_result={}, get_error=lambda: "killed")

    def tell(self, *events):
        for event in events:
            getattr(self.keeper, f"on_trial_{event}")(0, [self.tune], self.tune)
        self.keeper.on_experiment_end([self.tune])
        return self


@pytest.mark.parametrize(
    ("events", "n_deaths"),
    [
        (["start", "recover", "error"], 1),  # one death told twice, as where a process dies between two trials
        (["recover", "error"], 1),  # the same, before it ever began
        (["start", "recover", "start", "recover", "error"], 2),
        (["start", "error"], 1),
        ([], 1),  # dropped without a word
    ],
)
def test_a_trial_that_died_seldom_is_lost_and_not_failed(tmp_path, events, n_deaths):
    told = Told(tmp_path).tell(*events)
    assert told.keeper.lost == [TRIAL]
    assert told.files.read(TRIAL) is None
    assert told.deaths == {TRIAL.name({}): n_deaths}


def test_a_trial_that_died_too_often_is_failed_and_its_deaths_are_counted_over_tuners(tmp_path):
    first = Told(tmp_path).tell("start", "recover", "error")
    second = Told(tmp_path, first.deaths).tell(*["start", "recover"] * (MAX_DEATHS - 1), "start", "error")
    assert second.keeper.lost == []
    assert second.files.read(TRIAL).status == "failed"
    assert second.files.read(TRIAL).error == f"its process died {MAX_DEATHS + 1} times; the last time: killed"


def test_a_trial_that_was_stopped_with_the_sweep_is_neither_lost_nor_ended(tmp_path):
    stopping = threading.Event()
    stopping.set()
    told = Told(tmp_path, stopping=stopping).tell("start", "recover", "complete")
    assert (told.keeper.lost, told.files.read(TRIAL)) == ([], None)
