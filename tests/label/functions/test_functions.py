"""What each kind of labelling function votes for, and what it refuses."""

import pyarrow as pa
import pytest

from raypipe.label.functions.function import said
from raypipe.label.functions.keywords import Keywords
from raypipe.label.functions.model import Model
from raypipe.label.functions.regex import Regex
from raypipe.label.functions.sql import Sql
from raypipe.label.functions.threshold import Threshold

TEXTS = ["Please SUBSCRIBE!", "subscribers only", "check  out\nthis", "Größe zählt", "c++ (or c)", "a.b", None]
NONE = [None] * len(TEXTS)


def table(**columns: list) -> pa.Table:
    return pa.table({"text": pa.array(TEXTS, pa.large_string()), "n_bytes": [17, 16, 15, 13, 9, 3, 0]} | columns)


def votes(function, **columns: list) -> list[str | None]:
    function.check()
    found = said(function, table(**columns))
    assert found.failed == {}
    return found.classes


def at(*rows: int, vote: str = "spam") -> list[str | None]:
    return [vote if row in rows else None for row in range(len(TEXTS))]


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (("subscribe",), (0,)),  # a word is whole: not subscribers
        (("check out",), (2,)),  # any white space between the words of a phrase
        (("größe",), (3,)),
        (("GRÖSSE", "größ"), ()),
        (("c++",), (4,)),  # signs stand for themselves
        (("a.b",), (5,)),
        (("axb", "nothing"), ()),
        ((*(f"word{n}" for n in range(500)), "this"), (2,)),  # more than go into one expression
    ],
)
def test_keywords_are_found_whole_and_in_any_case(words, rows):
    assert votes(Keywords("one", "spam", words)) == at(*rows)


def test_a_regex_is_searched_for():
    assert votes(Regex("one", "spam", r"(?i)subscribe\b|\+\+")) == at(0, 4)


def test_a_catastrophic_regex_takes_linear_time():
    rows = pa.table({"text": pa.array(["a" * 200_000 + "b"], pa.large_string())})
    assert said(Regex("one", "spam", "(a+)+(a|aa)+$"), rows).classes == [None]  # going back, 100 would take for ever


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)b", "a{1000}{1000}"])
def test_what_re2_does_not_have_is_refused_by_name(pattern):
    with pytest.raises(ValueError, match=r"labelling function 'one': pattern .* can't be used .*expression of RE2"):
        Regex("one", "spam", pattern).check()


def test_a_threshold_is_inclusive_and_null_and_nan_abstain():
    loss = [1.0, 2.0, 3.0, 4.0, None, float("nan"), float("inf")]
    for low, high, rows in (
        (2, None, (1, 2, 3, 6)),
        (None, 2, (0, 1)),
        (None, float("inf"), (0, 1, 2, 3, 6)),
        (2, 3, (1, 2)),
        (5, 5.5, ()),
    ):
        assert votes(Threshold("one", "spam", "scores.loss", low, high), **{"scores.loss": loss}) == at(*rows)
    assert votes(Threshold("one", "spam", "n_bytes", at_most=9)) == at(4, 5, 6)


@pytest.mark.parametrize(("low", "high"), [(None, None), (3, 2), (float("nan"), 2)])
def test_a_threshold_needs_bounds_in_order(low, high):
    with pytest.raises(ValueError, match="give at_least, at_most or both, the lower first"):
        Threshold("one", "spam", "n_bytes", low, high).check()


def test_sql_gives_a_truth_or_a_class_over_columns_of_corpus_and_stages():
    loss = [1.0, 2.0, 3.0, 4.0, None, float("nan"), 7.0]
    both = Sql("one", "scores.loss > 2 AND n_bytes > 0", vote="spam")
    assert both.reads == ("scores.loss", "n_bytes")
    assert votes(both, **{"scores.loss": loss}) == at(2, 3)  # NaN is null: it is not greater than anything
    case = Sql("one", "CASE WHEN n_bytes > 15 THEN 'ham' WHEN n_bytes < 5 THEN 'spam' END")
    assert votes(case) == ["ham", "ham", None, None, None, "spam", "spam"]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("", "it is empty"),
        ("n_bytes >", "syntax error"),
        ("n_bytes = (SELECT 1)", "a subquery"),
        ("random() < n_bytes", "doesn't give a row the same answer"),
        ("sum(n_bytes) > 1", "doesn't give a row the same answer"),
        ("lenght(text) > 1", "lenght does not exist"),
        ("text + n_bytes > 1", "No function matches"),
        ("lenght(scores.title) > 1", "lenght does not exist"),
    ],
)
def test_sql_that_cannot_work_is_refused_by_name(sql, why):
    with pytest.raises(ValueError, match=rf"labelling function 'one': sql .* can't be used: .*{why}"):
        Sql("one", sql, vote="spam").check()


def test_sql_over_other_stages_is_left_to_their_types():
    Sql("one", "length(scores.title) > 1", vote="spam").check()
    assert Sql("one", "losss > 1", vote="spam").reads == ("losss",)  # which no column is: said where it is resolved


def test_a_function_that_raises_abstains_there_alone():
    found = said(Sql("one", "CAST(text AS INT) > 2", vote="spam"), pa.table({"text": ["1", "x", "3", "4", "y"]}))
    assert found.classes == [None, None, "spam", "spam", None]
    assert sorted(found.failed) == [1, 4]
    assert "Could not convert string 'x'" in found.failed[1]


def test_memory_that_is_short_is_not_the_rows_fault():
    class Greedy:
        def says(self, rows):
            raise MemoryError

    with pytest.raises(MemoryError):
        said(Greedy(), table())


def test_a_models_labels_are_votes_where_it_is_sure():
    columns = {"classes.label": ["a", "b", None, "a", "b", "a", "b"],
               "classes.probability": [0.9, 0.4, None, 0.8, None, 0.79, float("nan")]}  # fmt: skip
    assert votes(Model("one"), **columns) == columns["classes.label"]
    sure = Model("one", probability="classes.probability", at_least=0.8)
    assert votes(sure, **columns) == ["a", None, None, "a", None, None, None]
    with pytest.raises(ValueError, match="give probability and at_least, or neither"):
        Model("one", at_least=0.8).check()


@pytest.mark.parametrize("blank", ["\u00a0", "\u2003", "\v", " \n\t"])
def test_any_white_space_stands_between_the_words_of_a_phrase(blank):
    found = Keywords("one", "place", ("new york",)).says(pa.table({"text": [f"in New{blank}York.", "newyork"]}))
    assert found.to_pylist() == ["place", None]


def test_blank_keywords_are_refused():
    for words in ((), ("a", " ")):
        with pytest.raises(ValueError, match="words must hold words, none of them blank"):
            Keywords("one", "spam", words).check()
