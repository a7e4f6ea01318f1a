"""The lines of C4, one by one, and beside the statistics that judge a page by them."""

import json
from pathlib import Path

import pytest

from raypipe.corpus.c4_lines import kept_line, kept_lines
from raypipe.describe.c4 import C4
from raypipe.describe.texts import CutTexts

SAMPLE = Path(__file__).parents[2] / "raypipe/sample/corpus"

SENTENCE = "This is one."


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (SENTENCE, SENTENCE),
        ('He said "so be it"', 'He said "so be it"'),
        ("Home | About | Contact", None),
        ("and so on and on...", None),
        ("Two words.", None),
        ("It is known[12] to be so.[edit]", "It is known to be so."),
        ("Please enable JavaScript to go on.", None),
        ("See our Privacy Policy for more.", None),
        ("One long " + "x" * 1001 + ".", None),
        ("One long " + "x" * 999 + ".", "One long " + "x" * 999 + "."),
        ("", None),
    ],
)
def test_a_line_is_kept_if_it_is_a_sentence(line, left):
    assert kept_line(line) == left


def test_what_is_left_of_a_page_is_its_sentences_and_stays_so():
    page = f"Menu\n\n  {SENTENCE}  \r\nHome\n{SENTENCE} Another one!\n"
    assert kept_lines(page) == f"{SENTENCE}\n{SENTENCE} Another one!"
    assert kept_lines("Menu\nHome") == ""


def test_a_page_has_as_many_sentences_as_its_statistics_count():
    lines = "".join(path.read_text() for path in sorted(SAMPLE.glob("*.jsonl"))).split("\n")
    pages = [json.loads(line)["text"] for line in lines[:-1:9]]
    counted = C4()(CutTexts(pages))["c4_sentences"]
    left = [kept_lines(page) for page in pages]
    assert C4()(CutTexts(left))["c4_sentences"].tolist() == counted.tolist()
    assert [page == "" for page in left] == (counted == 0).tolist()
    assert 0 < sum(page == "" for page in left) < len(pages) - 5
