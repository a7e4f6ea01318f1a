"""Runs that raypipe 0.1.0 has made are gone on with; with another setting, or of an older format, they are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.run import cluster
from raypipe.run import stage as run_stage
from raypipe.run.cluster import Node, Resources
from raypipe.runs.card import IdentityChanged
from raypipe.select import stage as select_stage
from raypipe.select.export import export
from tests.jobs.stored_runs import COMMANDS, STORED, make_inputs, run

CARD = {"corpus": "corpus-random", "tokens": "tokens"}
"""Folders of stages that aren't called as their command is."""
OTHER = {
    "scores": ("--min-k-fraction", "0.4"),
    "tokens": ("--no-append-end",),
    "train": ("--beta2", "0.9"),
    "train-engine": ("--zero-stage", "1"),
    "finetune": ("--lora-alpha", "8"),
    "finetune-choices": ("--task-temperature", "3"),
}
"""A setting that is part of what each stage is; those that run no model are done again without asking."""
RUNNING = {
    "scores": ("--max-workers", "2"),
    "tokens": ("--cpus-per-worker", "2"),
    "train": ("--save-every", "7", "--micro-batch", "2"),
    "train-engine": ("--offload",),
    "finetune": ("--keep", "3"),
    "finetune-choices": ("--tensorboard",),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("stored") / "inputs")


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stored run; whatever would work on it ends the test."""
    monkeypatch.setattr(cluster, "connect", lambda: Resources((Node(4),)))
    monkeypatch.setattr(run_stage.Annotate, "_work", began)
    monkeypatch.setattr(select_stage, "write_arms", began)
    monkeypatch.setattr(export, "find_parts", began)
    monkeypatch.setattr("raypipe.run.trainer.fit", went_on)
    shutil.copytree(STORED, tmp_path / "run")
    return tmp_path / "run"


class Began(Exception):
    """A stage was worked on."""


class WentOn(Exception):
    """A training took up what was there."""


def began(*_: Any, **__: Any) -> None:
    raise Began


def went_on(*_: Any, **__: Any) -> None:
    raise WentOn


def card_of(run: Path, stage: str) -> Path:
    return run / CARD.get(stage, stage) / "card.json"


def is_training(stage: str) -> bool:
    return stage.startswith(("train", "finetune"))


def goes_on(stage: str, inputs: Path, run_folder: Path, *more: str) -> None:
    """A finished stage is left as it is; a training, whose checkpoints aren't stored, is taken up."""
    if is_training(stage):
        with pytest.raises(WentOn):
            run(stage, inputs=inputs, run=run_folder, more=more)
    else:
        assert run(stage, inputs=inputs, run=run_folder, more=more) == 0


@pytest.fixture(autouse=True)
def _no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.parts.choices.ChoiceEvaluation.start", lambda self: None)


@pytest.mark.parametrize("stage", COMMANDS)
def test_the_command_that_made_a_stored_stage_goes_on_with_it(stage: str, inputs: Path, stored: Path) -> None:
    before = json.loads(card_of(stored, stage).read_text())["identity"]
    goes_on(stage, inputs, stored)
    assert json.loads(card_of(stored, stage).read_text())["identity"] == before


@pytest.mark.parametrize("stage", RUNNING)
def test_a_setting_that_changes_no_byte_may_change(stage: str, inputs: Path, stored: Path) -> None:
    goes_on(stage, inputs, stored, *RUNNING[stage])


@pytest.mark.parametrize("stage", OTHER)
def test_another_setting_is_refused_by_name(stage: str, inputs: Path, stored: Path) -> None:
    with pytest.raises(IdentityChanged, match=r"was made with other settings: .* was .* and is now .*--restart"):
        run(stage, inputs=inputs, run=stored, more=OTHER[stage])


@pytest.mark.parametrize("stage", OTHER)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda card: {**card, "format": 1}, r"raypipe 0\.1\.0 in format 1"),
        (lambda card: {name: value for name, value in card.items() if name not in ("format", "versions")},
         "raypipe of unknown version in format 1"),
    ],
    ids=["older", "without"],
)  # fmt: skip
def test_a_card_of_an_older_format_is_refused_with_its_version(
    stage: str, change: Callable[[dict], dict], said: str, inputs: Path, stored: Path
) -> None:
    card = card_of(stored, stage)
    card.write_text(json.dumps(change(json.loads(card.read_text()))))
    with pytest.raises(IdentityChanged, match=said + r".*--name NEW, or redo it with --restart"):
        run(stage, inputs=inputs, run=stored)
