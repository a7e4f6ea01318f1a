"""What a model answers equals what transformers makes of it one prompt at a time."""

import numpy as np
import pytest
import torch

from raypipe.train.choices.labels import find_labels
from raypipe.train.choices.prompt import Prompter
from raypipe.train.choices.respond import Responder, first_integer
from raypipe.train.loop.loop import Stopped
from tests.train.choices.questions import question


def responder(causal, vocabulary, **settings):
    return Responder(causal, vocabulary, find_labels(vocabulary, 3), **settings)


def asked(vocabulary, n, *, is_integer=False):
    prompter = Prompter(vocabulary, find_labels(vocabulary, 3), 120)
    texts = [f"words {'text ' * (3 * at % 17)}{at}" for at in range(n)]
    kinds = [() if is_integer else ("red", "blue", "green")[: 2 + at % 2] for at in range(n)]
    questions = [
        question(text=text, choices=choices, row=at)
        for at, (text, choices) in enumerate(zip(texts, kinds, strict=True))
    ]
    return questions, [prompter.asked(one) for one in questions]


@torch.no_grad()
def test_the_answer_is_the_likeliest_label_as_plain_transformers_has_it(causal, vocabulary, monkeypatch):
    from raypipe.train.choices import respond

    monkeypatch.setitem(respond.BUDGET, "cpu", 150)  # several batches
    questions, prompts = asked(vocabulary, 23)
    given = responder(causal, vocabulary).answers(questions, prompts)
    scores = responder(causal, vocabulary).label_log_probabilities(prompts)
    labels = find_labels(vocabulary, 3).ids
    causal.set_attn_implementation("eager")
    for at, (one, prompt) in enumerate(zip(questions, prompts, strict=True)):
        logits = causal(input_ids=torch.tensor([prompt.ids.tolist()])).logits[0, -1]
        expected = torch.log_softmax(logits, 0)[labels].numpy()
        assert scores[at] == pytest.approx(expected, abs=1e-5)
        assert given[at] == one.choices[int(expected[: len(one.choices)].argmax())]
    assert len(set(given)) > 1


@torch.no_grad()
def test_greedy_text_is_the_likeliest_token_each_time(causal, vocabulary):
    _, prompts = asked(vocabulary, 3, is_integer=True)
    texts = responder(causal, vocabulary).greedy_texts(prompts)
    causal.set_attn_implementation("eager")
    for prompt, text in zip(prompts, texts, strict=True):
        ids = prompt.ids.tolist()
        for _ in range(20):
            following = int(causal(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(following)
            if following == vocabulary.end:
                break
        assert text == vocabulary.tokenizer.decode(ids[len(prompt.ids) :], skip_special_tokens=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [(" 12", "12"), ("about 7 or 8", "7"), ("-3.", "-3"), ("007", "7"), ("3.5", "3"), ("none", None), ("", None)],
)
def test_the_first_integer_counts(text, found):
    assert first_integer(text) == found


def test_labels_beyond_a_questions_choices_dont_count(causal, vocabulary, monkeypatch):
    questions, prompts = asked(vocabulary, 2)  # of two and of three choices
    monkeypatch.setattr(Responder, "label_log_probabilities", lambda self, prompts: np.array([[-2.0, -1.0, -0.1]] * 2))
    assert responder(causal, vocabulary).answers(questions, prompts) == ["blue", "green"]


def test_integers_are_taken_from_what_is_written(causal, vocabulary, monkeypatch):
    questions, prompts = asked(vocabulary, 2, is_integer=True)
    monkeypatch.setattr(Responder, "greedy_texts", lambda self, prompts: ["it is 42", "no idea"])
    assert responder(causal, vocabulary).answers(questions, prompts) == ["42", None]


def test_it_stops_between_batches(causal, vocabulary):
    questions, prompts = asked(vocabulary, 2)
    with pytest.raises(Stopped, match="same command goes on"):
        responder(causal, vocabulary, is_stopping=lambda: True).answers(questions, prompts)


def test_no_questions_have_no_answers(causal, vocabulary):
    assert responder(causal, vocabulary).answers([], []) == []
