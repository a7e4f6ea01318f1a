"""What every statistic of the shared pass keeps to; each check catches a statistic made wrong on purpose."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, get_args

import numpy as np
import pyarrow as pa
import pytest

from raypipe.contracts.score import Score
from raypipe.contracts.statistic import Quantity, mean_by_document
from raypipe.score.statistics.perplexity import Perplexity
from tests.conformance.finding import classes_with, head_of

LENGTHS = np.array([7, 1, 30, 4, 1, 12])
STATISTICS = classes_with("needs", "adds", "score", "__call__", under="raypipe.score.statistics")


def quantities(lengths: np.ndarray, *needs: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Plausible numbers that can't be written to."""
    rng, p = np.random.default_rng(seed), int(lengths.sum())
    nll = rng.exponential(3.0, p).astype(np.float32)
    every = {
        "nll": nll,
        "nll_masked": (nll * rng.uniform(0.9, 1.5, p)).astype(np.float32),
        "log_prob_mean": -rng.uniform(2.0, 4.0, p).astype(np.float32),
        "log_prob_std": rng.uniform(0.5, 2.0, p).astype(np.float32),
        "zlib_bytes": 20 + 4 * lengths,
        "loss_lower": rng.exponential(4.0, len(lengths)),
    }
    for values in every.values():
        values.flags.writeable = False
    return {name: every[name] for name in needs}


def of(statistic: Any, lengths: np.ndarray = LENGTHS) -> dict[str, np.ndarray]:
    return statistic(quantities(lengths, *statistic.needs), lengths)


def declares_what_it_needs_adds_and_says(statistic: Any) -> None:
    assert set(statistic.needs) <= set(get_args(Quantity))
    assert statistic.score.column in statistic.adds.names
    assert pa.types.is_floating(statistic.adds.field(statistic.score.column).type)
    assert pickle.loads(pickle.dumps(statistic)) == statistic  # noqa: S301 (our own bytes)
    assert hash(statistic) == hash(type(statistic)())


def gives_exactly_its_columns_a_number_a_document(statistic: Any) -> None:
    for lengths in (LENGTHS, LENGTHS[:1], LENGTHS[:0]):
        found = of(statistic, lengths)
        assert set(found) == set(statistic.adds.names)
        assert {np.asarray(values).shape for values in found.values()} == {(len(lengths),)}
        for name, values in found.items():
            pa.array(values, statistic.adds.field(name).type)


def gives_the_same_for_the_same(statistic: Any) -> None:
    first, second = of(statistic), of(statistic)
    assert all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)


def sees_each_document_alone(statistic: Any) -> None:
    together, given = of(statistic), quantities(LENGTHS, *statistic.needs)
    for at, start in enumerate(np.cumsum(LENGTHS) - LENGTHS):
        own = {
            name: values[at : at + 1] if name in ("zlib_bytes", "loss_lower") else values[start : start + LENGTHS[at]]
            for name, values in given.items()
        }
        alone = statistic(own, LENGTHS[at : at + 1])
        for name, values in alone.items():
            np.testing.assert_allclose(values[0], together[name][at], rtol=1e-12)


def scores_a_document_of_one_token(statistic: Any) -> None:
    assert np.isfinite(of(statistic, np.array([1, 1]))[statistic.score.column]).all()


def leaves_a_document_without_numbers_without_a_score(statistic: Any) -> None:
    given = quantities(LENGTHS, *statistic.needs)
    for name in (name for name in given if name not in ("zlib_bytes", "loss_lower")):
        given[name] = given[name].copy()
        given[name][LENGTHS[:2].sum()] = np.nan  # in the third document
    found = statistic(given, LENGTHS)[statistic.score.column]
    assert np.isnan(found).tolist() == [False, False, True, False, False, False]


def has_a_card_at_the_head_of_its_file(statistic: Any) -> None:
    assert "\nSource: " in head_of(type(statistic))


CHECKS = [
    declares_what_it_needs_adds_and_says,
    gives_exactly_its_columns_a_number_a_document,
    gives_the_same_for_the_same,
    sees_each_document_alone,
    scores_a_document_of_one_token,
    leaves_a_document_without_numbers_without_a_score,
    has_a_card_at_the_head_of_its_file,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", STATISTICS, ids=lambda kind: kind.__name__)
def test_a_statistic(kind: type, check: Callable[[Any], None]) -> None:
    check(kind())


def test_all_are_found() -> None:
    assert {"Influence", "MinK", "MinKPlusPlus", "Perplexity", "ZlibLoss"} <= {kind.__name__ for kind in STATISTICS}


@dataclass(frozen=True)
class Plain:
    """Right, but for its file, which has no card; the wrong ones below change one thing each."""

    needs: ClassVar[tuple[str, ...]] = ("nll",)
    adds: ClassVar[pa.Schema] = pa.schema([("loss", pa.float32())])
    score: ClassVar[Score] = Score("loss", "loss", "nats a token", higher_is_better=False)

    def __call__(self, per_token: Any, lengths: np.ndarray) -> dict[str, np.ndarray]:
        return {"loss": mean_by_document(per_token["nll"], lengths)}


class ScoresNoColumn(Plain):
    score = replace(Plain.score, column="lost")


class AddsMore(Plain):
    def __call__(self, per_token, lengths):
        return {**super().__call__(per_token, lengths), "more": lengths}


class Draws(Plain):
    def __call__(self, per_token, lengths):
        return {"loss": np.random.default_rng().uniform(size=len(lengths))}


class LooksAround(Plain):
    def __call__(self, per_token, lengths):
        loss = super().__call__(per_token, lengths)["loss"]
        return {"loss": loss - loss.mean()}


class NeedsTwo(Plain):
    def __call__(self, per_token, lengths):
        loss = super().__call__(per_token, lengths)["loss"]
        return {"loss": np.where(lengths < 2, np.nan, loss)}


class Hides(Plain):
    def __call__(self, per_token, lengths):
        return super().__call__({"nll": np.nan_to_num(per_token["nll"])}, lengths)


class Writes(Plain):
    def __call__(self, per_token, lengths):
        per_token["nll"][:] = 0
        return super().__call__(per_token, lengths)


class NeedsMore(Plain):
    def __call__(self, per_token, lengths):
        return {"loss": per_token["nll_masked"][: len(lengths)]}


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (ScoresNoColumn, declares_what_it_needs_adds_and_says),
        (AddsMore, gives_exactly_its_columns_a_number_a_document),
        (NeedsMore, gives_exactly_its_columns_a_number_a_document),
        (Draws, gives_the_same_for_the_same),
        (Writes, gives_the_same_for_the_same),
        (LooksAround, sees_each_document_alone),
        (NeedsTwo, scores_a_document_of_one_token),
        (Hides, leaves_a_document_without_numbers_without_a_score),
        (Plain, has_a_card_at_the_head_of_its_file),
    ],
)
def test_a_wrong_one_is_caught(wrong: type, check: Callable[[Any], None]) -> None:
    with pytest.raises((AssertionError, KeyError, ValueError)):
        check(wrong())
    assert check is has_a_card_at_the_head_of_its_file or check(Perplexity()) is None
