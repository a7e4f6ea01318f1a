"""What in a text tells who somebody is and how to reach them: e-mail addresses, IP addresses, phone numbers.

Source: e-mail as in G. Penedo et al., The FineWeb Datasets, arXiv 2406.17557, section 3.6 (dot-atoms of RFC 5322 at a
host name), which counts public IP addresses of version 4 alone; phone numbers in international form (ITU-T E.123: + and
7 to 15 digits in groups) or of North America (3, 3 and 4 digits with a mark between).
Departures: each is replaced by one that standards keep free: email@example.com (RFC 2606), 192.0.2.1 (RFC 5737), and
555-0100 (North American Numbering Plan); names, postal addresses and the like are not looked for.
Cost: O(characters), and next to nothing for a text without an @, a dot between digits, or groups of digits.
"""

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Literal, get_args

Kind = Literal["emails", "ips", "phones"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_PATTERNS: dict[Kind, re.Pattern] = {
    "emails": re.compile(
        rf"(?<![\w.]){_ATOM}{{1,64}}(?:\.{_ATOM}{{1,64}}){{0,8}}@(?:{_LABEL}\.){{1,8}}[A-Za-z][A-Za-z0-9-]*"
    ),
    "ips": re.compile(rf"(?<![\w.]){_BYTE}(?:\.{_BYTE}){{3}}(?![\d]|\.\d)"),
    "phones": re.compile(
        r"(?<![\w+.-])(?:\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,6}|(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-.]\d{4})(?![\w-])"
    ),
}
_FREE: dict[Kind, str] = {"emails": "email@example.com", "ips": "192.0.2.1", "phones": "555-0100"}


def _is_any(found: str) -> bool:
    return bool(found)


def _is_public(found: str) -> bool:
    """Whether an IP address is one that anybody can be reached by."""
    try:
        return ip_address(found).is_global
    except ValueError:  # a leading zero
        return False


def _has_digits_enough(found: str) -> bool:
    return 7 <= sum(map(str.isdigit, found)) <= 15


_RULES: dict[Kind, Callable[[str], bool]] = {"emails": _is_any, "ips": _is_public, "phones": _has_digits_enough}


def _may_hold(text: str, kind: Kind) -> bool:
    """Whether it is worth a search."""
    return "@" in text if kind == "emails" else True


def count(text: str, kind: Kind) -> int:
    """How many of a kind a text holds."""
    if not _may_hold(text, kind):
        return 0
    return sum(_RULES[kind](match.group()) for match in _PATTERNS[kind].finditer(text))


def replaced(text: str, kinds: Sequence[Kind]) -> str:
    """The text with what is of these kinds replaced by what is nobody's."""
    for kind in kinds:
        if _may_hold(text, kind):
            rule, free = _RULES[kind], _FREE[kind]
            text = _PATTERNS[kind].sub(lambda match: free if rule(match.group()) else match.group(), text)  # noqa: B023
    return text
