"""finetune --learn choices, in this process: two tasks learnt by one model, evaluated before and after."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jobs.finetune import Config, main
from jobs.parts import answering, choices
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder
from raypipe.train.loop import loop
from raypipe.train.loop.journal import read_journal
from tests.learning import SEED, THREADS, require

TASKS = [
    {"task": "colour", "instruction": "words about a thing", "question": "which colour?", "choices": ["red", "blue"]},
    {
        "task": "size",
        "instruction": "words about a thing",
        "question": "how large?",
        "choices": ["big", "small", "wee"],
    },
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    words = "words about a thing which colour? how large? red blue big small wee it is a\n\nQuestion: Answer: A B C"
    train_tokenizer([f"{words}\nA. B. C. \nAnswer: A\nAnswer: B\nAnswer: C"] * 4, vocabulary_size=400, folder=folder)
    vocabulary = open_vocabulary(str(folder))
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=128, end=vocabulary.end)
    new_model(config, seed=0, initialisation="normal").save_pretrained(folder)
    return str(folder)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows_of(n):
    """Each text names its colour and its size; both tasks ask about the same texts."""
    rng = np.random.default_rng(0)
    for number in range(n):
        answers = {task["task"]: str(rng.choice(task["choices"])) for task in TASKS}
        text = f"it is a {answers['size']} {answers['colour']} thing {number}"
        for task, answer in answers.items():
            yield {"task": task, "text": text, "answer": answer, "case": number}


@pytest.fixture
def config(tmp_path, model):
    return built(
        Config, data=(write(tmp_path / "data.jsonl", rows_of(200)),), tasks=write(tmp_path / "tasks.jsonl", TASKS),
        learn="choices", case_column="case", model=model, output=str(tmp_path / "run"), length=128, batch_examples=16,
        micro_batch=16, steps=240, learning_rate=2e-3, weight_decay=0.0, cpus_per_worker=THREADS, heldout_share=0.1,
        heldout_every=40, save_every=1000, take="best", test_share=0.3, seed=SEED,
    )  # fmt: skip


def evaluation(config):
    return json.loads((Folder(config.run.output) / "finetune").read("evaluation.json"))


def responses(config, name):
    return json.loads((Folder(config.run.output) / "finetune").read(f"responses-{name}.json"))["responses"]


@pytest.mark.learns
@pytest.mark.parametrize("rank", [0, pytest.param(8, marks=pytest.mark.slow)])
def test_two_tasks_are_learnt_and_both_controls_beaten(config, capsys, rank):
    assert main(changed(config, lora_rank=rank, learning_rate=5e-3 if rank else 2e-3)) == 0
    found = evaluation(config)
    assert list(found["tasks"]) == ["colour", "size"]
    assert found["contenders"] == ["majority", "tf-idf", "zero-shot", "finetuned"]
    for control in ("majority", "zero-shot"):
        require(gain=found["mean_over_tasks"]["finetuned minus"][control]["low"], above=0.2)
    said = capsys.readouterr().out
    assert "mean of tasks" in said
    assert "finetuned minus tf-idf: " in said
    right = [r["answer"] in r["accepted"] for r in responses(config, "finetuned") if r["task"] == "size"]
    assert np.mean(right) == pytest.approx(found["tasks"]["size"]["accuracy"]["finetuned"]["mean"])


def test_the_export_of_the_best_step_answers_as_was_evaluated(config):
    assert main(changed(config, steps=90, heldout_every=10, learning_rate=3e-2)) == 0  # too fast: late steps are worse
    lines = read_journal(Folder(config.run.output) / "finetune/metrics")
    heldout = {line["step"]: line["heldout_loss"] for line in lines if line.get("heldout_loss") is not None}
    best = min(heldout, key=lambda step: heldout[step])
    found = evaluation(config)
    assert found["steps"] == best
    assert found["validation_loss"] == heldout[best]
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = f"{config.run.output}/finetune/model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tasks = {task["task"]: task for task in TASKS}
    rows = [json.loads(line) for line in Path(config.examples.data[0]).read_text().splitlines()]
    for response in responses(config, "finetuned")[:10]:
        task, text = tasks[response["task"]], rows[response["row"]]["text"]
        lines = [f"{letter}. {choice}" for letter, choice in zip("ABC", task["choices"], strict=False)]
        head = f"{task['instruction']}\n\n{text}\n\nQuestion: {task['question']}"
        ids = tokenizer("\n".join([head, *lines, "Answer:"]), return_tensors="pt").input_ids
        labels = [tokenizer.encode(f"Answer: {letter}")[-1] for letter in "ABC"[: len(lines)]]
        assert task["choices"][int(model(input_ids=ids).logits[0, -1, labels].argmax())] == response["answer"]


def test_a_stopped_run_goes_on_to_the_same_weights(config, tmp_path, monkeypatch):
    config = changed(config, steps=20, save_every=5, take="last", task_temperature=2.0)
    assert main(changed(config, output=str(tmp_path / "whole"))) == 0
    saved = loop.Checkpoints.save

    def save_and_fail(self, state, engine, task):
        saved(self, state, engine, task)
        if state.step == 10:
            raise OSError("the machine is gone")

    monkeypatch.setattr(loop.Checkpoints, "save", save_and_fail)
    with pytest.raises(ValueError, match="the machine is gone"):
        main(config)
    monkeypatch.setattr(loop.Checkpoints, "save", saved)
    asked = []
    monkeypatch.setattr(choices, "respond", lambda *a, f=choices.respond: asked.append(a[0]) or f(*a))
    assert main(config) == 0
    assert len(asked) == 1  # the starting model has answered already
    assert evaluation(config)["tasks"] == evaluation(changed(config, output=str(tmp_path / "whole")))["tasks"]
    for output in (config.run.output, str(tmp_path / "whole")):
        card = json.loads((Folder(output) / "finetune").read("card.json"))
        assert (card["status"], card["counts"]["step"]) == ("finished", 20)
    weights = [
        load_file(f"{output}/finetune/model/model.safetensors") for output in (config.run.output, tmp_path / "whole")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


@pytest.mark.learns
def test_integers_are_written_and_read(config, tmp_path):
    words = ("red", "blue", "big")
    rows = [{"task": "count", "instruction": "words", "question": "how many?", "text": f"{words[n % 3]} {n}",
             "answer": 9 + n % 3} for n in range(120)]  # fmt: skip
    data = write(tmp_path / "count.jsonl", rows)
    assert main(changed(config, data=(data,), tasks=None, case_column=None, steps=100)) == 0
    count = evaluation(config)["tasks"]["count"]
    require(accuracy=count["accuracy"]["finetuned"]["mean"], above=0.7)
    assert count["accuracy"]["majority"]["mean"] < 0.4
    assert {response["answer"] for response in responses(config, "finetuned")} >= {"9", "10", "11"}


def test_settings_that_change_weights_are_refused_in_a_finished_run(config):
    config = changed(config, steps=1)
    assert main(config) == 0
    for setting, value in {"task_temperature": 3.0, "class_cap": False, "task_examples": 20, "seed": 1}.items():
        with pytest.raises(ValueError, match=rf"{setting} was .* and is now .*--restart finetune"):
            main(changed(config, **{setting: value}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": None}, "no column 'instruction', 'question'.*--tasks"),
        ({"case_column": "docket"}, "no column 'docket'"),
        ({"length": 12}, "to learn from and to test on, got 0 and 0; left out: .*longer than 12 tokens"),
        ({"test_share": 0.95}, "together below 1, got 0.1 [+] 0.95"),
        ({"heldout_share": 0.0}, "take best needs held-out examples"),
        ({"task_temperature": 0.0}, "task_temperature must be at least 1"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(config, changes, message):
    with pytest.raises((ValueError, KeyError), match=message):
        main(changed(config, **changes))
    assert not (Folder(config.run.output) / "finetune").files(recursive=True)


def test_rows_that_cant_be_used_are_said(config, tmp_path, capsys):
    bad = [{"task": "colour", "text": "it is green", "answer": "green", "case": "g"}]
    assert main(changed(config, data=(*config.examples.data, write(tmp_path / "bad.jsonl", bad)), steps=1)) == 0
    assert "left out: 1 row: answer isn't among the choices" in capsys.readouterr().err
    assert evaluation(config)["left_out"] == {"answer isn't among the choices": 1}


def test_a_stop_in_the_evaluation_leaves_the_run_to_go_on_with(config, monkeypatch):
    def stopped(*_):
        raise loop.Stopped("stopped in the evaluation")

    config = changed(config, steps=1)
    with monkeypatch.context() as patched:
        patched.setattr(choices, "respond", stopped)
        assert main(config) == 143
    assert json.loads((Folder(config.run.output) / "finetune").read("card.json"))["status"] == "incomplete"
    assert main(config) == 0
    assert evaluation(config)["steps"] == 1


def test_a_model_in_a_bucket_is_fetched(s3_bucket):
    folder = Folder(f"{s3_bucket}/run") / "model"
    folder.write("config.json", b"{}")
    with answering.here(folder) as local:
        assert (Path(local) / "config.json").read_bytes() == b"{}"


def test_names_of_tasks_cant_write_to_the_terminal():
    estimate = {"mean": 0.5, "low": 0.4, "high": 0.6}
    of = {"n": 3, "accuracy": {"m": estimate}, "natural": {"m": estimate}, "m minus": {}}
    table = choices.table_of({"ours": "m", "contenders": ["m"], "tasks": {"\x1b[2Jx": of}, "mean_over_tasks": of})
    assert "\x1b" not in table
    assert "50.0 [40.0, 60.0]" in table


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_two_workers_learn_and_one_of_them_answers(config, tmp_path):
    config = changed(config, steps=4, micro_batch=8, heldout_every=2)
    alone = changed(config, output=str(tmp_path / "alone"))
    assert main(alone) == 0
    assert main(changed(config, workers=2)) == 0
    assert evaluation(config)["validation_loss"] == pytest.approx(evaluation(alone)["validation_loss"], abs=1e-4)
    assert responses(config, "zero-shot") == responses(alone, "zero-shot")
