"""Likelihoods of answers are those of a slow pass over each text; what is too long is said and not cut."""

import json
from pathlib import Path

import pytest
import torch

from raypipe.contracts.parts import apply
from raypipe.corpus.rows import source_of
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.score.ask import Ask, TextQuestion
from raypipe.settings.identity import identity_of

QUESTIONS = (TextQuestion("{text}\nIs it so?", ("yes", "no")), TextQuestion("Say: {text} ", ("a", "bcd", "never")))
TEXTS = ["river stone", None, "x", "a longer text than the others", "w" * 60]


def asked(folder: Path, texts: list, **settings: int) -> list[dict]:
    op = Ask(str(folder), QUESTIONS, **{"max_tokens": 64, "token_budget": 128, **settings})
    op.check()
    op.setup(n_threads=1)
    return apply(op, source_of(texts)).to_pylist()


def slow(folder: Path, context: str, answer: str) -> float:
    """The sum over the tokens of ` answer`, one text at a time through transformers."""
    model, backend = (
        open_model(str(folder)).weights(dtype="float32", device="cpu"),
        open_vocabulary(str(folder)).backend,
    )
    n = len(backend.encode(context.rstrip()).ids)
    ids = backend.encode(f"{context} {answer}").ids
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(log_p[at - 1, ids[at]]) for at in range(n, len(ids)))


def test_likelihoods_equal_a_slow_pass_over_each_text(tiny_folder: Path) -> None:
    found = asked(tiny_folder, TEXTS)
    assert found[1]["reason"] == "null text"
    for row in (0, 3):
        expected = [[slow(tiny_folder, one.template.replace("{text}", TEXTS[row]), answer) for answer in one.answers]
                    for one in QUESTIONS]  # fmt: skip
        assert found[row]["log_likelihoods"] == [pytest.approx(of, rel=1e-4) for of in expected]
        assert found[row]["unanswered"] == [None, None]


def test_an_answer_does_not_follow_from_the_rows_beside_it(tiny_folder: Path) -> None:
    together, alone = asked(tiny_folder, TEXTS), [asked(tiny_folder, [text])[0] for text in TEXTS]
    for row in (0, 2, 3):
        for one, other in zip(together[row]["log_likelihoods"], alone[row]["log_likelihoods"], strict=True):
            assert one == pytest.approx(other, rel=1e-4)


def test_a_question_that_is_too_long_is_left_unanswered_with_the_reason(tiny_folder: Path) -> None:
    row = asked(tiny_folder, TEXTS)[4]
    assert row["log_likelihoods"] == [[], []]
    assert row["unanswered"][0] == "a question of 74 tokens is longer than the window of 64"
    assert (row["status"], row["n_tokens"]) == ("scored", 0)
    half = asked(tiny_folder, ["w" * 51])[0]  # 51 + 14 in the one, 51 + 5 + 6 in the other
    assert [len(one) for one in half["log_likelihoods"]] == [0, 3]


def test_a_text_is_no_template_and_control_strings_stay_text(tiny_folder: Path) -> None:
    row = asked(tiny_folder, ["{text}"])[0]
    assert row["log_likelihoods"][0] == pytest.approx(
        [slow(tiny_folder, "{text}\nIs it so?", one) for one in ("yes", "no")], rel=1e-4
    )


def test_questions_are_part_of_the_identity(tiny_folder: Path) -> None:
    one, other = (identity_of(Ask(str(tiny_folder), QUESTIONS[:n])) for n in (1, 2))
    assert json.dumps(one) != json.dumps(other)
    assert one["questions"] == [["{text}\nIs it so?", ["yes", "no"]]]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"max_tokens": 10}, "must leave room for a text in max_tokens"),
        ({"token_budget": 30}, "token_budget must be at least max_tokens"),
        ({"max_tokens": 300, "token_budget": 300}, "max_tokens must be at most the 256 tokens"),
    ],
)
def test_what_can_not_be_asked_is_refused(tiny_folder: Path, settings: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        asked(tiny_folder, [], **settings)
