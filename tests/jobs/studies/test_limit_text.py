"""The study limit-text: who is asked for is who is searched, ties and orders change nothing, sets are as they say."""

import numpy as np
import pytest

from jobs.studies import limit_text
from jobs.studies.limit_text import EXCHANGED, STUDY, WORDS, _attributes, _limit, _of_pattern, _recall, _searched
from raypipe.retrieve.ranking import Ranked

SETTINGS = {**STUDY.settings, **STUDY.quick, "data": "made"}


def test_recall_is_the_share_of_the_two() -> None:
    ranked = Ranked(np.array([[4, 2, 7], [1, -1, -1]]), np.array([[3.0, 2, 1], [1, -np.inf, -np.inf]], np.float32))
    relevant = np.array([[7, 4], [0, 1]])
    assert [_recall(ranked, relevant, k) for k in (1, 2, 3)] == [0.5, 0.5, 0.75]


def test_the_whole_set_has_the_small_one_first_and_nobody_else_is_asked_for() -> None:
    documents, queries, relevant = _limit({**SETTINGS, **STUDY.arms[WORDS]}, 40, 0)
    assert (len(documents), len(queries), relevant.shape) == (40, 40, (40, 2))
    asked = {query.removeprefix("Who likes ").removesuffix("?") for query in queries}
    assert all(not asked & set(text.rstrip(".").replace(",", "").split()) for text in documents[relevant.max() + 1 :])


def test_attributes_are_as_many_as_published_and_apart() -> None:
    asked, unasked = _attributes("made", 0)
    assert (len(set(asked)), len(set(unasked)), set(asked) & set(unasked)) == (1000, 850, set())
    assert _attributes("made", 1)[0] != asked == _attributes("made", 0)[0]


@pytest.mark.parametrize("pattern", ["dense", "random", "cycle", "disjoint"])
def test_patterns_have_as_many_questions_and_people(pattern: str) -> None:
    documents, queries, relevant = _of_pattern({**SETTINGS, "pattern": pattern}, 3)
    assert (len(documents), len(queries), len(relevant)) == (24, 12, 12)
    for query, pair in zip(queries, relevant.tolist(), strict=True):
        attribute = query.removeprefix("Who likes ").removesuffix("?")
        who = [at for at, text in enumerate(documents) if attribute in text.rstrip(".").replace(",", "").split()]
        assert who == sorted(pair)


def test_vectors_that_stand_for_their_documents_find_them_and_exchanged_ones_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limit_text, "_vectors", lambda texts: np.eye(8)[[int(text) for text in texts]])
    texts = [str(at) for at in range(8)]
    assert _searched("vectors", texts, texts, 0).documents[:, 0].tolist() == [*range(8)]
    exchanged = STUDY.arms[EXCHANGED]["way"]
    assert not (_searched(exchanged, texts, texts, 0).documents[:, 0] == np.arange(8)).any()
