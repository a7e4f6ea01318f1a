"""A question of a task about a text, and what is drawn at random for it: functions of where it stands."""

from dataclasses import dataclass

from raypipe.arrays.hashing import bits_of


@dataclass(frozen=True)
class Question:
    """One row: a text, what is asked of it, and the answers that count as right."""

    task: str
    instruction: str
    text: str
    question: str
    choices: tuple[str, ...]
    """Empty: the answer is an integer."""
    answers: tuple[str, ...]
    """At least one; any of them is right."""
    case: str
    """What the row is about; all rows of a case are in the same split, whatever their task."""
    split: str | None
    """train, validation or test, where the data say so."""
    path: str
    row: int

    @property
    def place(self) -> str:
        """Which row this is, for what is drawn by hash."""
        return f"{self.path}:{self.row}"

    def drawn_answer(self, seed: int) -> str:
        """The answer that is learnt: one of those accepted, by hash of seed and row."""
        return self.answers[int(fraction_of(self.place, seed, "answer") * len(self.answers))]


def fraction_of(key: str, seed: int, purpose: str) -> float:
    """A number in [0, 1) that looks random and depends on nothing but these."""
    return (bits_of(f"{purpose}:{seed}:{key}") >> 11) * 2.0**-53
