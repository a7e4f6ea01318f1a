"""LIMIT as texts: who likes what is what is asked for, and people are filled up with what nobody asks for."""

import numpy as np
import pytest

from raypipe.evaluate.limit.patterns import dense
from raypipe.evaluate.limit.texts import described, full_names, liked, people, question

ASKED = [f"asked{at}" for at in range(20)]
UNASKED = [f"other{at}" for at in range(30)]
NAMES = [f"Person {at}" for at in range(12)]


def made(**changes):
    pairs = dense(15)
    settings = {"n_documents": 9, "asked": ASKED, "unasked": UNASKED, "names": NAMES, "n_attributes": 7, "seed": 0}
    return pairs, people(pairs, **{**settings, **changes})


def test_the_two_of_a_question_and_nobody_else_like_what_it_asks_for() -> None:
    pairs, documents = made()
    for attribute, members in zip(ASKED, pairs.tolist(), strict=False):
        assert [at for at, text in enumerate(documents) if attribute in liked(text)] == members
    assert question("Kayaking") == "Who likes Kayaking?"


def test_everybody_likes_as_many_things_and_none_twice() -> None:
    _, documents = made()
    assert {len(set(liked(text))) for text in documents} == {len(liked(text)) for text in documents} == {7}
    assert all(one in UNASKED for text in documents[6:] for one in liked(text))
    assert documents[8].startswith("Person 8 likes ")


def test_the_seed_alone_decides() -> None:
    assert made()[1] == made()[1] != made(seed=1)[1]


def test_a_document_is_as_the_published_ones_are() -> None:
    assert described("Ada Berg", ["Figs", "Chess", "Rain"]) == "Ada Berg likes Figs, Chess and Rain."
    assert described("Ada Berg", ["Figs"]) == "Ada Berg likes Figs."
    assert liked("Ada Berg likes Figs, Chess and Rain.") == ["Figs", "Chess", "Rain"]


@pytest.mark.parametrize("n", [4, 6, 7, 200])
def test_names_are_as_many_as_asked_for_and_differ(n: int) -> None:
    found = full_names(["Ada", "Bo", "Cy"], ["Li", "Wu"], n=n, seed=0)
    assert len(set(found)) == n
    assert all(name.split()[-1] in ("Li", "Wu") for name in found)
    assert len({len(name.split()) for name in found}) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"asked": ASKED[:14]}, "must have an attribute and a name each"),
        ({"names": ["Person"] * 12}, "got 20, 1 and 0"),
        ({"unasked": ASKED[:9]}, "9 that are"),
        ({"n_attributes": 4}, "between the 5 that a person is asked for and the 30 unasked ones, got 4"),
        ({"n_attributes": 31}, "got 31"),
    ],
)
def test_what_does_not_fit_is_refused(changes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(**changes)


def test_other_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be 'NAME likes A, B and C\.'"):
        liked("nothing of the kind")
    with pytest.raises(ValueError, match="two first names and a last one are needed, got 1 and 1"):
        full_names(["Ada"], ["Li"], n=3, seed=0)
    assert np.shape(people(np.zeros((0, 2), int), n_documents=0, asked=(), unasked=["a"], names=(), n_attributes=1,
                           seed=0)) == (0,)  # fmt: skip
