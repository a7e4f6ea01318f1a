"""Questions that a model writes: lines that are yes-or-no questions, each once, and of these the most telling."""

import numpy as np
import pytest

from raypipe.label.collaborator.questions import asked_about, most_telling, questions_in

WRITTEN = """Sure! Here are five questions:
1. Is it about music?
2) Does the program  record sound? Yes.
- **Is it loud?**
Question 3: Can it play a file?
(4) What kind of music is it?
Is it?
Are you fond of music?
Is it about...?
It plays music.
5. Does the text say that it is of a program which can be used to play every kind of music on each and every kind of
1. Has it a synthesizer"""


def test_yes_or_no_questions_are_found_without_their_numbers() -> None:
    assert questions_in(WRITTEN) == [
        "Is it about music?", "Does the program record sound?", "Is it loud?", "Can it play a file?"
    ]  # fmt: skip
    assert questions_in("") == []


def test_each_draw_has_its_seed_and_each_question_is_there_once() -> None:
    given: list[tuple[str, int]] = []

    def write(prompts, seeds) -> list[str]:
        given.extend(zip(prompts, seeds, strict=True))
        return ["Is it music?\nIs it a sound?", "1. is it Music?\nDoes it play now?"]

    found = asked_about("music {question}", write, seeds=[7, 8], request="Ask about {words}!")
    assert found == ["Is it music?", "Is it a sound?", "Does it play now?"]
    assert given == [("Ask about music {question}!", 7), ("Ask about music {question}!", 8)]


def test_the_most_telling_are_kept_and_none_that_tells_it_the_wrong_way_round() -> None:
    questions = ["a?", "b?", "c?", "d?"]
    assert most_telling(questions, np.array([0.1, 2.0, -1.0, 2.0]), 2) == ("b?", "d?")
    assert most_telling(questions, np.array([0.1, 2.0, -1.0, 0.0]), 4) == ("b?", "a?")


def test_what_can_t_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in 1 answers it wrote none, such as 'Music\.'"):
        asked_about("music", lambda prompts, seeds: ["Music."], seeds=[0])
    with pytest.raises(ValueError, match=r"of 2 written none is, such as 'a\?'; write them yourself"):
        most_telling(["a?", "b?"], np.array([0.0, -1.0]), 2)
