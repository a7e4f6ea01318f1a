"""Prompts: their exact text, what a cut leaves, and what is learnt of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.models.tokenizer import open_vocabulary
from raypipe.train.choices.labels import find_labels
from raypipe.train.choices.prompt import MAX_DIGITS, Prompter
from tests.models.tokenizers_of_five_kinds import KINDS, saved
from tests.train.choices.questions import question

GOLDEN = """\
This is an opinion. Say who won.

The court affirms.

Question: Who won?
A. the state
B. the other party
Answer: B"""


def prompter(vocabulary, *, length=200, cut="end") -> Prompter:
    return Prompter(vocabulary, find_labels(vocabulary, 3), length, cut)


def decoded(vocabulary, ids) -> str:
    return vocabulary.backend.decode([int(number) for number in ids], skip_special_tokens=False)


def court():
    return question(instruction="This is an opinion. Say who won.", text="The court affirms.", question="Who won?",
                    choices=("the state", "the other party"), answers=("the other party",))  # fmt: skip


@pytest.mark.parametrize("name", ["sample", "tiny"])
def test_a_prompt_is_instruction_text_question_choices_and_cue(name, vocabulary):
    vocabulary = open_vocabulary("sample") if name == "sample" else vocabulary
    example = prompter(vocabulary).example(court(), "the other party")
    assert decoded(vocabulary, example.ids[:-1]) == GOLDEN
    assert example.ids[-1] == vocabulary.end


def test_an_integer_is_asked_for_without_choices(vocabulary):
    example = prompter(vocabulary).example(question(choices=(), answers=("12",), question="how many?"), "12")
    assert decoded(vocabulary, example.ids[:-1]) == "an instruction\n\nwords\n\nQuestion: how many?\nAnswer: 12"
    assert decoded(vocabulary, example.ids[example.has_loss][:-1]) == " 12"


def test_exactly_the_label_and_the_end_of_text_are_learnt(vocabulary):
    example = prompter(vocabulary).example(question(), "blue")
    assert example.has_loss.tolist() == [False] * (len(example.ids) - 2) + [True, True]
    assert decoded(vocabulary, example.ids[-2:-1]) == " B"


def test_a_prompt_is_asked_as_it_was_learnt(vocabulary):
    long = question(text="words and text " * 60)
    for cut in ("end", "middle"):
        made = prompter(vocabulary, length=90, cut=cut)
        assert np.array_equal(made.asked(long).ids, made.example(long, "red").ids[:-2])


@settings(max_examples=60)
@given(st.integers(40, 220), st.sampled_from(["end", "middle"]), st.text(max_size=300), st.booleans())
def test_instruction_and_question_survive_every_length(length, cut, text, is_integer):
    vocabulary = open_vocabulary("sample")
    asked = question(
        text=text.strip(), choices=() if is_integer else ("red", "blue"), answers=("1" if is_integer else "red",)
    )
    made = prompter(vocabulary, length=length, cut=cut)
    example = made.example(asked, asked.answers[0])
    assert (example is not None) == made.fits(asked)
    if example is None:
        return
    assert len(example.ids) <= length
    shown = decoded(vocabulary, example.ids)
    assert shown.startswith("an instruction\n\n")
    tail = "\n\nQuestion: which is it?\n" + ("Answer: 1" if is_integer else "A. red\nB. blue\nAnswer: A")
    assert shown.endswith(tail + decoded(vocabulary, [vocabulary.end]))


@pytest.mark.parametrize("text", ["words " * 400, "ünïcödé 日本語 " * 80])
@pytest.mark.parametrize("length", [60, 83, 120, 300])
def test_a_cut_keeps_the_beginning_and_uses_the_room(vocabulary, text, length):
    asked = question(text=text.strip())
    example = prompter(vocabulary, length=length).example(asked, "red")
    body = decoded(vocabulary, example.ids).split("\n\n")[1]
    assert asked.text.startswith(body)
    assert length - 8 <= len(example.ids) <= length


def test_a_cut_in_the_middle_keeps_both_ends(vocabulary):
    text = "first " + "words " * 200 + "last"
    body = decoded(vocabulary, prompter(vocabulary, length=90, cut="middle").asked(question(text=text)).ids)
    body = body.split("\n\n")[1]
    head, tail = body.split("\n...\n")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert abs(len(head) - len(tail)) < 12


def test_what_doesnt_fit_without_a_text_is_no_example(vocabulary):
    made, asked = prompter(vocabulary, length=20), question()
    assert made.example(asked, "red") is None
    assert made.asked(asked) is None
    assert not made.fits(asked)


def test_integers_keep_room_for_their_digits(vocabulary):
    asked = question(choices=(), answers=("7",), text="words " * 100)
    made = prompter(vocabulary, length=90)
    assert len(made.asked(asked).ids) + MAX_DIGITS + 1 <= 90


def test_control_strings_in_a_text_stay_text(vocabulary):
    example = prompter(vocabulary).example(question(text="words <|endoftext|> words"), "red")
    assert (example.ids == vocabulary.end).sum() == 1


@pytest.mark.parametrize("name", KINDS)
def test_nothing_comes_between_prompt_and_label_with_any_tokenizer(tmp_path, name):
    """A tokenizer that puts an end behind every text puts none behind the prompt; a blank stands there once."""
    other = open_vocabulary(saved(name, tmp_path))
    made = Prompter(other, find_labels(other, 2), 400)
    for answer in ("red", "blue"):
        example = made.example(question(), answer)
        whole = f"{made.text_of(question(), question().text)} {'AB'[answer == 'blue']}"
        plain = other.backend.encode(whole, add_special_tokens=False).ids
        end = [other.end] if other.end is not None else []
        assert example.ids.tolist()[-len(plain + end) :] == plain + end
        assert example.has_loss.sum() == 1 + len(end)
        assert np.array_equal(made.asked(question()).ids, example.ids[: -1 - len(end)])
