"""A debate of three turns about a yes-or-no question: one model argues both sides, a judge reads along.

Source: H. Lang, F. Huang, Y. Li, Debate Helps Weak-to-Strong Generalization, arXiv 2501.13124 (AAAI 2025), section on
debate: opposite answers are given out at random; the first side argues, the second argues and lists flaws, the first
rebuts; each turn reads the ones before it.
Departures: prompts are in our words; temperature and length of a turn, which the paper doesn't name, are ours.
Cost: three generations a transcript.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.arrays.hashing import bits_of, uniform

Complete = Callable[[Sequence[str], Sequence[int]], list[str]]
"""What a debater answers to prompts, each with its own seed."""
N_TURNS = 3


@dataclass(frozen=True)
class DebateQuestion:
    """What is debated about every text."""

    question: str = "Is the answer right?"
    """A question with two answers, about the text."""
    answer_no: str = "no"
    """The answer that label 0 stands for."""
    answer_yes: str = "yes"
    """The answer that label 1 stands for."""


@dataclass(frozen=True)
class Transcript:
    """What was said about one text."""

    first_side: int
    """The label that the first debater argues for; the second argues for the other."""
    turns: tuple[str, ...]
    """Three: argument, counter-argument with flaws, rebuttal."""

    def text(self, question: DebateQuestion) -> str:
        """The transcript as a judge reads it: each turn under its speaker and side."""
        return "\n".join(_spoken(question, self.first_side, turn, said) for turn, said in enumerate(self.turns))


def sides(text_hash: np.ndarray, *, seed: int) -> np.ndarray:
    """The label that each first debater argues for, by a coin of text and seed: [n] int64 -> [n] 0 or 1."""
    return (uniform(text_hash, seed=seed, purpose="debate side") < 0.5).astype(np.int64)


def hold_debates(
    texts: Sequence[str], text_hash: np.ndarray, complete: Complete, question: DebateQuestion, *, seed: int
) -> list[Transcript]:
    """A transcript for each text, all of them turn by turn together; the same seed gives the same ones."""
    transcripts = [Transcript(int(side), ()) for side in sides(text_hash, seed=seed)]
    for turn in range(N_TURNS):
        prompts = [turn_prompt(text, known, question) for text, known in zip(texts, transcripts, strict=True)]
        said = complete(prompts, [turn_seed(seed, int(key), turn) for key in text_hash])
        transcripts = [
            Transcript(known.first_side, (*known.turns, words)) for known, words in zip(transcripts, said, strict=True)
        ]
    return transcripts


def turn_prompt(text: str, so_far: Transcript, question: DebateQuestion) -> str:
    """What the debater whose turn it is reads: the text, its side, all that was said, and what to do now."""
    turn = len(so_far.turns)
    mine, other = (_answer(question, _side(so_far.first_side, at)) for at in (turn, turn + 1))
    task = (
        f'Give your best reasons why "{mine}" is the right answer.',
        f'Give your best reasons why "{mine}" is the right answer, then list the mistakes in the case for "{other}".',
        f'Answer the objections raised, and say why "{mine}" still stands.',
    )[turn]
    opening = f'Two debaters disagree on a question about a text. You speak for the answer "{mine}".'
    parts = [opening, f"Text:\n{text}", f"Question: {question.question}"]
    if so_far.turns:
        parts.append(f"The debate so far:\n{so_far.text(question)}")
    return "\n\n".join([*parts, f"{task} Be brief, and quote the text where it helps."])


def turn_seed(seed: int, text_hash: int, turn: int) -> int:
    """63 bits for one turn about one text."""
    return bits_of(f"debate:{seed}:{text_hash}:{turn}") >> 1


def _side(first_side: int, turn: int) -> int:
    return first_side if turn % 2 == 0 else 1 - first_side


def _answer(question: DebateQuestion, side: int) -> str:
    return question.answer_yes if side else question.answer_no


def _spoken(question: DebateQuestion, first_side: int, turn: int, said: str) -> str:
    return f'Debater {"AB"[turn % 2]}, for "{_answer(question, _side(first_side, turn))}": {said}'
