"""The text of a page as C4 keeps it: the lines that are sentences, with the numbers of citations taken out of them.

Source: C. Raffel et al., Exploring the Limits of Transfer Learning, JMLR 21 (2020), section 2.2, and the released code:
kept are lines that end in a mark that ends a sentence, have 3 words or more and none of over 1000 characters, and don't
speak of JavaScript, cookies, privacy or terms of use. `raypipe/describe/c4.py` counts sentences by the same lines.
Departures: none of lines; whole pages are a matter of `--rules c4`.
Cost: O(characters).
"""

import re

MAX_WORD, MIN_WORDS = 1000, 3
_ENDS, _ELLIPSIS = (".", "?", "!", '"', "'"), "..."
_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
JAVASCRIPT = "javascript"
POLICY = re.compile("terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies")


def kept_lines(text: str) -> str:
    """The lines that are left, without blanks around them; "" if none is."""
    found = (kept_line(line.strip()) for line in text.splitlines())
    return "\n".join(line for line in found if line is not None).strip()


def kept_line(line: str) -> str | None:
    """What is left of a line without blanks around it, None if it goes."""
    cut = sentence_line(line)
    if cut is None:
        return None
    lowered = cut.lower()
    return None if JAVASCRIPT in lowered or POLICY.search(lowered) else cut


def sentence_line(line: str) -> str | None:
    """A line without the numbers of citations, if it ends as a sentence does and has words enough, whatever it says."""
    if len(line) > MAX_WORD and any(len(word) > MAX_WORD for word in line.split()):
        return None
    cut = _CITATION.sub("", line) if "[" in line else line
    if not cut.endswith(_ENDS) or cut.endswith(_ELLIPSIS) or len(line.split(None, MIN_WORDS)) < MIN_WORDS:
        return None
    return cut
