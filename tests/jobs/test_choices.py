"""finetune --learn choices, in this process: two tasks learnt by one model, evaluated before and after."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from jobs.finetune import Config, main
from raypipe.storage import Folder
from raypipe.train.shapes import config_of, new_model
from raypipe.train.tokenizer import open_vocabulary, train_tokenizer

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
    torch.set_num_threads(1)
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
    return Config(
        data=(write(tmp_path / "data.jsonl", rows_of(200)),), tasks=write(tmp_path / "tasks.jsonl", TASKS),
        learn="choices", case_column="case", model=model, output=str(tmp_path / "run"), length=128, batch_examples=16,
        micro_batch=16, steps=80, learning_rate=1e-2, weight_decay=0.0, cpus_per_worker=1, heldout_share=0.1,
        heldout_every=20, save_every=1000, take="best",
    )  # fmt: skip


def evaluation(config):
    return json.loads((Folder(config.output) / "finetune").read("evaluation.json"))


@pytest.mark.parametrize("rank", [0, 8])
def test_two_tasks_are_learnt_and_both_controls_beaten(config, capsys, rank):
    assert main(replace(config, lora_rank=rank, steps=80 if rank == 0 else 160)) == 0
    found = evaluation(config)
    assert list(found["tasks"]) == ["colour", "size"]
    assert found["contenders"] == ["majority", "tf-idf", "zero-shot", "finetuned"]
    for control in ("majority", "zero-shot"):
        difference = found["mean_over_tasks"]["finetuned minus"][control]
        assert difference["shown"]
        assert difference["low"] > 0.1
    assert all(task["accuracy"]["majority"]["mean"] <= 0.65 for task in found["tasks"].values())
    said = capsys.readouterr().out
    assert "finetuned minus tf-idf: " in said
    assert "mean of tasks" in said
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(f"{config.output}/finetune/model")
