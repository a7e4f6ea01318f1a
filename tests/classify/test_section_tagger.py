"""The section tagger: context helps where a sentence says little; what was learned elsewhere is carried over."""

import numpy as np
import pytest
from safetensors.numpy import load, save
from sklearn.exceptions import NotFittedError

from raypipe.classify.section_tagger import SectionTagger

TAGS = ("S", "O", "A", "P")
CENTRES = np.random.default_rng(7).normal(size=(4, 8))


def notes(n: int, seed: int, *, noise: float = 2.2) -> tuple[list[np.ndarray], list[list[str]]]:
    """Documents of four sections in order, three to five sentences each, which alone are told badly."""
    rng, documents, tags = np.random.default_rng(seed), [], []
    for _ in range(n):
        of = np.repeat(np.arange(4), rng.integers(3, 6, 4))
        documents.append(CENTRES[of] + noise * rng.normal(size=(len(of), 8)))
        tags.append([TAGS[one] for one in of])
    return documents, tags


def right(tagger: SectionTagger, documents: list, tags: list) -> float:
    said = tagger.predict(documents)
    return float(np.mean(np.concatenate(said) == np.concatenate(tags)))


@pytest.fixture(scope="module")
def fitted() -> SectionTagger:
    return SectionTagger(hidden=12, n_epochs=12, learning_rate=0.02, random_state=0).fit(*notes(40, 0))


@pytest.mark.learns
def test_context_is_worth_a_lot(fitted: SectionTagger) -> None:
    asked = notes(30, 1)
    alone = SectionTagger(hidden=0, chains=False, n_epochs=12, learning_rate=0.02, random_state=0).fit(*notes(40, 0))
    assert right(fitted, *asked) > 0.85
    assert right(alone, *asked) < 0.75


@pytest.mark.learns
def test_what_was_learned_elsewhere_is_carried_over(fitted: SectionTagger) -> None:
    few = notes(2, 5)
    settings = {"hidden": 12, "n_epochs": 3, "learning_rate": 0.005, "random_state": 1}
    further = SectionTagger(**settings).fit(*few, start=fitted)
    scratch = SectionTagger(**settings).fit(*few)
    asked = notes(30, 6)
    assert right(further, *asked) > right(scratch, *asked) + 0.15


def test_it_says_the_same_from_its_state_and_for_the_same_seed() -> None:
    documents, tags = notes(4, 2)
    settings = {"hidden": 3, "n_epochs": 1, "random_state": 3}
    one, other = (SectionTagger(**settings).fit(documents, tags) for _ in "ab")
    again = SectionTagger(**settings).from_state(
        load(save({k: np.ascontiguousarray(v) for k, v in one.state().items()}))
    )
    for said in (other, again):
        assert [of.tolist() for of in said.predict(documents)] == [of.tolist() for of in one.predict(documents)]
    for name, array in one.state().items():
        np.testing.assert_array_equal(other.state()[name], array)


def test_what_it_can_t_learn_or_answer_is_refused() -> None:
    documents, tags = notes(2, 0)
    made = SectionTagger(hidden=2, n_epochs=1, random_state=0)
    with pytest.raises(NotFittedError, match="call fit"):
        made.predict(documents)
    with pytest.raises(ValueError, match="documents and tags of each, got 0 and 0"):
        made.fit([], [])
    with pytest.raises(ValueError, match=r"document 1 must be \[sentences, numbers\] with a tag for each sentence"):
        made.fit(documents, [tags[0], tags[1][:-1]])
    with pytest.raises(ValueError, match="document 0 must have finite vectors only"):
        made.fit([documents[0] * np.nan], tags[:1])
    made.fit(documents, tags)
    with pytest.raises(ValueError, match="sentences of 8 numbers, got"):
        made.predict([documents[0][:, :5]])
    with pytest.raises(ValueError, match="must know the tags"):
        SectionTagger(hidden=2).fit(documents, [["X"] * len(of) for of in tags], start=made)
