"""The Op behind columns/, and the parts that aren't rules'."""

import sys

import pytest

from raypipe.contracts.parts import apply
from raypipe.corpus.rows import source_of
from raypipe.describe import texts as cutting
from raypipe.describe.describe import PART_NAMES, Describe, parts_of
from raypipe.describe.language import Language
from raypipe.describe.texts import CutTexts, words_in


def test_parts_go_in_their_own_order_and_unknown_ones_are_refused() -> None:
    names = Describe(parts_of(("personal", "gopher"))).adds.names
    assert names[:3] == ["domain", "n_bytes", "n_words"]
    assert names[-1] == "n_phones"
    with pytest.raises(ValueError, match="parts must be some of gopher, c4, fineweb, language, personal, got"):
        parts_of(("gopher", "prose"))


def test_every_part_says_something_of_every_text() -> None:
    texts = [
        "This is plain English, and a line of it.\n" * 3,
        None,
        "Please write a mail to me at this address, and I will answer: a@b.org",
        "Ceci est une phrase en français.",
    ]
    found = apply(Describe(parts_of(PART_NAMES)), source_of(texts)).to_pylist()
    assert [row["language"] for row in found] == ["en", None, "en", "fr"]
    assert found[0]["language_confidence"] > 0.9
    assert found[0]["duplicate_lines"] == pytest.approx(2 / 4)
    assert (found[2]["n_emails"], found[1]["n_words"], found[1]["reason"]) == (1, None, "null text")


def test_a_language_without_its_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(ValueError, match=r"need py3langid, which isn't installed: pip install 'raypipe\[describe\]'"):
        Language().check()


def test_what_was_seen_before_changes_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "MAX_PIECES", 2)
    first = words_in(["aa bb cc. aa"])
    again = words_in(["x y z w", "aa bb cc. aa"])  # begins anew
    assert again.n.tolist() == [4, 5]
    assert again.n_chars[4:].tolist() == first.n_chars.tolist() == [2, 2, 2, 1, 2]
    assert words_in([]).n.tolist() == []


def test_a_line_belongs_to_its_text() -> None:
    texts = CutTexts(["one two\nthree", "four\n\n\nfive six."])
    assert texts.words.n.tolist() == [3, 4]
    assert texts.of_lines.n.tolist() == [2, 1, 1, 0, 0, 3]
