"""Marks for the cells of tables: bars, grounds, verdicts. Each says by word or number what it shows by colour."""

from base64 import b64decode
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from raypipe.report.numbers.checks import MAX_CORRELATION
from raypipe.report.numbers.measures import MIN_ROWS
from raypipe.report.page.render import render
from raypipe.report.words import fraction, signed

PNG = b"\x89PNG\r\n\x1a\n"
"""What such a file begins with."""


def bar(number: float, highest: float, shown: str) -> Markup:
    """A number as it is shown, with a bar from 0 before it."""
    return render("cell.html", kind="bar", width=max(number, 0) / highest if highest > 0 else 0.0, shown=shown)


def faint(shown: str, title: str = "") -> Markup:
    """Something that says little."""
    return render("cell.html", kind="faint", shown=shown, title=title)


def heat(share: float, *, title: str = "") -> Markup:
    """A share on a ground as dark as it is large."""
    return render("cell.html", kind="heat", shown=fraction(share), strength=share, title=title, is_loud=False)


def correlation(found: float, n_rows: float = np.inf) -> Markup:
    """A correlation on a ground as dark as it is strong; pale where the rows are too few to tell."""
    if not np.isfinite(found):
        return faint("–")
    if n_rows < MIN_ROWS:
        return faint(signed(found), f"only {n_rows:.0f} documents")
    is_loud, strength = abs(found) > MAX_CORRELATION, min(abs(found), 1.0)
    return render("cell.html", kind="heat", shown=signed(found), strength=strength, title="", is_loud=is_loud)


def verdict(is_passed: bool) -> Markup:
    """Passed or failed, by word and sign, not by colour alone."""
    return render("cell.html", kind="verdict", is_passed=is_passed)


def pictures(pairs: Sequence[tuple[str, str, str]]) -> Markup:
    """Pairs of small pictures, PNG in base64, one beside what it is like, with what is said between them.

    Raises
    ------
    ValueError
        If one is no PNG in base64.
    """
    for own, like, _ in pairs:
        for one in (own, like):
            if not b64decode(one, validate=True).startswith(PNG):
                raise ValueError("a picture must be a PNG in base64.")
    return render("pictures.html", pairs=pairs)
