"""Words of English text: marks that stand around a word, and contractions, are words of their own.

Source: the published rules of spaCy's tokenizer for English (spacy.io/usage/linguistic-features, "How spaCy's tokenizer
works"), which the released filters of FineWeb count words by: what is between white space is looked up, then loses
marks in front and behind, then is cut where marks stand inside.
Departures: letters are lower or upper case as Unicode says, in every script; units after a number are those of ASCII;
faces are known within a piece, rarer ones not at all.
Cost: a look-up for each word that has been seen; some 10 microseconds for one that hasn't.
"""

import re
from functools import lru_cache
from itertools import product
from unicodedata import category

_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_MARKS = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_CURRENCY = "$£€¥฿₽﷼₴"
_IN_FRONT = frozenset("§%=—–" + _QUOTES + _MARKS + _CURRENCY)
_BEHIND = frozenset("—–" + _QUOTES + _MARKS)
_BEFORE_STOP = frozenset("0123456789%²-+()?:|" + _QUOTES + _MARKS)
"""A full stop behind one of these, or behind a small letter, isn't part of the word."""
_DOTS_IN_FRONT, _DOTS_BEHIND = re.compile(r"\.\.+"), re.compile(r"\.\.+$")
_UNIT = re.compile(
    r"(?<=[0-9])(?:km[²³]?|[dcm]?m[²³]?|ha|[µn]m|yd|in|ft|[km]?g|[µ]g|t|lb|oz|m/s|km/h|kmh|mph|hPa|Pa|mbar|[mMkKgGtT][bB]"
    r"|[TGMK%]|(?:US|C|A)?\$|[£€¥])$"
)
_INSIDE = re.compile(
    r"\.\.+|…"
    r"|(?<=[0-9])[+\-*^](?=[0-9-])"
    r"|(?<=[^\W\d_]),(?=[^\W\d_])"
    r"|(?<=[^\W_])(?:-{1,3}|–|——?|~)(?=[^\W\d_])"
    r"|(?<=[^\W_])[:<>=/](?=[^\W\d_])"
    r"|(?<=\S)\.(?=\S)"
)
_URL = re.compile(
    r"(?:[\w+.-]{2,}://)?(?:\S+(?::\S*)?@)?"
    r"(?:(?!10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.)"
    r"(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])(?:\.(?:1?\d{1,2}|2[0-4]\d|25[0-5])){2}\.(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-4])"
    r"|(?:(?:[A-Za-z0-9\u00a1-\uffff][A-Za-z0-9\u00a1-\uffff_-]{0,62})?[A-Za-z0-9\u00a1-\uffff]\.)+"
    r"(?P<top>[^\W\d_]{2,63}))"
    r"(?::\d{2,5})?(?:[/?#]\S*)?"
)


def words_of(piece: str) -> list[str]:
    """The words of a piece of text without white space, in order; together they are the piece."""
    if found := _known().get(piece):
        return list(found)
    front, middle, behind = _stripped(piece)
    return _joined([*front, *_middle(middle), *behind[::-1]])


def _joined(words: list[str]) -> list[str]:
    """The words with marks that together are one, a face, put together."""
    found, at = list[str](), 0
    while at < len(words):
        ends = range(min(at + _LONGEST_FACE, len(words)), at + 1, -1)
        end = next((one for one in ends if "".join(words[at:one]) in _faces()), at + 1)
        found.append("".join(words[at:end]))
        at = end
    return found


def _stripped(rest: str) -> tuple[list[str], str, list[str]]:
    """Marks in front, what is left, and marks behind, the outermost first."""
    known, front, behind = _known(), list[str](), list[str]()
    size = -1
    while rest and len(rest) != size and rest not in known:
        size = len(rest)
        n = _n_in_front(rest)
        if n and rest[n:] in known:
            return [*front, rest[:n]], rest[n:], behind
        m = _n_behind(rest[n:])
        if m and rest[:-m] in known:
            return front, rest[:-m], [*behind, rest[-m:]]
        if n:
            front.append(rest[:n])
        if m:
            behind.append(rest[len(rest) - m :])
        rest = rest[n : len(rest) - m]
    return front, rest, behind


def _n_in_front(rest: str) -> int:
    """Characters of the mark that it begins with; 0: none."""
    first = rest[:1]
    if first in _IN_FRONT or (first == "+" and not rest[1:2].isdigit()):
        return 1
    if dots := _DOTS_IN_FRONT.match(rest):
        return dots.end()
    if rest.startswith(("US$", "C$", "A$")):
        return rest.index("$") + 1
    return 1 if not first.isascii() and category(first) in ("So", "Sc") else 0


def _n_behind(rest: str) -> int:
    """Characters of the mark, or the unit, that it ends with; 0: none."""
    if not rest:
        return 0
    if rest.endswith(("'s", "'S", "’s", "’S")):
        return 2
    last, before = rest[-1], rest[-2:-1]
    if last in _BEHIND:
        return 1
    if last == ".":
        if dots := _DOTS_BEHIND.search(rest):
            return len(dots.group())
        return int(before != "" and (before in _BEFORE_STOP or _is_lower(before) or _is_initials(rest[-3:-1])))
    if last == "+":
        return int(before.isdecimal())
    if unit := _UNIT.search(rest):
        return len(unit.group())
    return int(not last.isascii() and category(last) == "So")


def _is_initials(two: str) -> bool:
    return len(two) == 2 and _is_upper(two[0]) and _is_upper(two[1])


def _is_lower(letter: str) -> bool:
    """Whether it is a letter, and no capital."""
    return letter.isalpha() and not letter.isupper()


def _is_upper(letter: str) -> bool:
    """Whether it is a letter, and no small one."""
    return letter.isalpha() and not letter.islower()


def _middle(piece: str) -> list[str]:
    """The words of a piece that has lost the marks around it."""
    if not piece or (piece.isalnum() and piece.isascii()):
        return [piece] if piece else []
    if found := _known().get(piece):
        return list(found)
    if _is_url(piece):
        return [piece]
    words, start = list[str](), 0
    for at, end in _marks_inside(piece):
        if at == 0:
            continue
        if at != start:
            words.append(piece[start:at])
        words.append(piece[at:end])
        start = end
    return [*words, piece[start:]] if start < len(piece) else words


def _is_url(piece: str) -> bool:
    """Whether all of it is an address of the web: its top domain is in small letters."""
    if "." not in piece or (found := _URL.fullmatch(piece)) is None:
        return False
    return found["top"] is None or all(map(_is_lower, found["top"]))


def _marks_inside(piece: str) -> list[tuple[int, int]]:
    """Where marks stand that part two words: [start, end) each."""
    found = []
    for match in _INSIDE.finditer(piece):
        at, end = match.span()
        if match.group() == ".":
            left, right = piece[at - 1], piece[end]
            if not ((_is_lower(left) or left in _QUOTES) and (_is_upper(right) or right in _QUOTES)):
                continue
        found.append((at, end))
    if not piece.isascii():
        found += [(at, at + 1) for at, one in enumerate(piece) if one > "\x7f" and category(one) == "So"]
    return sorted(found)


@lru_cache(maxsize=1)
def _known() -> dict[str, tuple[str, ...]]:
    """Pieces that are words as they stand, or are cut in their own way: contractions, abbreviations, times, faces."""
    found: dict[str, tuple[str, ...]] = {word: (word,) for word in _WHOLE.split()}
    for cut in _contractions():
        for parts in (cut, (cut[0].title(), *cut[1:])):
            found["".join(parts)] = parts
            bare = (parts[0], *(part.replace("'", "") for part in parts[1:]))
            found.setdefault("".join(bare), bare)
    for hour, half in product(range(1, 13), ("a.m.", "am", "p.m.", "pm")):
        found[f"{hour}{half}"] = (str(hour), half)
    for one in _CUT.split():
        found[one.replace("|", "")] = tuple(one.split("|"))
    for word in _NOT_CONTRACTED.split():
        found.pop(word, None)
    typographic = {word.replace("'", "’"): tuple(p.replace("'", "’") for p in of) for word, of in found.items()}
    return typographic | found


def _contractions() -> list[tuple[str, ...]]:
    """Those that may also be written without an apostrophe."""
    asking = ("who", "what", "when", "where", "why", "how", "there", "that", "this", "these", "those")
    persons = ("i", "you", "he", "she", "it", "we", "they")
    plural = ("these", "those")
    found: list[tuple[str, ...]] = [("i", "'m"), ("i", "'m", "a")]
    for one in (*persons, *asking):
        found += [(one, "'ll"), (one, "'ll", "'ve"), (one, "'d"), (one, "'d", "'ve")]
    found += [(one, "'ve") for one in ("i", "you", "we", "they", *asking) if one not in ("that", "this")]
    found += [(one, "'re") for one in ("you", "we", "they", *asking) if one not in ("that", "this")]
    found += [(one, "'s") for one in ("he", "she", "it", *asking) if one not in plural]
    more = ("ca", "could", "do", "does", "did", "had", "may", "might", "must", "need", "ought", "sha", "should", "wo",
            "would")  # fmt: skip
    found += [(one, "n't") for one in (*more, "ai", "are", "is", "was", "were", "have", "has", "dare")]
    found += [(one, "n't", "'ve") for one in more]
    return found + [(one, "'ve") for one in ("could", "might", "must", "should", "would", "not")]


@lru_cache(maxsize=1)
def _faces() -> frozenset[str]:
    """Pieces that are words as they stand, with no letter or digit first."""
    return frozenset(word for word, of in _known().items() if len(of) == 1 and len(word) > 1 and not word[0].isalnum())


_LONGEST_FACE = 4
_NOT_CONTRACTED = "Ill ill Its its Hell hell Shell shell Shed shed were Were Well well Whore whore"
_CUT = "y'|all y|all how|'d|'y How|'d|'y can|not Can|not gon|na Gon|na got|ta Got|ta let|'s Let|'s c'm|on C'm|on"
_WHOLE = r"""
' \") '' C++ a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. ä. ö. ü. — \t \n 'S
's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock O'clock lovin'
Lovin' havin' Havin' doin' Doin' goin' Goin' nothin' Nothin' nuthin' Nuthin' ol' Ol' somethin' Somethin' 'em 'll
'nuff 'd Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan.
Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov.
Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G.
Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St.
vs. v.s. :) :-) :)) (: (-: =) (= :] :-] [: =] :} :-} 8) 8-) ;) ;-) (; :( :-( :(( ): =( >:( :'( :/ :-/ =/ :| :-|
:P :-P :p :-p :O :-O :o :-o :* :-* :3 :> :-> :X :-X :x :-x :D :-D ;D =D xD XD 8D ^_^ >.< ._. ;_; -_- -__- o_o
o_O O_o O_O o.O O.o O.O o.o 0.0 @_@ <3 </3
"""
