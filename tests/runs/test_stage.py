import json
from pathlib import Path

import pytest

from raypipe.runs.card import FORMAT
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import at_work
from raypipe.storage.folder import Folder


def card_of(folder: Folder) -> dict:
    return json.loads(folder.read("card.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run/scores"))


def test_a_card_runs_first_and_is_finished_at_the_end(folder: Folder) -> None:
    with at_work(folder, {"stage": "scores", "identity": {"a": 1}, "why": "an earlier failure"}) as card:
        assert card_of(folder)["status"] == "running"
        card["counts"] = {"rows": 3}
    found = card_of(folder)
    assert (found["status"], found["format"], found["counts"]) == ("finished", FORMAT, {"rows": 3})
    assert found["times"].keys() == {"started", "finished"}
    assert "why" not in found


@pytest.mark.parametrize(
    ("error", "status", "why"),
    [
        (Stopped("stopped at 3"), "incomplete", "stopped at 3"),
        (OSError(28, "No space left"), "failed", "[Errno 28] No space left"),
        (KeyError("no column 'x'"), "failed", "KeyError: no column 'x'"),
        (KeyboardInterrupt(), "failed", "KeyboardInterrupt"),
        (RuntimeError("https://me:hush@host/x?token=hush"), "failed", "https://host/x?token=..."),
    ],
)
def test_every_other_end_is_said_with_its_reason(folder: Folder, error: BaseException, status: str, why: str) -> None:
    with pytest.raises(type(error)), at_work(folder, {"stage": "scores"}):
        raise error
    assert (card_of(folder)["status"], card_of(folder)["why"].removesuffix(": ")) == (status, why)


def test_a_block_may_end_incomplete(folder: Folder) -> None:
    with at_work(folder, {"stage": "scores"}) as card:
        card["status"] = "incomplete"
    assert card_of(folder)["status"] == "incomplete"


def test_a_storage_that_takes_no_card_does_not_hide_the_reason(folder: Folder) -> None:
    def put(card: dict) -> None:
        if card["status"] != "running":
            raise OSError("no space")

    with pytest.raises(ValueError, match="the reason"), at_work(folder, {"stage": "scores"}, put=put):
        raise ValueError("the reason")
