"""A threshold of a column of numbers: a vote for one class where the number is high enough, low enough, or between.

Source: the heuristics over metadata of A. Ratner et al., Snorkel, VLDB 2018, section 2.1.
Cost: O(n).
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.label.functions.function import column, where


@dataclass(frozen=True)
class Threshold:
    """Votes where the number is within these bounds; null and NaN are in none.

    >>> import pyarrow as pa
    >>> function = Threshold("short", vote="spam", column="n_bytes", at_most=40)
    >>> function.says(pa.table({"n_bytes": [12, 400, None]})).to_pylist()
    ['spam', None, None]
    """

    name: str
    vote: str
    """The class."""
    column: str
    """`n_bytes`, or STAGE.COLUMN: scores.loss."""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def check(self) -> None:
        """Refuse no bound, or bounds with nothing between.

        Raises
        ------
        ValueError
            With the bounds.
        """
        low, high = self.at_least, self.at_most
        if (low is None and high is None) or (low is not None and high is not None and not low <= high):
            raise ValueError(
                f"labelling function {self.name!r}: give at_least, at_most or both, the lower first; got {low}, {high}."
            )

    def says(self, table: pa.Table) -> pa.Array:
        """The class where the number is within the bounds."""
        numbers = column(table, self.column).cast(pa.float64())
        within = pc.is_valid(numbers)
        if self.at_least is not None:
            within = pc.and_(within, pc.greater_equal(numbers, self.at_least))  # NaN is neither more nor less
        if self.at_most is not None:
            within = pc.and_(within, pc.less_equal(numbers, self.at_most))
        return where(within, self.vote)
