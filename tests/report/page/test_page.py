import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from raypipe.report import write_report
from raypipe.report.numbers.excerpts import GONE, LATE, excerpts
from raypipe.report.numbers.run_numbers import gather_numbers
from raypipe.report.page.page import POLICY
from raypipe.storage.folder import Folder
from tests.report.synthetic import heads_record

VOID = {"meta", "br", "hr", "col"}


class Balance(HTMLParser):
    """Checks that every element is closed in its turn, and collects names."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.names = [], set()

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def report(made, **settings) -> str:
    write_report(made.folder, **settings)
    return made.folder.read("report.html").decode()


def test_the_page_is_well_formed_light_and_without_scripts(made, read_text):
    page = report(made, read_text=read_text)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert not {"script", "img", "iframe", "link"} & balance.names
    assert POLICY.startswith("default-src 'none'")
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<body>")
    assert len(page) < 500_000


def test_the_same_run_makes_the_same_page(made, read_text):
    assert report(made, read_text=read_text) == report(made, read_text=read_text)


def test_excerpts_hold_the_documents_that_the_scores_order(made, read_text):
    numbers = gather_numbers(made.folder)
    chosen = excerpts(numbers, read_text)
    assert set(chosen) == set(numbers.shown)
    for domain, kinds in chosen.items():
        scores = numbers.rows.score[numbers.groups[domain]]
        assert kinds["highest"][0].score == np.nanmax(scores)
        assert kinds["lowest"][-1].score == np.nanmin(scores)
        entries = [entry for entries in kinds.values() for entry in entries]
        assert len(entries) == 3 * min(10, len(scores) // 3)
        assert all(entry.text in made.texts.values() or entry.is_cut for entry in entries)
        assert all(len(entry.text) <= 400 for entry in entries)


def gone(shard, rows):
    raise FileNotFoundError(shard["path"])


def moved(shard, rows):
    return [(0, "another text") for _ in rows]


@pytest.mark.parametrize(
    ("reader", "said"), [(None, GONE), (gone, GONE), (moved, "the source now holds another text in this row")]
)
def test_a_source_that_is_gone_or_has_changed_is_no_failure(make, reader, said):
    page = report(make(hostile=False), read_text=reader)
    assert said in page
    assert "another text</bdi>" not in page


def test_reading_sources_stops_when_the_time_is_up(made, read_text):
    chosen = excerpts(gather_numbers(made.folder), read_text, limit_s=0.0)
    assert {entry.missing for kinds in chosen.values() for entries in kinds.values() for entry in entries} == {LATE}


def test_a_mistake_in_the_reader_is_not_hidden(made):
    def broken(shard, rows):
        raise AttributeError("ours")

    with pytest.raises(AttributeError, match="ours"):
        excerpts(gather_numbers(made.folder), broken)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"parts": ("scores",)}, "Nothing is selected yet"),
        ({"parts": ("scores",)}, "No file of the heads"),
        ({"parts": ("scores", "selection")}, "No control arms to compare with"),
        ({"parts": ("heads",)}, "No scores yet"),
        ({"parts": ()}, "Nothing is scored yet"),
        ({"scorer": "perplexity", "parts": ("scores",)}, "ordered by loss, nats a token; the lowest is the best"),
    ],
)
def test_a_missing_part_is_named_and_the_rest_is_shown(make, settings, said):
    page = report(make(**settings))
    assert said in page
    assert page.count("<section") == 8


def test_perplexity_alone_orders_by_loss(make):
    made = make(scorer="perplexity", parts=("scores",), hostile=False)
    chosen = excerpts(gather_numbers(made.folder), made.read_text)
    for kinds in chosen.values():
        assert kinds["highest"][0].score <= kinds["lowest"][-1].score
    assert "Lowest loss" in report(made)


def test_a_new_score_is_reported_as_its_card_tells(make):
    made = make(scorer="min_k", parts=("scores",), hostile=False)
    page = re.sub(r"<[^>]+>", "", report(made, read_text=made.read_text))
    assert "Min k by domain" in page
    said = "ordered by min k, mean log probability of the least likely tokens, nats; the highest is the best"
    assert said in page
    assert "Highest min k" in page
    assert "median min k" in page
    assert "influence" not in page.lower()
    assert "loss by domain" not in page.lower()
    for kinds in excerpts(gather_numbers(made.folder), made.read_text).values():
        assert kinds["highest"][0].score > kinds["lowest"][-1].score


@pytest.mark.parametrize("n_rows", [4, 9])
def test_a_handful_of_rows_makes_a_page(make, n_rows):
    assert "<section" in report(make(n_rows=n_rows, n_files=1))


def test_heads_without_a_check_and_a_huge_map_are_shown(make):
    made = make(parts=(), hostile=False)
    record = heads_record(np.random.default_rng(0), n_layers=80, n_heads=64)
    del record["causal_check"]
    made.folder.write("heads/big.json", json.dumps(record).encode())
    page = report(made)
    assert "never checked" in page
    assert page.count('class="chosen"') == 14
    assert len(page) < 1_500_000


def test_many_domains_are_bounded_but_counted(make):
    domains = {f"site {number}": (0.1, 0.2, 0.4, 2.5, 300, 0.0) for number in range(60)}
    page = report(make(domains=domains, n_rows=1500, hostile=False))
    assert "36 smaller domains" in page
    assert page.count("<details open>") + page.count("<details><summary><bdi>site") == 24


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        write_report(Folder(str(tmp_path / "nothing")))
