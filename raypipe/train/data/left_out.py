"""Rows that aren't used: how many, why, and where the first ones are."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

N_PLACES = 5
"""Places that are kept for each reason."""


@dataclass
class LeftOut:
    """Counts by reason; and for each reason the first rows as PATH:ROW."""

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, *, path: str, row: int) -> None:
        """Count a row."""
        self.counts[reason] += 1
        first = self.places.setdefault(reason, [])
        if len(first) < N_PLACES:
            first.append(f"{path}:{row}")

    def update(self, other: "LeftOut") -> None:
        """Count another's rows too."""
        self.counts.update(other.counts)
        for reason, places in other.places.items():
            mine = self.places.setdefault(reason, [])
            mine += places[: N_PLACES - len(mine)]

    def lines(self) -> list[str]:
        """One for each reason, the commonest first: how many rows, why, and which ones."""
        return [
            f"left out: {n:,} {'row' if n == 1 else 'rows'}: {reason} ({_listed(self.places.get(reason, []), n)})"
            for reason, n in self.counts.most_common()
        ]

    def to_json(self) -> dict[str, Mapping[str, object]]:
        """Count and first places of each reason."""
        return {reason: {"n": n, "first": self.places.get(reason, [])} for reason, n in self.counts.most_common()}


def _listed(places: list[str], n: int) -> str:
    return ", ".join(places) + (" ..." if n > len(places) else "")
