"""Tsetlin machine: a vote of clauses such as `rash AND NOT denies`, learnt by automata that step up and down.

Source: O.-C. Granmo, The Tsetlin machine, arXiv 1804.01508, and G. Berge et al., IEEE Access 2019 (arXiv 1809.04547),
section 3: one machine a class, half of its clauses for and half against it; for each row the class's own machine and
that of one other class drawn at random are taught. With `boost` a true positive is always
rewarded, as in the authors' program.
Departures: columns of numbers become bits by thresholds, words by whether they are there; chi-square keeps the best of
them; all learnt in `fit`. A clause that has `max_literals` takes no more of them in; 1/s is met to 12 binary digits.
Probabilities are ours: the softmax of the votes over T.
Cost: a row takes some 150 operations on words of 64 literals for each clause that learns, fewer as votes reach T; rows
one after the other: compiled where numba is installed, which compiles once a machine for some seconds, else by NumPy,
all clauses at once: the same result, up to a hundred times slower. State: state_bits x clauses x literals bits.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.classify.automata import Automata
from raypipe.classify.bits import Draws, Thresholds, Words, digits_of, fires, packed, unpacked
from raypipe.classify.rules import DefaultRule, sql
from raypipe.classify.tables import CellTest, Op
from raypipe.contracts.estimator import State, Taken
from raypipe.fitting.classes import classes_of, classes_state

_IS_ABOVE: tuple[Op, Callable[[float, float], float]] = (">", max)
_IS_NOT: tuple[Op, Callable[[float, float], float]] = ("<=", min)
"""What a bit and its negation say of a column, and which of two such bounds is the tighter."""

MAX_WORDS = 5000
"""Of texts, kept by chi-square where `max_features` says no number; the authors' number."""


class TsetlinMachine(ClassifierMixin, BaseEstimator):
    """A classifier by clauses for and against each class.

    >>> import numpy as np
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 25, bool)
    >>> y = X[:, 0] ^ X[:, 1]  # no linear function tells it
    >>> model = TsetlinMachine(n_clauses=20, n_epochs=20, random_state=0).fit(X, y)
    >>> bool((model.predict(X) == y).all())
    True
    """

    takes: ClassVar[Taken] = "words or vectors"
    classes_: np.ndarray
    thresholds_: Thresholds
    include_: np.ndarray
    updated_: np.ndarray
    n_features_in_: int

    def __init__(
        self,
        *,
        n_clauses: int = 100,
        T: int = 15,
        s: float = 3.9,
        n_epochs: int = 10,
        max_bits: int = 10,
        max_features: int | None = None,
        max_literals: int | None = None,
        boost: bool = True,
        state_bits: int = 8,
        random_state: int | None = None,
    ) -> None:
        """`n_clauses`: of each class, half for and half against; `T`: votes at which clauses stop learning.

        `s`: the greater, the longer clauses are. `max_bits`: thresholds a column, at most. `max_features`: bits that
        are kept, by chi-square. `max_literals`: literals a clause, at most. `boost`: reward a true positive always; if
        not, (s - 1)/s of times, which bears wrong labels better. `state_bits`: digits of an automaton.
        """
        self.n_clauses = n_clauses
        self.T = T
        self.s = s
        self.n_epochs = n_epochs
        self.max_bits = max_bits
        self.max_features = max_features
        self.max_literals = max_literals
        self.boost = boost
        self.state_bits = state_bits
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Takes CSR too."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: np.ndarray) -> Self:
        """Learn from rows [n, d] of numbers or booleans, or whether words are in CSR counts of them, and classes [n].

        Raises
        ------
        ValueError
            If a number isn't finite, or a setting is out of its range.
        """
        self._check_settings()
        X, y = validate_data(self, X, y, dtype=np.float64, accept_sparse="csr")
        check_classification_targets(y)
        self.classes_, at = np.unique(y, return_inverse=True)
        if issparse(X):
            kept = _by_chi_square(X > 0, at, self.max_features or MAX_WORDS)
            self.thresholds_ = Thresholds(kept, np.zeros(len(kept)))
            bits = self.thresholds_.bits(X)
        else:
            thresholds = Thresholds.of(X, max_bits=self.max_bits)
            bits = thresholds.bits(X)
            kept = _by_chi_square(bits, at, self.max_features)
            self.thresholds_, bits = thresholds.chosen(kept), bits[:, kept]
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        self.include_, self.updated_ = self._learnt(packed(_literals(bits)), at, 2 * bits.shape[1], rng)
        return self

    def _check_settings(self) -> None:
        if self.n_clauses < 2 or self.n_clauses % 2:
            raise ValueError(f"n_clauses must be even and at least 2, got {self.n_clauses}.")
        if not self.s >= 1:
            raise ValueError(f"s must be at least 1, got {self.s}.")
        least = {"T": 1, "n_epochs": 1, "max_bits": 1, "max_features": 1, "max_literals": 1, "state_bits": 2}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ValueError(f"{name} must be at least {bound}, got {value}.")

    def _learnt(
        self, literals: Words, y: np.ndarray, n_literals: int, rng: np.random.Generator
    ) -> tuple[Words, np.ndarray]:
        """Literals that the clauses include, words [k, n_clauses, w], and which share of clauses an epoch teaches."""
        k, n = len(self.classes_), self.n_clauses
        automata = Automata(
            k * n, n_literals, state_bits=self.state_bits, s=self.s, max_literals=self.max_literals, boost=self.boost
        )
        shares = []
        for _ in range(self.n_epochs):
            order = rng.permutation(len(y))
            seeds = rng.integers(0, np.iinfo(np.uint64).max, len(y), np.uint64, endpoint=True)
            updated = self._epoch(automata, literals[order], y[order], seeds)
            shares.append(updated / (len(y) * n * min(k, 2)))
        return automata.include.reshape(k, n, -1).copy(), np.array(shares)

    def _epoch(self, automata: Automata, rows: Words, y: np.ndarray, seeds: np.ndarray) -> int:
        """Teach rows [n, w] one after the other, compiled where numba is; how often a clause was chosen to learn."""
        if find_spec("numba") is None:
            of_rows = zip(rows, y.tolist(), seeds, strict=True)
            return sum(self._teach(automata, row, of, Draws(seed)) for row, of, seed in of_rows)
        from raypipe.classify.compiled_automata import teach_rows

        digits, precision = digits_of(1 / self.s)
        budget = -1 if self.max_literals is None else self.max_literals
        settings = (self.n_clauses, self.T, digits, precision, bool(self.boost), budget)
        return int(teach_rows(automata.planes, automata.real, rows, y, seeds, *settings))

    def _teach(self, automata: Automata, row: Words, own: int, draws: Draws) -> int:
        """Feed one row of its own class and of one other back; how many clauses were chosen to learn."""
        k, n = len(self.classes_), self.n_clauses
        is_for = np.arange(n) % 2 == 0
        taught = [own] if k == 1 else [own, (own + 1 + int(draws.words(1)[0]) % (k - 1)) % k]
        clauses = np.concatenate([np.arange(of * n, (of + 1) * n) for of in taught])
        fired = fires(automata.include[clauses], row)
        votes = fired.reshape(-1, n) @ np.where(is_for, 1, -1)
        sides = np.array([1, -1])[: len(taught)]  # its own machine is to say yes, the other no
        chance = (self.T - sides * np.minimum(np.maximum(votes, -self.T), self.T)) / (2 * self.T)
        is_chosen = draws.uniform(len(clauses)) < np.repeat(chance, n)
        says_so = (is_for == (sides > 0)[:, None]).ravel()
        is_first, is_second = is_chosen & says_so, is_chosen & ~says_so & fired
        automata.feed_back(row, clauses[is_first], fired[is_first], clauses[is_second], draws)
        return int(is_chosen.sum())

    def votes(self, X: np.ndarray) -> np.ndarray:
        """Clauses for less clauses against each class that hold: [n, d] -> [n, k]; an empty clause doesn't."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, accept_sparse="csr", reset=False)
        literals = packed(_literals(self.thresholds_.bits(X)))
        found = np.zeros((len(literals), len(self.classes_)), np.int64)
        for of, include in enumerate(self.include_):
            used = include.any(axis=1)
            signs = np.where(np.arange(len(include)) % 2 == 0, 1, -1)[used]
            for clause, sign in zip(include[used], signs, strict=True):
                found[:, of] += sign * fires(clause, literals)
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Softmax of the votes over T: [n, d] -> [n, k]."""
        logits = self.votes(X) / self.T
        logits -= logits.max(axis=1, keepdims=True)  # exp() can't overflow; the ratios are unchanged
        weights = np.exp(logits)
        found: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class with most votes: [n, d] -> [n]; of equal ones the first."""
        check_is_fitted(self)
        found: np.ndarray = self.classes_[self.votes(X).argmax(axis=1)]
        return found

    def clauses(self, X: np.ndarray, y: np.ndarray, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The clauses that hold for a row of these [n, d], y [n], most precise first; give held-out rows.

        Each is its text, the same as SQL on columns of a run (of which `names` are the names), its class, whether it is
        for or against it, its support (share of rows where it holds) and its precision: which share of those is of the
        class, or of another one where it is against.
        """
        check_is_fitted(self)
        X, y = validate_data(self, X, y, dtype=np.float64, accept_sparse="csr", reset=False)
        literals, names, found = packed(_literals(self.thresholds_.bits(X))), self._names(names), {}
        for of, include in enumerate(self.include_):
            for number, clause in enumerate(include):
                holds = fires(clause, literals)
                if not clause.any() or not holds.any():
                    continue
                side, text = ("for", "against")[number % 2], self._text(clause, names)
                is_right = (y[holds] == self.classes_[of]) == (side == "for")
                figures = {"support": float(holds.mean()), "precision": float(is_right.mean())}
                about = {"clause": text, "sql": self._sql(clause, names), "class": self.classes_[of], "side": side}
                found[of, side, text] = {**about, **figures}
        return sorted(found.values(), key=lambda one: (-one["precision"], -one["support"], one["clause"]))

    def explain(self, X: np.ndarray, names: Sequence[str] | None = None) -> list[str]:
        """For each row [n, d] its class and the clauses for it that hold."""
        check_is_fitted(self)
        best, names = self.votes(X).argmax(axis=1), self._names(names)
        X = validate_data(self, X, dtype=np.float64, accept_sparse="csr", reset=False)
        literals, found = packed(_literals(self.thresholds_.bits(X))), []
        for row, of in zip(literals, best, strict=True):
            include = self.include_[of, ::2]
            held = include[fires(include, row) & include.any(axis=1)]
            texts = dict.fromkeys(self._text(clause, names) for clause in held)
            found.append(f"{self.classes_[of]}: {' or '.join(texts) or 'no clause for it holds'}")
        return found

    def _text(self, clause: Words, names: Sequence[str]) -> str:
        """A clause in words."""
        return " and ".join(f"{names[one.column]} {one.op} {one.value:g}" for one in self._bounds(clause))

    def _sql(self, clause: Words, names: Sequence[str]) -> str:
        """A clause as a condition that is true or false, never null."""
        return sql(DefaultRule(self._bounds(clause)), names, is_number=[True] * self.n_features_in_)

    def _bounds(self, clause: Words) -> tuple[CellTest, ...]:
        """A clause as conditions on the columns, of several bounds of a column the tightest."""
        n_bits = len(self.thresholds_.column)
        literals, bounds = unpacked(clause, 2 * n_bits), dict[tuple[int, Op], float]()
        for at in np.flatnonzero(literals):
            column, value = int(self.thresholds_.column[at % n_bits]), float(self.thresholds_.value[at % n_bits])
            op, tighter = _IS_ABOVE if at < n_bits else _IS_NOT
            bounds[column, op] = tighter(bounds.get((column, op), value), value)
        return tuple(CellTest(column, op, value) for (column, op), value in sorted(bounds.items()))

    def _names(self, names: Sequence[str] | None) -> Sequence[str]:
        if names is not None and len(names) != self.n_features_in_:
            raise ValueError(f"names must be of {self.n_features_in_} columns, got {len(names)}.")
        return [f"x{column}" for column in range(self.n_features_in_)] if names is None else names

    def state(self) -> State:
        """What was learned: clauses, thresholds, names of the classes."""
        check_is_fitted(self)
        return {
            **classes_state(self.classes_), "include": self.include_, "n_features": np.array([self.n_features_in_]),
            "updated": self.updated_, "column": self.thresholds_.column, "value": self.thresholds_.value,
        }  # fmt: skip

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.include_ = classes_of(state), state["include"]
        made.thresholds_ = Thresholds(state["column"], state["value"])
        made.updated_, made.n_features_in_ = state["updated"], int(state["n_features"][0])
        return made


def _literals(bits: np.ndarray) -> np.ndarray:
    """Bits [n, b] and their negations, [n, 2 b]."""
    return np.concatenate([bits, ~bits], axis=1)


def _by_chi_square(bits: Any, y: np.ndarray, most: int | None) -> np.ndarray:
    """Places of the bits that tell most of the class, in order; all where no number is given."""
    if most is None or bits.shape[1] <= most:
        return np.arange(bits.shape[1])
    from sklearn.feature_selection import chi2

    told = np.nan_to_num(chi2(bits, y)[0], nan=0.0)
    return np.sort(np.argsort(-told, kind="stable")[:most])
