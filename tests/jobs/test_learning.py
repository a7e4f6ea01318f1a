"""Pretraining with fewer weights, from a teacher and through a factored output layer, from settings to the export."""

import json

import pytest
import torch

from jobs.finetune import Config as FinetuneConfig
from jobs.parts.learning import Learning, flat_settings
from jobs.pretrain import Config, main
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from raypipe.settings.nested import built, changed, flat, settings_of
from raypipe.storage.folder import Folder
from raypipe.train.loop.journal import read_journal
from tests.train.synthetic import finished, write_tokens


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def config(tmp_path, tokenizer):
    tokens, vocabulary = write_tokens(tmp_path / "run/tokens"), open_vocabulary(tokenizer)
    tokens.write("card.json", finished({"tokenizer_sha256": vocabulary.sha256, "vocabulary_size": vocabulary.size}))
    return built(
        Config, output=str(tmp_path / "run"), tokenizer=tokenizer, length=32, batch_tokens=128, steps=6, save_every=3,
        selection="none", cpus_per_worker=1, learning_rate=3e-3, heldout_documents=4,
    )  # fmt: skip


def model_of(tokenizer, folder, **sizes):
    """A folder with a model for a tokenizer."""
    vocabulary = open_vocabulary(tokenizer)
    shape = config_of("tiny", vocabulary_size=vocabulary.size, length=32, end=vocabulary.end)
    for name, value in sizes.items():
        setattr(shape, name, value)
    new_model(shape, seed=7, initialisation="normal").save_pretrained(folder)
    vocabulary.tokenizer.save_pretrained(folder)
    return str(folder)


def opened(config, stage="train"):
    from transformers import AutoModelForCausalLM

    folder = Folder(config.run.output) / stage
    model = AutoModelForCausalLM.from_pretrained(f"{config.run.output}/{stage}/model")
    return model, json.loads(folder.read("model/raypipe.json")), json.loads(folder.read("card.json"))


def losses(config, stage="train"):
    return [line["loss"] for line in read_journal(Folder(config.run.output) / stage / "metrics")]


def test_a_pruned_model_is_exported_with_its_sparsity_in_the_card(config):
    config = changed(config, prune="rigl", sparsity=0.8, prune_every=2)
    assert main(config) == 0
    model, lineage, card = opened(config)
    layers = [weight for name, weight in model.named_parameters() if ".layers." in name and weight.ndim == 2]
    zeros, n = sum(int((weight == 0).sum()) for weight in layers), sum(weight.numel() for weight in layers)
    assert zeros / n == pytest.approx(0.8, abs=1e-4)
    said = lineage["pruning"]
    assert said["method"] == "rigl"
    assert said["sparsity"]["of_matrices"] == pytest.approx(zeros / n)
    n_head = model.config.vocab_size * model.config.hidden_size
    norms = sum(w.numel() for name, w in model.named_parameters() if w.ndim == 1)
    assert said["flops_left"] == pytest.approx((n - zeros + n_head + norms) / (n + n_head + norms))
    assert card["identity"]["prune"] == "rigl"
    assert "prune_from" not in card["identity"]  # gmp's
    assert "output_loss" not in card["identity"]


def test_pruned_units_are_taken_out_of_the_export(config):
    assert main(changed(config, prune="units", sparsity=0.5, steps=2)) == 0
    model, lineage, _ = opened(config)
    assert model.config.intermediate_size == lineage["pruning"]["units_left"] == 80
    assert lineage["pruning"]["flops_left"] < 0.9


@pytest.mark.slow
def test_a_ticket_is_found_in_one_training_and_kept_in_the_next(config):
    main(changed(config, name="first"))
    ticket = f"{config.run.output}/train-first/model"
    again = changed(config, name="ticket", prune="ticket", ticket=ticket, sparsity=0.5)
    assert main(again) == 0
    first, second = opened(config, "train-first")[0], opened(config, "train-ticket")[0]
    name = "model.layers.0.mlp.up_proj.weight"
    found = dict(second.named_parameters())[name] != 0
    smallest = dict(first.named_parameters())[name].abs()
    assert 0.2 < float(found.float().mean()) < 0.8
    assert smallest[found].min() >= smallest[~found].max()
    assert "ticket_sha256" in opened(config, "train-ticket")[2]["identity"]


def test_a_factored_layer_is_exported_as_the_model_s_own(config):
    config = changed(config, output_loss="factored", z_b=4.0, output_learning_rate=0.3, heldout_every=3)
    assert main(config) == 0
    model, _, card = opened(config)
    assert model.config.tie_word_embeddings is False
    assert card["identity"]["output_learning_rate"] == 0.3
    first = new_model(config_of("tiny", vocabulary_size=270, length=32, end=None), seed=0, initialisation="normal")
    before, after = first.lm_head.weight, model.lm_head.weight
    assert before.shape == after.shape
    assert 1e-4 < (before - after).abs().max() < 1
    assert not torch.equal(model.model.embed_tokens.weight, after)


@pytest.mark.slow
def test_a_student_learns_from_its_teacher(config, tmp_path, tokenizer):
    teacher = model_of(tokenizer, tmp_path / "teacher", num_hidden_layers=3)
    taught = changed(config, teacher=teacher, distil_weight=0.9, distil_top=20, name="taught", steps=2)
    main(taught)
    main(changed(config, name="alone", steps=2))
    assert losses(taught, "train-taught") != losses(config, "train-alone")
    model, _, card = opened(config, "train-taught")
    assert model.config.num_hidden_layers == 2
    assert card["identity"]["distil_top"] == 20
    assert "teacher_sha256" in card["identity"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"prune": "gmp", "sparsity": 1.0}, "with 1 no weight is left to train"),
        ({"sparsity": 0.5}, "--sparsity has no effect with --prune none"),
        ({"prune": "snip", "exchange": 0.2}, "--exchange has no effect with --prune snip"),
        ({"prune": "pattern", "pattern": "2:7"}, "inputs in whole groups of m, got 2:7"),
        ({"prune": "ticket"}, "--prune ticket needs --ticket MODEL"),
        ({"prune": "gmp", "optimiser": "muon"}, "--prune needs --optimiser adamw"),
        ({"output_loss": "z-loss", "z_b": 17.0}, "z_b must be below"),
        ({"z_b": 2.0}, "--z-b has no effect without --output-loss z-loss or factored"),
        ({"output_learning_rate": 2.0}, "--output-learning-rate has no effect without --output-loss factored"),
        ({"distil_top": 3}, "--distil-top has no effect without --teacher"),
        ({"teacher": "OTHER"}, "--teacher must have its student's vocabulary"),
        ({"teacher": "SAME", "output_loss": "z-loss"}, "--teacher needs --output-loss cross-entropy"),
    ],
)
def test_what_leads_to_nothing_is_refused_before_training(config, tmp_path, tokenizer, other, message):
    if other.get("teacher") == "OTHER":
        train_tokenizer(["other words"] * 9, vocabulary_size=265, folder=tmp_path / "tokens-of-other")
        other = {"teacher": model_of(str(tmp_path / "tokens-of-other"), tmp_path / "other")}
    elif "teacher" in other:
        other = {**other, "teacher": model_of(tokenizer, tmp_path / "same")}
    with pytest.raises(ValueError, match=message):
        main(changed(config, **other))
    assert not (tmp_path / "run/train/checkpoints").exists()


def test_a_layer_larger_than_memory_is_refused(monkeypatch):
    from types import SimpleNamespace

    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1 << 20))
    layer = built(Config, output="x", output_loss="factored").learning.layer
    with pytest.raises(ValueError, match=r"a factored layer of 300,000 x 256 weights needs 0.9 GB .* there are 0.0"):
        layer.check_memory(300_000, 256)
    layer.check_memory(100, 64)


@pytest.mark.parametrize("job", [Config, FinetuneConfig])
def test_older_cards_and_trials_know_nothing_of_it(job):
    given = {"data": ("x",)} if job is FinetuneConfig else {}
    config = built(job, output="x", **given)
    new = set(settings_of(Learning))
    assert set(flat(config)) - set(flat_settings(config)) == new
    assert flat_settings(changed(config, prune="gmp"))["prune"] == "gmp"
