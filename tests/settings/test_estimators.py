"""Settings of estimators from the words of a command line."""

from typing import Any, Literal

import pytest

from raypipe.classify.logistic_regression import LogisticRegression
from raypipe.settings.estimators import made_with


class Many:
    def __init__(
        self, *, n: int = 1, alpha: float | None = None, kernel: Literal["rbf", "linear"] = "rbf",
        is_quick: bool = False, name: str | None = None, how: dict | None = None,
    ) -> None:  # fmt: skip
        self.given = {key: value for key, value in locals().items() if key != "self"}

    def get_params(self, deep: bool = True) -> Any:
        return self.given


def test_words_become_values_of_the_declared_types() -> None:
    words = ["n=3", "alpha=1e-2", "kernel=linear", "is_quick=true", "name=a=b"]
    assert made_with(Many, words).given == {
        "n": 3, "alpha": 0.01, "kernel": "linear", "is_quick": True, "name": "a=b", "how": None,
    }  # fmt: skip
    assert made_with(Many, ["alpha=none", "name=None", "is_quick=no"]).given == Many().given
    assert made_with(LogisticRegression, ["C=2", "max_iter=50"]).get_params() == {"C": 2.0, "max_iter": 50}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("n", "must be given as NAME=VALUE, got 'n'"),
        ("n=1.5", "Many's setting n must be a whole number, got '1.5'"),
        ("alpha=much", "alpha must be a number or none, got 'much'"),
        ("kernel=rfb", "kernel must be one of rbf, linear, got 'rfb'"),
        ("is_quick=2", "is_quick must be true or false, got '2'"),
        ("how=3", r"how must be what only code can give \(<class 'dict'>\) or none, got '3'"),
        ("alfa=1", "Many has no setting 'alfa'; the nearest of n, alpha, .* is 'alpha'"),
    ],
)
def test_other_words_are_refused(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_with(Many, [word])


def test_a_setting_is_given_once() -> None:
    with pytest.raises(ValueError, match="may be given once, got 'n=2' too"):
        made_with(Many, ["n=1", "n=2"])


def test_an_estimator_without_settings_says_so() -> None:
    class Plain:
        def __init__(self) -> None:
            pass

        def get_params(self, deep: bool = True) -> Any:
            return {}

    with pytest.raises(ValueError, match="Plain has no setting 'n'; it has none"):
        made_with(Plain, ["n=1"])
