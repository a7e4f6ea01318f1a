"""Labels of lines from the headers above them: rules over a document's structure, the headers themselves taken out.

Source: J. Kwon et al., arXiv 2211.14539 (its abstract): sections of structured notes label their sentences.
Departures: what counts as a header is ours: a line that is one of the given ones alone, but for case, numbering and
marks (`# Plan`, `2. PLAN:`), or begins with it and a colon; a line of marks below a header belongs to it.
Cost: O(text).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MARKS = re.compile(r"^[\s#*=_\-.\d)(>]+|[\s#*=_\-:.]+$")
_RULE = re.compile(r"^\s*([=\-~^*#_.])\1{2,}\s*$")


@dataclass(frozen=True)
class SectionRules:
    """Headers of each class; a line has the class of the last header above it."""

    headers: Mapping[str, tuple[str, ...]]
    """Class: its headers."""
    ends: tuple[str, ...] = ()
    """Headers of no class: what follows has none."""
    before: str | None = None
    """The class of lines above the first header; None: they have none."""

    def __post_init__(self) -> None:
        """Refuse a class without headers, blank ones, and a header of two classes.

        Raises
        ------
        ValueError
            With the class or the header.
        """
        seen: dict[str, str | None] = {}
        for label, words in [*self.headers.items(), (None, self.ends)]:
            if label is not None and (not words or not all(_plain(word) for word in words)):
                raise ValueError(f"class {label!r} must have headers, none of them blank, got {words!r}.")
            for word in words:
                if seen.setdefault(_plain(word), label) != label:
                    raise ValueError(
                        f"a header must be of one class, {word!r} is of {seen[_plain(word)]!r} and {label!r}."
                    )

    def lines_of(self, text: str) -> tuple[list[str], list[str | None]]:
        """The lines of a text that aren't blank and no headers, and the class of each."""
        lines, labels, now, follows_header = list[str](), list[str | None](), self.before, False
        for line in text.splitlines():
            if not line.strip() or (follows_header and _RULE.match(line)):
                continue
            header, rest = self._header_of(line)
            if follows_header := header is not None:
                now = self._class_of(header)
                line = rest
            if line.strip():
                lines.append(line.strip())
                labels.append(now)
        return lines, labels

    def _header_of(self, line: str) -> tuple[str | None, str]:
        """The header that a line is, or begins with before a colon, and what is left."""
        known = {_plain(word) for words in (*self.headers.values(), self.ends) for word in words}
        if (whole := _plain(line)) in known:
            return whole, ""
        head, colon, rest = line.partition(":")
        return (_plain(head), rest) if colon and _plain(head) in known else (None, line)

    def _class_of(self, header: str) -> str | None:
        for label, words in self.headers.items():
            if header in map(_plain, words):
                return label
        return None


def _plain(header: str) -> str:
    return " ".join(_MARKS.sub("", _MARKS.sub("", header)).casefold().split())
