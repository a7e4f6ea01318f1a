"""The weak-to-strong job, in this process: a whole run, a stopped one, debates, and wrong input."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs import debate
from jobs.parts import debates
from jobs.parts.weak_to_strong.arms import Arm, arms_of
from jobs.parts.weak_to_strong.rows import PREDICTIONS, documents_of, halves_of, load_rows, soft_labels
from jobs.parts.weak_to_strong.training import task_of
from jobs.weak_to_strong import Config, main
from raypipe.lm import states
from raypipe.run import trainer
from raypipe.runs.card import IdentityChanged
from raypipe.settings.nested import built, changed
from tests.jobs.weak_to_strong_parts import Witness, settings, strong_model, texts, write_rows
from tests.learning import require


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Rows and the strong model."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "strong").mkdir()
    return write_rows(folder / "rows.jsonl", texts(300, seed=1)), strong_model(folder / "strong")


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """A finished run of two seeds."""
    config = settings(*world, tmp_path_factory.mktemp("whole"), seeds=2, losses=("xent", "logconf"))
    assert main(config) == 0
    return config


def results(config: Config) -> dict:
    return json.loads(Path(config.run.output, "weak_to_strong/results.json").read_text())


def predictions(config: Config, seed: int) -> dict[str, bytes]:
    folder = Path(config.run.output, f"weak_to_strong/seed-{seed}")
    return {path.parent.name: path.read_bytes() for path in folder.glob(f"*/{PREDICTIONS}")}


def cards(config: Config) -> dict[str, str]:
    return {str(path): path.read_text() for path in Path(config.run.output).glob("weak_to_strong/*/*/card.json")}


def trained(monkeypatch, *, stop_after=None):
    """Which arms are trained from now on; after so many the job is asked to stop."""
    seen, fit = [], trainer.fit

    def listen(training, *, stopping, **more):
        seen.append(training.identity["arm"])
        state = fit(training, stopping=stopping, **more)
        if len(seen) == stop_after:
            stopping.set()
        return state

    monkeypatch.setattr(trainer, "fit", listen)
    return seen


@pytest.mark.slow
@pytest.mark.learns
def test_the_student_comes_between_weak_and_ceiling_and_controls_fall_to_chance(world, tmp_path):
    # six seeds: the strong model knows one direction, and shuffled labels turn it either way, each seed as a coin falls
    config = settings(*world, tmp_path, seeds=6, losses=("xent",))
    assert main(config) == 0
    found = results(config)
    accuracy = {name: one["mean"] for name, one in found["test_accuracy"].items()}
    require(gap=accuracy["ceiling"] - accuracy["weak"], above=0.05)
    require(shuffled_below_student=accuracy["strong-xent"] - accuracy["strong-shuffled-labels"], above=0.1)
    assert found["controls"]["shuffled labels against the majority"]["passed"]
    recovered = found["recovered"]["strong-xent"]
    require(pgr=recovered["pgr"], above=0)
    expected = (accuracy["strong-xent"] - accuracy["weak"]) / (accuracy["ceiling"] - accuracy["weak"])
    assert recovered["pgr"] == pytest.approx(expected)


@pytest.mark.slow
def test_every_loss_of_a_run_has_its_recovered_gap(whole):
    assert set(results(whole)["recovered"]) == {"strong-xent", "strong-logconf"}


def test_the_table_shows_what_the_results_hold(whole):
    table = Path(whole.run.output, "weak_to_strong/table.txt").read_text()
    tested = table.split("accuracy of weak labels")[0].splitlines()[2:]
    for name, found in results(whole)["test_accuracy"].items():
        (line,) = [line for line in tested if line.split()[0] == name]
        assert f"{found['mean']:.3f}" in line
    assert f"{results(whole)['recovered']['strong-xent']['pgr']:5.2f}" in table


def test_a_finished_run_trains_nothing_again_and_more_losses_only_what_is_new(whole, tmp_path, monkeypatch):
    config = changed(whole, output=str(tmp_path / "copy"))
    shutil.copytree(whole.run.output, config.run.output)
    before, seen = cards(config), trained(monkeypatch)
    assert main(config) == 0
    assert seen == []
    assert main(changed(config, seeds=1, losses=("xent", "logconf", "product"))) == 0
    assert seen == ["strong-product"]
    assert {path: cards(config)[path] for path in before} == before


def test_a_run_stopped_between_trainings_goes_on_to_the_same_bytes(whole, tmp_path, monkeypatch):
    config = changed(whole, output=str(tmp_path), seeds=1)
    seen = trained(monkeypatch, stop_after=2)
    assert main(config) == 143
    assert seen == ["weak", "ceiling"]
    assert not (tmp_path / "weak_to_strong/results.json").exists()
    assert main(config) == 0
    assert seen == ["weak", "ceiling", "strong-xent", "strong-logconf", "strong-shuffled-labels"]
    assert predictions(config, 0) == predictions(whole, 0)


def test_a_training_stopped_at_a_step_goes_on_to_the_same_bytes(whole, tmp_path, monkeypatch):
    """The confidence loss depends on the step: it must be gone on with where it was."""
    config = changed(whole, output=str(tmp_path / "copy"), seeds=1)
    shutil.copytree(whole.run.output, config.run.output)
    folder = Path(config.run.output, "weak_to_strong/seed-0/strong-logconf")
    shutil.rmtree(folder)
    calls = iter(range(1000))
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_asked", lambda folder, workers: lambda: "stop" if next(calls) == 6 else None)
        assert main(config) == 143
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["00000007"]
    assert not (folder / PREDICTIONS).exists()
    assert main(config) == 0
    assert predictions(config, 0) == predictions(whole, 0)
    assert not [path for path in (folder / "checkpoints").rglob("*") if path.is_file()]  # done with


def test_other_settings_or_rows_are_refused(whole, world, tmp_path):
    with pytest.raises(
        IdentityChanged, match=r"'weak_to_strong' .*learning_rate was 0.001 and is now 0.01.*--name NEW"
    ):
        main(changed(whole, learning_rate=0.01, weak_learning_rate=2e-3))
    with pytest.raises(IdentityChanged, match="rows_sha256 was"):
        main(changed(whole, data=(write_rows(tmp_path / "other.jsonl", texts(300, seed=2)),)))


def test_no_student_learns_a_truth_a_test_row_or_a_row_of_its_teacher(whole):
    halves = halves_of(whole, load_rows(whole).rows, 0)
    student, shuffled = (Arm("x", "strong", teachers=("weak",), has_shuffled_labels=is_so) for is_so in (False, True))
    labels, mixed = (soft_labels(whole, arm, 0, halves)[:, 1] for arm in (student, shuffled))
    assert len(labels) == len(halves.second)
    assert not set(np.round(labels, 6)) & {0.0, 1.0}  # soft ones, not the truth
    assert sorted(labels) == sorted(mixed)
    assert (labels != mixed).mean() > 0.9
    assert not set(halves.second) & {*halves.first, *halves.test}


def test_new_weights_are_a_function_of_the_seed_and_the_draw(whole):
    config, weak, strong = changed(whole, lora_rank=4), Arm("w", "weak"), Arm("s", "strong")

    def weights(arm, seed):
        return torch.cat([weight.flatten() for weight in task_of(config, arm, seed, 1).module.parameters()])

    for arm in (weak, strong):
        first = weights(arm, 0)
        torch.rand(1)  # what was drawn before doesn't matter
        assert torch.equal(first, weights(arm, 0))
        assert not torch.equal(first, weights(arm, 1))
        assert not torch.equal(first, weights(replace(arm, draw=1), 0))


def test_adapters_are_for_the_strong_model_and_layers_for_the_weak_one(whole):
    def learnt(config, role):
        named = task_of(config, Arm("x", role), 0, 1).module.named_parameters()
        return {name for name, weight in named if weight.requires_grad}

    lora = changed(whole, lora_rank=4)
    assert all("lora_" in name or "score" in name for name in learnt(lora, "strong"))
    assert learnt(lora, "weak") == learnt(whole, "weak")
    cut = changed(whole, weak=whole.strong, weak_layers=1)
    layers = {name.split(".")[3] for name in learnt(cut, "weak") if ".layers." in name}
    assert layers == {"0"}


def test_with_probes_the_strong_model_runs_once_for_all_seeds_and_losses(whole, tmp_path, monkeypatch):
    config, ran = changed(whole, output=str(tmp_path), probe=True, probe_layers=1, probe_axes=8), []
    mean_states = states.mean_states
    monkeypatch.setattr(states, "mean_states", lambda body, ids, **more: (
        ran.append((len(body.layers), len(ids))), mean_states(body, ids, **more))[1])  # fmt: skip
    seen = trained(monkeypatch)
    assert main(config) == 0
    assert seen == ["weak", "weak"]
    assert ran == [(1, len(load_rows(config).rows.rows))]
    assert set(results(config)["recovered"]) == {"strong-xent", "strong-logconf"}
    card = json.loads((tmp_path / "weak_to_strong/seed-0/strong-xent/card.json").read_text())
    assert (card["kind"], card["link"]) == ("probe", "seed-0/strong-xent")
    assert {"reads states", "reads seed-0/weak"} <= card["identity"].keys()
    assert main(changed(config, losses=("xent", "logconf", "product"))) == 0
    assert (len(seen), len(ran)) == (2, 1)
    with pytest.raises(IdentityChanged, match=r"'states' of weak_to_strong: .*probe_layers was 1 and is now None"):
        main(changed(config, probe_layers=None))


@pytest.mark.slow
@pytest.mark.learns
def test_judges_use_debates_and_lose_them_when_exchanged_and_students_never_see_them(world, tmp_path, monkeypatch):
    data, strong = world
    monkeypatch.setattr(debates, "open_sampler", lambda config: Witness(trust=1.0))
    held = built(debate.Config, data=(data,), debater=strong, output=str(tmp_path), test_share=0.4, transcripts=2)
    assert debate.main(held) == 0
    config = settings(data, strong, tmp_path, seeds=1, losses=("xent",), debate="debate", transcript_tokens=64)
    assert main(config) == 0
    found = results(config)
    labels = {name: one["mean"] for name, one in found["weak_labels"].items()}
    judges = min(labels["judge-1"], labels["judge-2"], labels["judge-1-draw-1"])
    require(judges_above_weak=judges - labels["weak"], above=0.05)
    require(shuffled_below_judge=labels["judge-1"] - labels["judge-shuffled"], above=0.2)
    assert found["controls"]["shuffled debates against none"]["passed"]
    assert set(found["recovered"]) == {
        "strong-xent", "strong-debate-single", "strong-debate-draws", "strong-debate-ensemble"
    }  # fmt: skip
    rows = halves_of(config, load_rows(config).rows, 0).second[:5]
    seen = {arm.name: documents_of(config, arm, 0, rows) for arm in arms_of(config, 2)}
    lengths = {name: [len(document.ids) for document in documents] for name, documents in seen.items()}
    assert all(judge > plain for judge, plain in zip(lengths["judge-1"], lengths["weak"], strict=True))
    assert {tuple(size) for name, size in lengths.items() if "judge" not in name} == {tuple(lengths["weak"])}


def test_debates_of_other_rows_are_refused_before_any_training(world, tmp_path, monkeypatch):
    data, strong = world
    config = settings(data, strong, tmp_path, debate="debate")
    with pytest.raises(ValueError, match=r"must name a finished stage; .* isn't there \(there is none\): hold it"):
        main(config)
    monkeypatch.setattr(debates, "open_sampler", lambda config: Witness(trust=1.0))
    held = built(debate.Config, data=(data,), debater=strong, output=str(tmp_path), test_share=0.6, transcripts=1)
    assert debate.main(held) == 0
    seen = trained(monkeypatch)
    with pytest.raises(ValueError, match=r"must have a debate of seed 1 .* have none .*the same rows and test_share"):
        main(config)
    assert seen == []


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"epochs": 0.0}, "epochs must be above 0, got 0.0"),
        ({"losses": ()}, "losses must name at least one loss"),
        ({"aux_coef": 2.0}, r"aux_coef must be in \[0, 1\], got 2.0"),
        ({"alpha": 0.0}, "alpha must be above 0"),
        ({"batch_examples": 20}, "20 sequences must be a multiple of .*nearest is 16 or 32"),
        ({"probe": True, "lora_rank": 4}, "probe trains no strong model, but lora_rank is 4"),
        ({"probe_layers": 1}, "--probe-layers has no effect without --probe"),
        ({"probe": True, "probe_layers": 9}, "probe_layers must be between 1 and the model's 2, got 9"),
        ({"probe_axes": 0}, "probe_axes must be at least 1, got 0"),
        ({"weak_layers": 1}, "weak is the shape 'tiny'"),
        ({"weak": "small"}, "model must be a folder, .* got 'small'"),
        ({"length": 5000}, "length .*must be at most the 2048 tokens"),
        ({"test_share": 1.0}, "test_share must be above 0 and below 1"),
        ({"max_rows": 3}, "must have at least 2 rows each"),
        ({"max_characters": 3}, "no text of 300 is at most 3 characters"),
        ({"label_column": "truth"}, "no column 'truth'"),
        ({"where": "label = 1"}, "rows must have both truths to tell apart, got only 1"),
        ({"gold_column": "right"}, "--gold-column has no effect without --choices-column"),
        ({"losses": ("xent",), "alpha": 2.0}, "--alpha has no effect without product among --losses"),
        ({"losses": ("xent",), "aux_coef": 0.1}, "--aux-coef has no effect without logconf among --losses"),
        ({"transcript_tokens": 9}, "--transcript-tokens has no effect without --debate"),
        ({"data": ("/nowhere/x.jsonl",)}, "nothing at /nowhere/x.jsonl"),
    ],
)
def test_wrong_settings_are_refused_before_any_training(world, tmp_path, monkeypatch, other, message):
    seen = trained(monkeypatch)
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        main(changed(settings(*world, tmp_path), **other))
    assert seen == []
