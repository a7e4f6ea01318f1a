"""Lines get the class of the header above them, and headers are gone."""

import pytest

from raypipe.label.sections import SectionRules

RULES = SectionRules(
    {"S": ("chief complaint", "HPI"), "O": ("Physical Exam",), "P": ("plan", "disposition")}, ends=("signature",)
)
NOTE = """Seen today.
CHIEF COMPLAINT: cough
## HPI
started last week
got worse
2. Physical exam:
=================
lungs clear

**Plan**
rest
The plan: is to rest
Signature
Dr. N.
"""


def test_each_line_has_the_class_of_its_header_and_headers_are_gone() -> None:
    lines, labels = RULES.lines_of(NOTE)
    assert lines == ["Seen today.", "cough", "started last week", "got worse", "lungs clear", "rest",
                     "The plan: is to rest", "Dr. N."]  # fmt: skip
    assert labels == [None, "S", "S", "S", "O", "P", "P", None]
    words = " ".join(lines).casefold()
    assert all(header not in words for header in ("chief complaint", "physical exam", "hpi", "====", "signature"))


def test_lines_above_the_first_header_may_have_a_class() -> None:
    rules = SectionRules({"S": ("HPI",)}, before="other")
    assert rules.lines_of("one\nHPI\ntwo") == (["one", "two"], ["other", "S"])
    assert rules.lines_of("") == ([], [])


def test_a_merged_section_may_be_a_class_of_its_own() -> None:
    rules = SectionRules({"A": ("assessment",), "P": ("plan",), "AP": ("assessment and plan",)})
    assert rules.lines_of("Assessment and Plan\nx\nPlan\ny")[1] == ["AP", "P"]


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"S": ()}, "class 'S' must have headers"),
        ({"S": (" ",)}, "class 'S' must have headers, none of them blank"),
        ({"S": ("plan",), "P": ("PLAN:",)}, "'PLAN:' is of 'S' and 'P'"),
    ],
)
def test_rules_that_can_t_be_are_refused(headers: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        SectionRules(headers)
