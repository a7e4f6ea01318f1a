"""Foreign text made safe to show: whatever a document holds, it stays text, on a page and in a terminal.

Ids, domains, reasons and documents come from the corpus. They may hold markup, terminal escapes, direction overrides
that reorder a whole line (the "Trojan Source" trick, CVE-2021-42574), letters under hundreds of accents, or half a
surrogate pair. Nothing is dropped: a reader of a report wants to see that it is there.
"""

import html
import re
import unicodedata

CONTROL = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
"""C0 controls and DEL, as the symbols of Unicode's block of control pictures."""

# Characters that no reader sees and that change how the neighbours are read or stored. The zero-width joiners stay:
# Persian, Indic scripts and emoji need them.
_UNSEEN = re.compile(
    "[\u0080-\u009f"  # C1 controls: U+009B opens a terminal escape on its own
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"  # soft hyphen, direction marks and overrides
    "\u2028\u2029\ufeff\ufff9-\ufffb\ufffe\uffff"  # line separators, byte order mark, annotations, noncharacters
    "\ud800-\udfff\U000e0000-\U000e007f]"  # surrogates, which UTF-8 can't hold; tags, which spell unseen ASCII
)
# Between U+0300 and the last script's vowel signs: cheap to skip where a text has none.
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0e31-\u0e4e\u1ab0-\u1aff"
                    "\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")  # fmt: skip
MAX_MARKS = 4
"""Marks shown on one letter. Vietnamese needs 2, pointed Hebrew 3."""


def html_text(text: str, *, keep: str = "") -> str:
    """The text for an HTML element or a quoted attribute; `keep` lists control characters that stay as they are."""
    return html.escape(visible(text, keep=keep), quote=True)


def terminal_text(text: str, *, max_chars: int = 200) -> str:
    """The text for one line of a terminal: no escape sequence, no line break, at most `max_chars` characters."""
    return shorten(visible(text[: 2 * max_chars]), max_chars)


def visible(text: str, *, keep: str = "") -> str:
    """The text with every unseen character as a visible one: `\\x1b` -> `␛`, U+202E -> `[U+202E]`."""
    symbols = {code: symbol for code, symbol in CONTROL.items() if chr(code) not in keep}
    shown = _UNSEEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text.translate(symbols))
    return _MARKS.sub(_bounded_marks, shown)


def _bounded_marks(match: re.Match[str]) -> str:
    marks, before = match[0], match.string[: match.start()][-1:]
    lone = not before or unicodedata.category(before)[0] in "CZ" or before in "\n\t"
    surplus = f"[+{len(marks) - MAX_MARKS} marks]" if len(marks) > MAX_MARKS else ""
    return ("\u25cc" if lone else "") + marks[:MAX_MARKS] + surplus


def shorten(text: str, max_chars: int) -> str:
    """The text with its middle left out if it is longer: the ends of an id or a path tell most."""
    if len(text) <= max_chars:
        return text
    head = (max_chars - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (max_chars - 1 - head) :]}"
