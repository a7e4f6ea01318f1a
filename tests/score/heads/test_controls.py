from raypipe.score.forward_pass import ForwardPass
from raypipe.score.heads.controls import run_controls
from raypipe.score.statistics.influence import Influence

TEXTS = [f"The text number {at} is about {'a thing and another one, ' * 20}" for at in range(4)]


def found(tiny_folder, seed=0):
    op = ForwardPass(model=str(tiny_folder), statistics=(Influence(),), heads=((1, 1),), max_tokens=128)
    return op, run_controls(op, TEXTS, 1, seed)


def test_the_scorer_is_left_as_it_was(tiny_folder):
    op, _ = found(tiny_folder)
    assert op.heads == ((1, 1),)


def test_no_head_neutralised_gives_exactly_nothing(tiny_folder):
    _, (zero, *_) = found(tiny_folder)
    assert (zero["value"], zero["passed"]) == (0.0, True)


def test_a_random_model_fails_the_controls_that_need_retrieval(tiny_folder):
    _, (_, shuffled, repeated) = found(tiny_folder)
    assert not repeated["passed"]
    assert repeated["value"] < repeated["bar"]
    assert shuffled["passed"] == (shuffled["value"] >= shuffled["bar"])


def test_the_same_seed_gives_the_same_figures(tiny_folder):
    assert found(tiny_folder)[1] == found(tiny_folder)[1]
