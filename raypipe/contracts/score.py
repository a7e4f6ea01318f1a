"""What a score says of itself: its column, what it is called, its unit, and which end of it is the better one.

A scorer declares it, the card of its stage carries it, and whoever reads the scores knows no scorer by name.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

KEY = "score"
"""Under which a stage's card holds its scores."""


@dataclass(frozen=True)
class Score:
    """A column of numbers that documents can be ordered by."""

    column: str
    label: str
    """In a few words, for a heading: "loss without heads above the loss"."""
    unit: str
    """"" where it has none."""
    higher_is_better: bool

    def as_json(self) -> dict[str, Any]:
        """For a card."""
        return asdict(self)

    @property
    def name(self) -> str:
        """The column as a word: `min_k` -> `min k`."""
        return self.column.replace("_", " ")

    @property
    def better_name(self) -> str:
        """The name of what is higher the better a document is: `influence`, `negative loss`."""
        return self.name if self.higher_is_better else f"negative {self.name}"

    @property
    def sign(self) -> int:
        """What the column is multiplied by so that higher is better."""
        return 1 if self.higher_is_better else -1


OLDER = (
    Score("influence", "rise of the loss without the heads, as a share of it", "", higher_is_better=True),
    Score("loss", "loss", "nats a token", higher_is_better=False),
)
"""Of cards that were written before they said so: the first whose column is there."""


def scores_of(card: Mapping[str, Any]) -> tuple[Score, ...]:
    """The scores that a stage's card tells of, the first in front; none where it tells of none.

    Raises
    ------
    ValueError
        If what it holds isn't a score.
    """
    held = card.get(KEY) or []
    return tuple(_score(content) for content in (held if isinstance(held, list) else [held]))


def _score(content: Any) -> Score:
    names = {field.name for field in fields(Score)}
    if not isinstance(content, dict) or not names <= content.keys():
        raise ValueError(f"a card's {KEY!r} must hold {sorted(names)}, got {content!r}; run the stage again.")
    return Score(**{name: content[name] for name in names})
