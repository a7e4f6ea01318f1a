"""Names of classes and their order."""

import pytest

from raypipe.train.data.labels import class_name, in_order, renamed_truths


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ([2, 2.0, "2", " 2.0 ", "2"], "2"),
        ([0, 0.0, -0.0, "0", "-0", "0.0"], "0"),
        ([True, "true", "True"], "true"),
        ([2.5, "2.5", "2.50"], "2.5"),
        (["spam", " spam\n"], "spam"),
        (["007"], "007"),
        (["1e3"], "1e3"),
    ],
)
def test_a_class_has_one_name_however_it_is_written(written, name):
    assert {class_name(one) for one in written} == {name}


@pytest.mark.parametrize("value", [None, "", "  ", float("nan"), float("inf"), [1], {"a": 1}])
def test_what_is_no_class_has_none(value):
    assert class_name(value) is None


def test_numbers_are_in_numeric_order_and_others_as_text():
    assert in_order(map(str, range(12))) == [str(n) for n in range(12)]
    assert in_order(["2.5", "-1", "10", "2.5"]) == ["-1", "2.5", "10"]
    assert in_order(["10", "2", "none"]) == ["10", "2", "none"]


def test_truths_are_one_and_nought_beside_numbers_only():
    assert renamed_truths(["1", "true", "0", "false"]) == {"true": "1", "false": "0"}
    assert renamed_truths(["true", "false"]) == {}
    assert renamed_truths(["true", "1", "maybe"]) == {}
