"""Which classes have rows to learn from: seen, dev and test classes, of which none may be two.

Source: Y. Xian et al., Zero-Shot Learning: A Comprehensive Evaluation, TPAMI 2019, section 4.
Cost: O(k).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassSplit:
    """Numbers of classes: of those with rows, those that settings are chosen on, and those that are judged by."""

    seen: tuple[int, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a class that is in two parts, or no class to learn from or to be judged by.

        Raises
        ------
        ValueError
            With the class.
        """
        parts = [*self.seen, *self.dev, *self.test]
        twice = sorted({one for one in parts if parts.count(one) > 1})
        if twice:
            raise ValueError(f"seen, dev and test classes must be apart, class {twice[0]} is in more than one part.")
        if not self.seen or not self.test:
            raise ValueError(f"there must be seen and test classes, got {len(self.seen)} and {len(self.test)}.")

    @classmethod
    def drawn(cls, n_classes: int, *, seen: float, dev: float, seed: int) -> "ClassSplit":
        """Shares of the classes by a seed."""
        order = np.random.default_rng(seed).permutation(n_classes).tolist()
        first, second = round(seen * n_classes), round((seen + dev) * n_classes)
        return cls(tuple(order[:first]), tuple(order[first:second]), tuple(order[second:]))
