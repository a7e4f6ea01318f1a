"""The finetune job, in this process: answers, classes, numbers, adapters."""

import gzip
import json
from pathlib import Path

import pytest
import torch
import yaml

from jobs import label_corpus
from jobs.finetune import Config, main
from jobs.parts.finetuning import plan_finetuning, task_of
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder
from raypipe.train.loop.journal import read_journal
from tests.run.in_process import use_this_process

COLOURS = ["red", "green", "blue"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train_tokenizer(["the colour is red green blue " * 3], vocabulary_size=300, folder=folder)
    vocabulary = open_vocabulary(str(folder))
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=64, end=vocabulary.end)
    new_model(config, seed=0, initialisation="normal").save_pretrained(folder)
    return str(folder)


@pytest.fixture
def config(tmp_path, model):
    rows = [{"prompt": f"{c} {n}: ", "answer": c, "label": c, "value": at} for n in range(20)
            for at, c in enumerate(COLOURS)]  # fmt: skip
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return built(
        Config, data=(str(tmp_path / "data.jsonl"),), model=model, output=str(tmp_path / "run"), length=64,
        batch_examples=8, micro_batch=4, steps=12, learning_rate=5e-3, weight_decay=0.0,
        cpus_per_worker=1, save_every=6,
    )  # fmt: skip


def curve(config):
    return [line["loss"] for line in read_journal(Folder(config.run.output) / "finetune/metrics")]


def evaluation(config):
    return json.loads((Folder(config.run.output) / "finetune").read("evaluation.json"))


@pytest.mark.learns
@pytest.mark.parametrize("rank", [0, 4])
def test_answers_are_learnt_with_and_without_adapters(config, rank):
    config = changed(config, lora_rank=rank, learning_rate=5e-3 if rank == 0 else 2e-2, steps=12 if rank == 0 else 40)
    assert main(config) == 0
    losses = curve(config)
    assert losses[-1] < (0.75 if rank == 0 else 0.9) * losses[0]
    from transformers import AutoModelForCausalLM

    tuned = AutoModelForCausalLM.from_pretrained(f"{config.run.output}/finetune/model")
    start = AutoModelForCausalLM.from_pretrained(config.model)
    names = {name for name, _ in tuned.named_parameters()}
    assert names == {name for name, _ in start.named_parameters()}  # adapters are merged
    same = torch.equal(tuned.model.embed_tokens.weight, start.model.embed_tokens.weight)
    assert same == (rank > 0)
    assert not torch.equal(tuned.model.layers[0].mlp.down_proj.weight, start.model.layers[0].mlp.down_proj.weight)


@pytest.mark.learns
@pytest.mark.parametrize("rank", [0, 4])
def test_classes_are_learnt_and_the_export_predicts_them(config, capsys, rank):
    config = changed(config, learn="class", steps=30, lora_rank=rank, heldout_share=0.2)
    assert main(config) == 0
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(f"{config.run.output}/finetune/model")
    assert list(model.config.id2label.values()) == ["blue", "green", "red"]
    vocabulary, right = open_vocabulary(config.model), 0
    for colour in COLOURS:
        ids = torch.tensor([vocabulary.backend.encode(f"{colour} 3: ").ids])
        right += model.config.id2label[int(model(input_ids=ids).logits.argmax())] == colour
    assert right == 3
    found = evaluation(config)
    assert found["contenders"] == ["majority", "tf-idf", "finetuned"]
    accuracy = found["mean_over_tasks"]["accuracy"]
    assert accuracy["finetuned"]["mean"] == accuracy["tf-idf"]["mean"] == 1.0
    assert found["mean_over_tasks"]["finetuned minus"]["majority"]["shown"]
    assert found["mean_over_tasks"]["n"] == found["tasks"]["held-out"]["n"]
    said = capsys.readouterr().out
    assert "accuracy, % of " in said
    assert "finetuned minus tf-idf: +0.0 [+0.0, +0.0]: no difference shown" in said


@pytest.mark.parametrize("learn", ["answers", "class"])
def test_new_weights_are_the_same_on_every_worker(config, learn):
    """Each makes its own: two that drew other adapters would train other models and average their gradients."""
    config = changed(config, learn=learn, lora_rank=4)
    first, second = (task_of(config, COLOURS).module.state_dict() for _ in range(2))
    assert any("lora_A" in name for name in first)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = task_of(changed(config, seed=1), COLOURS).module.state_dict()
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_where_dropout_draws_its_zeros_is_part_of_what_was_trained(config):
    plain, dropping = (changed(config, lora_rank=4, lora_dropout=share) for share in (0.0, 0.1))
    examples = config.examples.load(model=config.model)
    identities = [plan_finetuning(one, Folder("nowhere"), examples).identity for one in (plain, dropping)]
    assert [("micro_batch" in identity, "workers" in identity) for identity in identities] == [
        (False,) * 2,
        (True,) * 2,
    ]


@pytest.mark.learns
def test_numbers_are_learnt_and_measured_beside_the_mean_and_ridge(config, capsys):
    config = changed(config, learn="number", label_column="value", steps=30, heldout_share=0.2, take="best")
    assert main(config) == 0
    losses = curve(config)
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    found = evaluation(config)
    assert found["contenders"] == ["mean", "tf-idf", "finetuned"]
    assert found["finetuned minus"]["mean"]["high"] < 0
    assert found["explained"]["mean"]["mean"] < 0.1 < 0.5 < found["explained"]["tf-idf"]["mean"]
    said = capsys.readouterr().out
    assert "mean absolute error of " in said
    assert "Note: the weights were chosen by the loss on these rows" in said


@pytest.mark.parametrize(
    ("learn", "by", "pick"),
    [("class", "accuracy", max), ("number", "mean_absolute_error", min), ("class", "auroc", max)],
)
def test_the_exported_weights_are_the_best_by_the_figure_that_is_named(config, learn, by, pick):
    changes = {"where": "label != 'red'"} if by == "auroc" else {}
    config = changed(
        config, learn=learn, heldout_share=0.2, heldout_every=1, take="best", best_by=by, learning_rate=2e-2, **changes,
        **({"label_column": "value"} if learn == "number" else {}),
    )  # fmt: skip
    assert main(config) == 0
    measured = {
        line["step"]: line[f"heldout_{by}"] for line in read_journal(Folder(config.run.output) / "finetune/metrics")
    }
    assert len(set(measured.values())) > 1
    best = pick(measured, key=measured.get)  # the first of equals
    stage = Folder(config.run.output) / "finetune"
    assert json.loads(stage.read("model/raypipe.json"))["steps"] == best
    found = evaluation(config)
    assert found["note"].startswith(f"the weights were chosen by the {by.replace('_', ' ')} on these rows")
    if learn == "number":
        assert found[by]["finetuned"]["mean"] == pytest.approx(measured[best], rel=1e-4)
    with pytest.raises(ValueError, match="best_by was"):
        main(changed(config, best_by="loss"))


def test_without_held_out_rows_there_is_no_evaluation_and_it_is_said(config, capsys):
    assert main(changed(config, learn="class", steps=1, heldout_share=0.0)) == 0
    assert not (Folder(config.run.output) / "finetune").exists("evaluation.json")
    assert "no held-out rows to evaluate on" in capsys.readouterr().out


def test_a_finished_run_stands_and_other_data_are_refused(config, tmp_path):
    main(config)
    before = curve(config)
    assert main(config) == 0
    assert curve(config) == before
    with (tmp_path / "data.jsonl").open("a") as file:
        file.write('{"prompt": "more", "answer": "words"}\n')
    with pytest.raises(ValueError, match=r"examples_sha256 was .* and is now .*--restart finetune"):
        main(config)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"steps": None}, "either --steps or --epochs"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": -5}, "steps must be at least 1"),
        ({"steps": None, "epochs": -1.0}, "epochs above 0, got -1"),
        ({"micro_batch": 0}, "workers and micro_batch must be at least 1"),
        ({"batch_examples": 6}, "6 sequences must be a multiple of 1 workers x 4 .*nearest is 4 or 8"),
        ({"lora_rank": -1}, "lora_rank must be at least 0"),
        ({"length": 2}, "no example .*longer than 2 tokens"),
        ({"data": ("/nowhere/x.jsonl",)}, "nothing at /nowhere/x.jsonl"),
        ({"label_column": "value"}, "--label-column has no effect with --learn answers"),
        ({"learn": "class", "answer_column": "label"}, "--answer-column has no effect with --learn class"),
        ({"learn": "number", "label_column": "value", "messages_column": "m"}, "--messages-column has no effect"),
        ({"test_share": 0.5, "task_examples": 3}, "--test-share, --task-examples have no effect with --learn answers"),
        ({"learn": "choices", "domain_column": "label"}, "--domain-column has no effect with --learn choices"),
        ({"best_by": "accuracy"}, "--best-by has no effect without --take best"),
        ({"take": "best", "best_by": "accuracy"}, "best_by must be one of loss with --learn answers, got accuracy"),
        ({"learn": "class", "take": "best", "best_by": "auroc"}, "--best-by auroc needs two classes, got 3"),
        ({"take": "best", "heldout_share": 0.0}, "--take best needs held-out examples to choose by, got none"),
        ({"lora_dropout": 0.1}, "--lora-dropout has no effect without --lora-rank"),
        ({"heldout_share": 0.0, "heldout_every": 5}, "--heldout-every has no effect with --heldout-share 0"),
        (
            {"learn": "class", "where": "label = 'red'"},
            "label must have at least two values .* got only 'red'",
        ),
        ({"where": "label = 'pink'"}, "no example .*'filtered': 60"),
        ({"where": "label ="}, "where 'label =' can't be used"),
    ],
)
def test_wrong_settings_are_refused(config, other, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main(changed(config, **other))


def test_classes_and_rows_left_out_are_said(config, tmp_path, capsys):
    with (tmp_path / "data.jsonl").open("a") as file:
        file.write('{"prompt": null, "label": "red"}\n{"prompt": "blue 1: "}\n')
    main(changed(config, learn="class", steps=1))
    said = capsys.readouterr().err
    assert "classes: 0 = blue (20), 1 = green (20), 2 = red (20)" in said
    assert "left out: 1 row: no text (data.jsonl:60)" in said
    assert "left out: 1 row: no label (data.jsonl:61)" in said


def test_numeric_classes_are_exported_in_numeric_order(config, tmp_path):
    rows = [{"prompt": f"red {n}", "label": label} for n in range(3) for label in (2, 10, "2", 1.0, True)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(changed(config, learn="class", steps=1)) == 0
    stage = Folder(config.run.output) / "finetune"
    assert json.loads(stage.read("model/config.json"))["id2label"] == {"0": "1", "1": "2", "2": "10"}
    assert json.loads(stage.read("card.json"))["identity"]["labels"] == ["1", "2", "10"]


def test_compressed_rows_of_a_condition_are_learnt(config, tmp_path, capsys):
    data = str(tmp_path / "data.jsonl.gz")
    Path(data).write_bytes(gzip.compress((tmp_path / "data.jsonl").read_bytes()))
    main(changed(config, data=(data,), where="label != 'red'", learn="class", steps=1))
    said = capsys.readouterr().err
    assert "classes: 0 = blue (20), 1 = green (20)" in said
    assert "left out: 20 rows: filtered (data.jsonl.gz:0, data.jsonl.gz:3" in said


@pytest.mark.learns
def test_class_probabilities_are_learnt_in_place_of_labels(config, tmp_path, monkeypatch, capsys):
    """Labels in the rows judge the held-out ones only: of those that are learnt they are wrong here."""
    use_this_process(monkeypatch)
    rows = [{"id": f"n{n}{c}", "prompt": f"{c} {n}: ", "label": c} for n in range(20) for c in COLOURS]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    functions = {"classes": COLOURS, "functions": [
        {"kind": "keywords", "name": f"{c}{n}", "vote": c, "words": [c]} for c in COLOURS for n in (1, 2)]}  # fmt: skip
    (tmp_path / "functions.yaml").write_text(yaml.safe_dump(functions))
    asked = label_corpus.Config(
        corpus=(str(data),), text_column="prompt", id_column="id", functions=f"{tmp_path}/functions.yaml",
        output=f"{tmp_path}/run", label_model="majority-vote",
    )  # fmt: skip
    assert label_corpus.main(asked) == 0
    soft = changed(
        config, data=(str(data),), learn="class", steps=30, heldout_share=0.2, soft_labels=f"{tmp_path}/run/labels"
    )
    examples = soft.examples.load(model=soft.model)
    data.write_text("".join(json.dumps(row | {"label": "red"}) + "\n" for row in rows))
    assert {one.label for one in soft.examples.load(model=soft.model).heldout} == {COLOURS.index("red")}
    assert examples.labels == COLOURS
    assert all(one.soft_label.argmax() == one.label for one in [*examples.train, *examples.heldout])
    data.write_text("".join(json.dumps({name: row[name] for name in ("id", "prompt")}) + "\n" for row in rows))
    assert main(soft) == 0
    assert evaluation(soft)["mean_over_tasks"]["accuracy"]["finetuned"]["mean"] == 1.0
    with pytest.raises(ValueError, match="--soft-labels has no effect with --learn number"):
        main(changed(soft, learn="number"))
    with pytest.raises(ValueError, match="--best-by auroc isn't measured with --soft-labels"):
        main(changed(soft, take="best", best_by="auroc"))
