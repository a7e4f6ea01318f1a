"""The statistics by plain loops over one text, as their sources say them: what the arrays are held against."""

import re
from collections import Counter

from raypipe.describe.words import words_of


def words(text: str) -> list[str]:
    return [word for piece in text.split() for word in words_of(piece)]


def top(text: str, n: int) -> float:
    """Share of characters of the commonest run of n words, the first of equally common ones."""
    own = words(text)
    found = Counter(" ".join(own[at : at + n]) for at in range(len(own) - n + 1)).most_common(1)
    return sum(len(run) * count for run, count in found) / len(text)


def again(text: str, n: int) -> float:
    """Share of characters of runs of n words that stood before, from left to right, none inside another."""
    own, seen, chars, at = words(text), set(), 0, 0
    while at <= len(own) - n:
        run = tuple(own[at : at + n])
        if run in seen:
            chars, at = chars + sum(map(len, run)), at + n
        else:
            seen.add(run)
            at += 1
    return chars / len(text)


def repeated(parts: list[str]) -> tuple[int, int]:
    seen, number, chars = set(), 0, 0
    for part in parts:
        if part in seen:
            number, chars = number + 1, chars + len(part)
        seen.add(part)
    return number, chars


def repetition(text: str) -> dict[str, float]:
    found = {}
    for name, parts in (("line", re.split(r"\n+", text)), ("paragraph", re.split(r"\n{2,}", text.strip()))):
        number, chars = repeated(parts)
        found[f"duplicate_{name}s"] = number / len(parts)
        found[f"duplicate_{name}_chars"] = chars / len(text)
    found |= {f"top_{n}gram_chars": top(text, n) for n in (2, 3, 4)}
    return found | {f"duplicate_{n}gram_chars": again(text, n) for n in (5, 6, 7, 8, 9, 10)}
