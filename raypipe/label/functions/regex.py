"""A regular expression: a vote for one class where the text matches it, in time linear in the text.

Source: R. Cox, Regular Expression Matching in the Wild, 2010: RE2, which Arrow brings along. No expression can be
catastrophic, and what would need going back (references to groups, lookaround) is refused.
Cost: O(text) for an expression.
"""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import TEXT
from raypipe.label.functions.function import column, where


@dataclass(frozen=True)
class Regex:
    """Votes where the expression matches somewhere in the text.

    >>> import pyarrow as pa
    >>> function = Regex("link", vote="spam", pattern=r"(?i)https?://")
    >>> function.says(pa.table({"text": ["see HTTP://a.org", "no link"]})).to_pylist()
    ['spam', None]
    """

    name: str
    vote: str
    """The class."""
    pattern: str
    """In the syntax of RE2; `(?i)` at its head ignores case, `(?s)` lets a dot match the end of a line."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)

    def check(self) -> None:
        """Refuse what is no expression of RE2.

        Raises
        ------
        ValueError
            With what RE2 says of it.
        """
        try:
            pc.match_substring_regex(pa.array([""], pa.large_string()), self.pattern)
        except pa.ArrowInvalid as error:
            why = str(error).partition(": ")[2] or str(error)
            raise ValueError(
                f"labelling function {self.name!r}: pattern {self.pattern!r} can't be used ({why}); it must be an "
                "expression of RE2, which has no lookaround and no references to groups."
            ) from None

    def says(self, table: pa.Table) -> pa.Array:
        """The class where it matches."""
        return where(pc.match_substring_regex(column(table, TEXT), self.pattern), self.vote)
