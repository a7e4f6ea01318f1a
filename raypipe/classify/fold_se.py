"""FOLD-SE: default rules with exceptions, learnt from tables as they are; few rules, each decision explained by one.

Source: H. Wang and G. Gupta, FOLD-SE, PADL 2024 (arXiv 2208.07912), on FOLD-R++ (arXiv 2110.07843, algorithms 1 to 3)
and, for more than two classes, FOLD-RM (arXiv 2202.06913, algorithm 1).
Departures: FOLD-SE's own text of its "magic Gini impurity" was not to be had; `sqrt`, the default, is the impurity that
comes closest to its published rule counts, `gini` the weighted Gini impurity, `ig` FOLD-R++'s information gain. A rule
must cover `tail` of all training rows, exceptions too; with several classes, one whose next rule covers fewer is done,
and the others go on. Ties go to the earlier column, then to the lower value. Probabilities are ours: shares of the
classes among the training rows that a rule decided, with one row more of each.
Cost: O(n d) a literal after sorting each column once; memory beside the rows O(n d) of int32.
"""

import json
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.classify.fold_learner import CRITERIA, CriterionName, Learner
from raypipe.classify.rules import DefaultRule, n_printed, program, sentence, sql
from raypipe.classify.tables import Cells, Counted, as_cells
from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state


class FoldSE(ClassifierMixin, BaseEstimator):
    """A classifier of rules: of the first that holds, the class; of two classes only one has rules.

    >>> import numpy as np
    >>> X = np.array([[1, "red"], [2, "blue"], [8, "red"], [9, "blue"]], object)
    >>> model = FoldSE().fit(X, np.array(["small", "small", "large", "large"]))
    >>> model.predict(np.array([[1.5, "red"], [10, "red"]], object)).tolist()
    ['small', 'large']
    """

    takes: ClassVar[Literal["table"]] = "table"
    classes_: np.ndarray
    rules_: list[tuple[int, DefaultRule]]
    counts_: np.ndarray
    is_number_: np.ndarray
    n_features_in_: int

    def __init__(
        self,
        *,
        criterion: CriterionName = "sqrt",
        ratio: float = 0.5,
        tail: float = 0.005,
        complements: bool = True,
        positive: str | int | None = None,
    ) -> None:
        """Give the settings of FOLD-R++ by criterion="ig", tail=0, complements=False.

        `criterion`: what the best literal is told by. `ratio`: false positives of a rule to its true ones, at most,
        before exceptions. `tail`: share of all rows that a rule must cover. `complements`: try `not <=` and `not >`
        too. `positive`: of two classes, the one that has rules; None: the commoner.
        """
        self.criterion = criterion
        self.ratio = ratio
        self.tail = tail
        self.complements = complements
        self.positive = positive

    def __sklearn_tags__(self) -> Tags:
        """Takes texts, and empty cells as NaN or None."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn rules from cells [n, d] and classes [n]: numbers, or an object array of numbers, texts and None.

        Raises
        ------
        ValueError
            If a number is infinite, a setting is out of its range, or `positive` is no class.
        """
        if self.criterion not in CRITERIA:
            raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}, got {self.criterion!r}.")
        if not (self.ratio >= 0 and 0 <= self.tail < 1):
            raise ValueError(f"ratio must be at least 0 and tail in [0, 1), got {self.ratio} and {self.tail}.")
        X, y = validate_data(self, as_cells(X), y, dtype=None, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.classes_, at = np.unique(y, return_inverse=True)
        counted = Counted(X)
        self.is_number_ = (counted.start[:-1] < counted.end_of_numbers) | (X.dtype.kind in "biuf")
        learner = Learner(
            counted,
            criterion=self.criterion,
            ratio=self.ratio,
            min_covered=self.tail * len(X),
            complements=self.complements,
        )
        if len(self.classes_) > 2:
            self.rules_, default = learner.ordered_rules(at, len(self.classes_))
        else:
            of = self._positive(at)
            self.rules_ = [(of, rule) for rule in learner.rule_set(np.flatnonzero(at == of), np.flatnonzero(at != of))]
            default = 1 - of if len(self.classes_) == 2 else 0
        self._count(counted.cells, at, default)
        return self

    def _positive(self, at: np.ndarray) -> int:
        if self.positive is None:
            return int(np.bincount(at).argmax())
        names = [str(name) for name in self.classes_]
        if str(self.positive) not in names:
            raise ValueError(f"positive must be one of the classes {', '.join(names)}, got {self.positive!r}.")
        return names.index(str(self.positive))

    def _count(self, cells: Cells, at: np.ndarray, default: int) -> None:
        """Of which classes the training rows are that each rule decides; the last row is of those that none does."""
        self.default_ = default
        self.counts_ = np.zeros((len(self.rules_) + 1, len(self.classes_)), np.int64)
        np.add.at(self.counts_, (self._decided(cells), at), 1)

    def _decided(self, cells: Cells) -> np.ndarray:
        """Number of the first rule that holds, len(rules) where none does: [n]."""
        found = np.full(len(cells.X), len(self.rules_))
        for number in range(len(self.rules_) - 1, -1, -1):
            found[self.rules_[number][1].holds(cells)] = number
        return found

    def _checked(self, X: np.ndarray) -> Cells:
        return Cells(validate_data(self, as_cells(X), dtype=None, ensure_all_finite="allow-nan", reset=False))

    def _classes_of_rules(self) -> np.ndarray:
        return np.array([*(of for of, _ in self.rules_), self.default_])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the first rule that holds: [n, d] -> [n]; categories never seen are unequal to all others."""
        check_is_fitted(self)
        decided = self._decided(self._checked(X))
        found: np.ndarray = self.classes_[self._classes_of_rules()[decided]]
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Shares of the classes among training rows of the same rule: [n, d] -> [n, k]; the rule's class leads."""
        check_is_fitted(self)
        shares = (self.counts_ + 1) / (self.counts_.sum(axis=1, keepdims=True) + len(self.classes_))
        every, of = np.arange(len(shares)), self._classes_of_rules()
        leads = shares.argmax(axis=1) == of
        shares[every, of] = np.where(leads, shares[every, of], shares.max(axis=1) * (1 + 1e-6))  # it may err on most
        shares /= shares.sum(axis=1, keepdims=True)
        found: np.ndarray = shares[self._decided(self._checked(X))]
        return found

    def explain(self, X: np.ndarray, names: Sequence[str] | None = None) -> list[str]:
        """For each row [n, d] the rule that decided, and its exceptions, none of which held."""
        check_is_fitted(self)
        names = self._names(names)
        because = [f"{self.classes_[of]}: {sentence(rule, names)}" for of, rule in self.rules_]
        because.append(f"{self.classes_[self.default_]}: no rule holds")
        return [because[number] for number in self._decided(self._checked(X))]

    def program(self, names: Sequence[str] | None = None) -> list[str]:
        """The rules as lines, in the order in which they are tried; exceptions by name after them."""
        check_is_fitted(self)
        lines = program([(str(self.classes_[of]), rule) for of, rule in self.rules_], self._names(names))
        lines.insert(len(self.rules_), f"{self.classes_[self.default_]} otherwise")
        return lines

    def condition(self, of: Any, names: Sequence[str]) -> str:
        """SQL that keeps exactly the rows that `predict` gives this class; columns by the names [d] of a run.

        Raises
        ------
        ValueError
            If there is no such class.
        """
        check_is_fitted(self)
        if of not in self.classes_:
            raise ValueError(f"class must be one of {self.classes_.tolist()}, got {of!r}.")
        wanted, is_number = int(np.flatnonzero(self.classes_ == of)[0]), self.is_number_.tolist()
        conditions = [sql(rule, self._names(names), is_number=is_number) for _, rule in self.rules_]
        heads = [f"WHEN {one} THEN {int(at == wanted)}" for (at, _), one in zip(self.rules_, conditions, strict=True)]
        default = int(self.default_ == wanted)
        if not heads:
            return "true" if default else "false"
        if len({at for at, _ in self.rules_}) == 1 and not default:
            return " OR ".join(f"({one})" for one in conditions)
        return f"CASE {' '.join(heads)} ELSE {default} END = 1"

    def _names(self, names: Sequence[str] | None) -> Sequence[str]:
        if names is not None and len(names) != self.n_features_in_:
            raise ValueError(f"names must be of {self.n_features_in_} columns, got {len(names)}.")
        own = getattr(self, "feature_names_in_", [f"x{column}" for column in range(self.n_features_in_)])
        return own if names is None else names

    @property
    def n_rules_(self) -> int:
        """Rules that the program prints, exceptions included, the default not."""
        return n_printed([rule for _, rule in self.rules_])

    def state(self) -> State:
        """What was learned: rules as JSON, what training rows they decided, names of the classes."""
        check_is_fitted(self)
        rules = json.dumps([[of, rule.to_json()] for of, rule in self.rules_]).encode()
        return {
            **classes_state(self.classes_), "rules": np.frombuffer(rules, np.uint8), "counts": self.counts_,
            "default": np.array([self.default_]), "is_number": self.is_number_,
        }  # fmt: skip

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.counts_ = classes_of(state), state["counts"]
        made.rules_ = [(of, DefaultRule.from_json(rule)) for of, rule in json.loads(state["rules"].tobytes())]
        made.default_, made.is_number_ = int(state["default"][0]), state["is_number"]
        made.n_features_in_ = len(made.is_number_)
        return made
