"""The answer at the end of a worked solution, read strictly or flexibly, and whether it is an accepted one.

Source: K. Cobbe et al., Training Verifiers to Solve Math Word Problems, arXiv 2110.14168 (`#### 42`); strict and
flexible reading as in L. Gao et al., lm-eval, its task gsm8k.
Departures: flexible reading takes what follows "answer is", `####` or `\\boxed` before the last number of all; numbers
are compared as numbers (1,000 is 1000.0), words without case and punctuation.
"""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

NUMBER = re.compile(r"[-+]?[$€£]?\s?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_STRICT = re.compile(r"####\s*([^\n]+)")
_MARK = re.compile(r"(?:####|\\boxed\{|answer\s*(?:is|:|=))\s*:?", re.IGNORECASE)
_UNSPOKEN = re.compile(r"[^\w\s]|\b(?:a|an|the)\b")


def strict_answer(text: str) -> str | None:
    """What follows `####`; None without it."""
    found = _STRICT.search(text)
    return None if found is None else found[1].strip()


def flexible_answer(text: str, *, is_number: bool) -> str | None:
    """What a reader would take for the answer: after its last mark, else the last number, or the first line of words.

    None where there is none.

    >>> flexible_answer("So 3 apples and 4 pears make 7.", is_number=True)
    '7'
    """
    marked = [re.split(r"[\n}]", part.strip())[0].strip() for part in _MARK.split(text)[1:]]
    if not is_number:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return marked[-1] if marked else next(iter(lines), None)
    numbers = [found for part in marked for found in NUMBER.findall(part)[:1]]
    every = numbers or NUMBER.findall(text)
    return every[-1].strip().rstrip(",") if every else None


def as_number(text: str) -> Decimal | None:
    """The number that a text is, with or without a currency sign, per cent, and commas; None if it is none."""
    bare = re.sub(r"[\s,$€£%]", "", text).rstrip(".")
    try:
        number = Decimal(bare)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def is_accepted(answer: str | None, accepted: Sequence[str]) -> bool:
    """Whether an answer is one of those, as a number where both are numbers, else by its words."""
    if answer is None:
        return False
    number, words = as_number(answer), _spoken(answer)
    for one in accepted:
        other = as_number(one)
        if number is not None and other is not None:
            if number == other:
                return True
        elif words and words == _spoken(one):
            return True
    return False


def _spoken(text: str) -> str:
    return " ".join(_UNSPOKEN.sub(" ", text.lower()).split())
