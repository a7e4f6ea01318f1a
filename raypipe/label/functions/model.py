"""A model's answers as votes: the label that a finished stage gives a row, where it is sure enough.

Source: weak classifiers as labelling functions, A. Ratner et al., Snorkel, VLDB 2018, section 2.1.
Departures: the model has run before, as a stage of its own (`predict`: classes.label, classes.probability).
Cost: O(n).
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.label.functions.function import column


@dataclass(frozen=True)
class Model:
    """Votes for the class that a column names."""

    name: str
    column: str = "classes.label"
    """STAGE.COLUMN of names of classes; null abstains."""
    probability: str | None = None
    """STAGE.COLUMN of how sure the model is: classes.probability."""
    at_least: float | None = None
    """It abstains where the probability is lower."""

    vote = None

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns."""
        return (self.column, *([self.probability] if self.probability else []))

    def check(self) -> None:
        """Refuse a bound without a column, or a column without a bound.

        Raises
        ------
        ValueError
            With both.
        """
        if (self.probability is None) != (self.at_least is None):
            raise ValueError(
                f"labelling function {self.name!r}: give probability and at_least, or neither; got "
                f"{self.probability!r} and {self.at_least}."
            )

    def says(self, table: pa.Table) -> pa.Array:
        """The label where the model is sure enough."""
        labels = column(table, self.column).cast(pa.string())
        if self.probability is None or self.at_least is None:
            return labels
        is_sure = pc.greater_equal(column(table, self.probability).cast(pa.float64()), self.at_least)
        return pc.if_else(pc.fill_null(is_sure, False), labels, pa.scalar(None, pa.string()))
