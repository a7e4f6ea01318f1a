"""ST-ProtoPNet: a set of vectors is classified by how like parts of training sets its parts are.

A row is an image of patches or a text of sentences. Each class has prototypes in two branches: those of the trivial one
lie far from other classes, those of the support one near the boundary; logits are added. At last every prototype is put
onto the nearest training vector of its class, so that a decision names the parts it rests on and those they resemble.
Source: C. Wang et al., Learning Support and Trivial Prototypes for Interpretable Image Classification, ICCV 2023, arXiv
2301.04011: branches, alternating losses, push, last layer refitted; weights of losses, prototypes a class and batch
are those of the authors' code; the size of the layer, the step and the number of passes are ours.
Departures: vectors are frozen features, brought to unit variance, and one hidden layer stands for the add-on; one push,
at the end; cosines times `scale` are the similarities; no weight decay (raypipe.fitting.prototypes).
Cost: O(N h (d + D) + N m D) a pass over N vectors for m = 2 k p prototypes; memory O(N (d + h + m)) of a batch, of all
vectors once, when prototypes are pushed.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, column_or_1d, validate_data

from raypipe.arrays.scaling import mean_and_scale
from raypipe.contracts.estimator import State, Taken
from raypipe.fitting.classes import classes_of, classes_state
from raypipe.fitting.prototypes import (
    SUPPORT,
    TRIVIAL,
    AdamByName,
    Branch,
    Sets,
    Terms,
    begun,
    loss,
    pushed,
    refitted,
    similarities,
    unit,
)
from raypipe.fitting.sets import are_sets, end_to_end, names_of

N_SAID, MIN_STEPS = 3, 200


class Likeness(NamedTuple):
    """A part of a row, and the training part that it is like."""

    part: int
    """Which vector of the row."""
    cosine: float
    row: int
    """Which training row,"""
    place: int
    """and which vector of it."""
    branch: int
    prototype: int
    """Which of its branch."""


class STProtoPNet(ClassifierMixin, BaseEstimator):
    """Nearest parts of training sets, in two branches."""

    takes: ClassVar[Taken] = "sets"
    terms: ClassVar[tuple[Terms, ...]] = (TRIVIAL, SUPPORT)
    """Losses of each branch."""
    kinds: ClassVar[tuple[str, ...]] = ("trivial", "support")

    classes_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    branches_: list[Branch]
    places_: np.ndarray
    """[branches, m, 2]: the training row, and the vector in it, that each prototype is."""
    names_: list[list[str]]
    """What those vectors stand for; "" where nobody said."""
    n_features_in_: int

    def __init__(
        self,
        *,
        n_prototypes: int = 5,
        hidden: int = 64,
        n_dimensions: int = 16,
        n_epochs: int = 40,
        n_last_steps: int = 100,
        batch: int = 80,
        learning_rate: float = 1e-2,
        scale: float = 5.0,
        random_state: int | None = None,
    ) -> None:
        """`n_prototypes`: a class and branch; `hidden`, `n_dimensions`: of the layer before them; `scale`: of cosines.

        `n_epochs`: passes over the sets, `batch` a step of Adam, the branches in turn, but 200 steps at least;
        `n_last_steps`: of the last layer, after the push.
        """
        self.n_prototypes, self.hidden, self.n_dimensions, self.scale = n_prototypes, hidden, n_dimensions, scale
        self.n_epochs, self.n_last_steps, self.batch = n_epochs, n_last_steps, batch
        self.learning_rate, self.random_state = learning_rate, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from sets [n] and classes [n]; rows [n, d] are sets of one vector.

        A set is a VectorSet or an array [l, d]; of numbers [n, l, d], vectors that are all NaN are no part of a set.

        Raises
        ------
        ValueError
            If a number isn't finite, a set is empty, there are fewer than two classes, or a setting is out of range.
        """
        self._check()
        if are_sets(X):
            sets, y = end_to_end(X), column_or_1d(y)
            if len(sets.starts) != len(y):
                raise ValueError(f"there must be a class for each set, got {len(y)} for {len(sets.starts)} sets.")
            self.n_features_in_ = sets.vectors.shape[1]
        else:
            X, y = validate_data(self, X, y, dtype=np.float64)
            sets = Sets(X, np.arange(len(X)))
        check_classification_targets(y)
        self.classes_, at = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"STProtoPNet needs two classes at least, got 1 class: {str(y[0])!r}.")
        self.mean_, self.scale_ = mean_and_scale(sets.vectors)
        sets = self._scaled(sets)
        self._settle(self._trained(sets, at), sets, at, names_of(X))
        return self

    def _check(self) -> None:
        sizes = {name: getattr(self, name) for name in ("n_prototypes", "hidden", "n_dimensions", "n_epochs", "batch")}
        if min(sizes.values()) < 1 or min(self.learning_rate, self.scale) <= 0 or self.n_last_steps < 0:
            said = ", ".join(f"{name} {value}" for name, value in sizes.items())
            raise ValueError(
                f"sizes must be at least 1, n_last_steps 0, learning_rate and scale above 0, got {said}, "
                f"{self.n_last_steps}, {self.learning_rate} and {self.scale}."
            )

    def _scaled(self, sets: Sets) -> Sets:
        return Sets((sets.vectors - self.mean_) / self.scale_, sets.starts)

    def _trained(self, sets: Sets, at: np.ndarray) -> list[Branch]:
        """The branches, stepped in turn, before the push."""
        rng, k = check_random_state(self.random_state), len(self.classes_)
        sizes = {"n_prototypes": self.n_prototypes, "hidden": self.hidden, "n_dimensions": self.n_dimensions}
        branches = [begun(sets, at, k=k, rng=rng, **sizes) for _ in self.terms]
        adams, order = [AdamByName(self.learning_rate) for _ in self.terms], np.empty(0, np.int64)
        for step in range(max(MIN_STEPS, self.n_epochs * -(-len(at) // self.batch))):
            if not len(order):
                order = rng.permutation(len(at))
            rows, order = order[: self.batch], order[self.batch :]
            turn = step % len(branches)
            branch = branches[turn]
            _, slope = loss(branch, sets.take(rows), at[rows], self.terms[turn], scale=self.scale)
            adams[turn].step(branch, slope)
            branch["prototypes"] = unit(branch["prototypes"])
        return branches

    def _settle(self, branches: list[Branch], sets: Sets, at: np.ndarray, names: list[tuple[str, ...]] | None) -> None:
        """Push, say where to, and fit the last layer anew."""
        self.branches_, places, self.names_ = [], [], []
        for branch in branches:
            branch, nearest = pushed(branch, sets, at)
            rows = np.searchsorted(sets.starts, nearest, side="right") - 1
            place = nearest - sets.starts[rows]
            places.append(np.stack([rows, place], axis=1))
            self.names_.append([names[row][of] if names else "" for row, of in zip(rows, place, strict=True)])
            near, _ = similarities(branch, sets)
            self.branches_.append(refitted(branch, near, at, scale=self.scale, n_steps=self.n_last_steps))
        self.places_ = np.array(places)

    def _sets(self, X: np.ndarray) -> Sets:
        check_is_fitted(self)
        if not are_sets(X):
            X = validate_data(self, X, dtype=np.float64, reset=False)
            return self._scaled(Sets(X, np.arange(len(X))))
        sets = end_to_end(X)
        if sets.vectors.shape[1] != self.n_features_in_:
            raise ValueError(f"vectors must have {self.n_features_in_} numbers, got {sets.vectors.shape[1]}.")
        return self._scaled(sets)

    def _near(self, sets: Sets) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Similarity to each prototype and the vector that has it, of each branch: [n, m] each."""
        found = [similarities(branch, sets) for branch in self.branches_]
        return [near for near, _ in found], [places for _, places in found]

    def _logits(self, near: list[np.ndarray]) -> np.ndarray:
        parts = [self.scale * of @ branch["weights"].T for of, branch in zip(near, self.branches_, strict=True)]
        found: np.ndarray = np.sum(parts, axis=0)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the highest logit: sets [n] -> [n]; of equal ones the first."""
        highest = self._logits(self._near(self._sets(X))[0]).argmax(axis=1)
        found: np.ndarray = self.classes_[highest]
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Softmax of both branches' logits together: sets [n] -> [n, k]."""
        found: np.ndarray = softmax(self._logits(self._near(self._sets(X))[0]), axis=1)
        return found

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each set is, 0 to 1: mean similarity to the prototypes of its class; sets [n] -> [n]."""
        near, _ = self._near(self._sets(X))
        best, rows = self._logits(near).argmax(axis=1), np.arange(len(near[0]))
        by_class = [of.reshape(len(of), len(self.classes_), -1).mean(axis=2)[rows, best] for of in near]
        found: np.ndarray = np.mean(by_class, axis=0)
        return found

    def likenesses(self, X: np.ndarray) -> list[list[Likeness]]:
        """The parts that speak most for each set's class, at most three: sets [n] -> [n]."""
        sets = self._sets(X)
        near, places = self._near(sets)
        best = self._logits(near).argmax(axis=1)
        found = []
        for row, of in enumerate(best):
            speaks = np.stack(
                [branch["weights"][of] * one[row] for branch, one in zip(self.branches_, near, strict=True)]
            )
            order = np.unravel_index(np.argsort(-speaks, axis=None, kind="stable"), speaks.shape)
            told: dict[tuple[int, ...], Likeness] = {}  # in order; two prototypes may be one training vector
            for which, at in zip(*order, strict=True):
                part, place = int(places[which][row, at] - sets.starts[row]), self.places_[which, at]
                one = Likeness(part, float(near[which][row, at]), int(place[0]), int(place[1]), int(which), int(at))
                told.setdefault((part, *one[2:5]), one)
                if len(told) == N_SAID:
                    break
            found.append(list(told.values()))
        return found

    def explain(self, X: np.ndarray, names: Sequence[str]) -> list[str]:
        """The parts that speak most for each set's class, and the training parts that they are like."""
        said, found = names_of(X), []
        for row, parts in enumerate(self.likenesses(X)):
            own = [f"'{said[row][one.part]}'" if said else f"vector {one.part}" for one in parts]
            lines = [f"{name} is {one.cosine:.2f} like {self._said(one)}" for name, one in zip(own, parts, strict=True)]
            found.append("; ".join(lines))
        return found

    def _said(self, one: Likeness) -> str:
        name, of = self.names_[one.branch][one.prototype], self.classes_[one.prototype // self.n_prototypes]
        where = f"vector {one.place} of training row {one.row}"
        kind = self.kinds[one.branch]
        return f"'{name}' ({of}, {kind}: {where})" if name else f"{where} ({of}, {kind})"

    def state(self) -> State:
        """What was learned: names of the classes, scaling, branches, and where their prototypes are from."""
        check_is_fitted(self)
        learnt = {f"{at}.{name}": of for at, branch in enumerate(self.branches_) for name, of in branch.items()}
        texts = "\0".join(name.replace("\0", " ") for of in self.names_ for name in of)
        return classes_state(self.classes_) | learnt | {
            "mean": self.mean_, "scale": self.scale_, "places": self.places_,
            "names": np.frombuffer(texts.encode(), np.uint8),
        }  # fmt: skip

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.mean_, made.scale_ = classes_of(state), state["mean"], state["scale"]
        made.n_features_in_, made.places_ = len(made.mean_), state["places"]
        of_branches = ("into", "bias", "out", "prototypes", "weights")
        made.branches_ = [{name: state[f"{at}.{name}"] for name in of_branches} for at in range(len(made.places_))]
        texts = np.array(state["names"].tobytes().decode().split("\0"))
        made.names_ = texts.reshape(made.places_.shape[:2]).tolist()
        return made
