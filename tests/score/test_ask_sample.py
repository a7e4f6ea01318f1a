"""Questions to the real small model, SmolLM2-135M-Instruct, answered as a plain loop of transformers answers them."""

import numpy as np
import pytest
import torch
import yaml

from raypipe import sample
from raypipe.contracts.parts import apply
from raypipe.corpus.rows import source_of
from raypipe.models.causal import open_model
from raypipe.sample import SAMPLE
from raypipe.score.ask import Ask, TextQuestion

RECIPE = "jobs/recipes/debtags_prompts.yaml"
TEXTS = ["a puzzle game with blocks", "a synthesizer\nthat reads MIDI files", "IMAP server", "naïve – “words” ünd 42"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def questions() -> tuple[TextQuestion, ...]:
    with open(RECIPE, encoding="utf-8") as file:
        given = [one for one in yaml.safe_load(file)["functions"] if one["kind"] == "prompt"]
    return tuple(TextQuestion(one["question"], tuple(map(str, one["answers"]))) for one in given)


def asked(texts: list[str], questions: tuple[TextQuestion, ...], *, max_tokens: int) -> list[dict]:
    op = Ask(SAMPLE, questions, max_tokens=max_tokens, token_budget=512)
    op.check()
    op.setup(n_threads=1)
    return apply(op, source_of(texts)).to_pylist()


def test_packed_likelihoods_are_those_of_a_plain_loop(questions: tuple[TextQuestion, ...]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = open_model(SAMPLE).folder
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    found = asked(TEXTS, questions, max_tokens=128)
    for text, row in zip(TEXTS, found, strict=True):
        assert row["unanswered"] == [None] * len(questions)
        for question, of in zip(questions, row["log_likelihoods"], strict=True):
            context = question.template.replace("{text}", text)
            n = len(tokenizer(context)["input_ids"])
            for answer, likelihood in zip(question.answers, of, strict=True):
                ids = tokenizer(f"{context} {answer}", return_tensors="pt")["input_ids"]
                with torch.inference_mode():
                    log_p = model(input_ids=ids).logits[0].double().log_softmax(-1)
                expected = sum(float(log_p[at - 1, ids[0, at]]) for at in range(n, ids.shape[1]))
                assert likelihood == pytest.approx(expected, abs=1e-4)


def test_a_prompt_longer_than_the_window_says_so_and_leaves_the_others(questions: tuple[TextQuestion, ...]) -> None:
    row, short = asked(["many words " * 60, TEXTS[0]], questions, max_tokens=100)
    assert row["log_likelihoods"] == [[]] * len(questions)
    assert all("tokens is longer than the window of 100" in why for why in row["unanswered"])
    assert all(len(of) == len(one.answers) for of, one in zip(short["log_likelihoods"], questions, strict=True))


def test_it_knows_more_than_chance_of_what_packages_are_for(questions: tuple[TextQuestion, ...]) -> None:
    import pyarrow.parquet as pq

    classes = ("game", "audio", "image", "mail", "database")
    rows = [row for row in pq.read_table(sample.debtags_file()).to_pylist() if row["label"] in classes][:40]
    found = asked([row["text"][:200] for row in rows], questions[:1], max_tokens=128)
    said = [classes[int(np.argmax(row["log_likelihoods"][0]))] for row in found]
    right = np.mean([one == row["label"] for one, row in zip(said, rows, strict=True)])
    assert right > 0.4  # a fifth by chance
