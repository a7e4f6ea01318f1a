import json

import pytest

from raypipe.report.numbers.checks import findings
from raypipe.report.numbers.run_numbers import gather_numbers
from tests.report.synthetic import DOMAINS


def titles(made, level):
    return [finding.title for finding in findings(gather_numbers(made.folder)) if finding.level == level]


def details(made):
    return {finding.title: finding.detail for finding in findings(gather_numbers(made.folder))}


def edit_card(made, stage, **changes):
    card = json.loads(made.folder.read(f"{stage}/card.json")) | changes
    made.folder.write(f"{stage}/card.json", json.dumps(card).encode())


def test_a_sound_run_has_no_warning(make):
    made = make(hostile=False, n_rows=600)
    assert titles(made, "warning") == []
    assert "Every row is accounted for" in titles(made, "passed")
    assert "Influence is more than loss" in titles(made, "passed")


def test_a_score_that_copies_loss_is_called_out_with_its_domains(make):
    made = make(hostile=False, n_rows=600, loss_slope=5)
    assert titles(made, "warning") == ["Influence follows loss"]
    detail = details(made)["Influence follows loss"]
    assert "only rebuilds that baseline" in detail
    assert "−1.00" in detail
    assert "--adjust loss" in detail


def test_few_rows_raise_no_correlation_warning(make):
    few = {"news": DOMAINS["news"]}
    made = make(hostile=False, n_rows=15, domains=few, loss_slope=5, n_files=1)
    correlation = next(c for c in gather_numbers(made.folder).correlations if c.baseline == "loss")
    assert abs(correlation.within[0]) > 0.8
    assert correlation.strong_domains(0.8) == []


@pytest.mark.parametrize(("n_copies", "expected"), [(2, False), (30, True)])
def test_duplicates_warn_above_one_percent(make, n_copies, expected):
    made = make(hostile=False, n_rows=600, duplicates=n_copies)
    assert ("Many exact duplicates" in titles(made, "warning")) is expected


@pytest.mark.parametrize(("repeated", "expected"), [(0.2, False), (0.45, True)])
def test_repetitive_domains_warn_above_thirty_percent(make, repeated, expected):
    domains = DOMAINS | {"boilerplate": (*DOMAINS["boilerplate"][:5], repeated)}
    made = make(hostile=False, domains=domains)
    assert ("Repetitive domains" in titles(made, "warning")) is expected
    if expected:
        assert "boilerplate 4" in details(made)["Repetitive domains"]


def test_weak_heads_warn_with_the_rule_that_failed(make):
    made = make(hostile=False, heads_pass=False)
    assert "The heads of sample.json are weak" in titles(made, "warning")
    assert "rise on probes over rise on prose" in details(made)["The heads of sample.json are weak"]


def test_set_aside_shards_and_card_warnings_are_repeated(make):
    made = make(hostile=False)
    edit_card(made, "scores", status="incomplete", set_aside={"part-9": "killed its worker 3 times"})
    edit_card(made, "selection", warnings=["domain 'tiny' has 3 rows and was pooled"])
    found = titles(made, "warning")
    assert "scores: shard part-9 was set aside" in found
    assert "domain 'tiny' has 3 rows and was pooled" in details(made)["From selection"]


def test_rows_that_went_missing_are_noticed(make):
    made = make(hostile=False)
    counts = json.loads(made.folder.read("scores/card.json"))["counts"]
    edit_card(made, "scores", counts=counts | {"rows": 301})
    assert "Rows are missing" in titles(made, "warning")
    assert "counted 301 rows" in details(made)["Rows are missing"]


def test_heads_that_often_lower_the_loss_warn(make):
    made = make(hostile=False, domains={"noise": (0.2, 0.012, 0.9, 2.0, 200, 0.0)})
    assert "Neutralised heads often lower the loss" in titles(made, "warning")


def test_heads_that_the_scores_name_are_the_ones_checked(make):
    made = make(hostile=False)
    record = json.loads(made.folder.read("heads/sample.json"))
    record["causal_check"]["passed"] = False
    record["chosen"] = record["chosen"][::-2]
    made.folder.write("heads/other.json", json.dumps(record).encode())
    assert titles(made, "warning") == []


def test_heads_from_elsewhere_are_told(make):
    made = make(hostile=False, parts=("scores",))
    assert "The heads file of these scores isn't in the run" in titles(made, "note")


def test_an_unfinished_run_says_so(make):
    made = make(hostile=False)
    run = json.loads(made.folder.read("run.json")) | {"status": "incomplete"}
    made.folder.write("run.json", json.dumps(run).encode())
    assert titles(made, "warning") == ["The run is incomplete"]


@pytest.mark.parametrize(("correlation", "level"), [(0.995, "passed"), (0.97, "warning"), (float("nan"), "warning")])
def test_what_8_bits_did_to_the_order_is_said_and_judged(make, correlation, level):
    made = make(hostile=False, n_rows=600)
    found = {
        "score": "influence", "documents": 900, "rank_correlation": correlation, "worst_domain": "news",
        "worst_rank_correlation": 0.961, "same_top": 0.989,
    }  # fmt: skip
    edit_card(made, "scores", number_format=[found])
    title = "8-bit floats keep the order" if level == "passed" else "8-bit floats change the order"
    assert title in titles(made, level)
    detail = details(made)[title]
    assert "900 documents of this corpus: 98.9 % of the same best fifth" in detail
    assert "0.9610 in news (bar 0.99)" in detail
    assert ("Score with --dtype bfloat16" in detail) is (level == "warning")
