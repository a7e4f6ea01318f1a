import pytest

from raypipe.contracts.score import KEY, Score, scores_of

MIN_K = Score("min_k", "mean log probability of the least likely tokens", "nats", higher_is_better=True)
LOSS = Score("loss", "loss", "nats a token", higher_is_better=False)


def test_a_card_gives_back_what_was_put_into_it():
    assert scores_of({KEY: MIN_K.as_json()}) == (MIN_K,)
    assert scores_of({KEY: [LOSS.as_json(), MIN_K.as_json()]}) == (LOSS, MIN_K)


def test_an_older_card_tells_of_none():
    assert scores_of({"identity": {"scorers": ["influence"]}}) == ()


def test_the_sign_turns_a_score_so_that_higher_is_better():
    assert (MIN_K.sign, LOSS.sign) == (1, -1)


@pytest.mark.parametrize("content", ["influence", {"column": "a"}, [3]])
def test_what_is_no_score_is_refused(content):
    with pytest.raises(ValueError, match="card's 'score' must hold"):
        scores_of({KEY: content})
