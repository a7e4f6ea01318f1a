import numpy as np
import pytest

from raypipe.runs.space import Range, Values, draw, grid, parse_space


def test_a_grid_has_every_combination_once():
    points = grid(parse_space({"a": [1, 2], "b": ["x", "y", "z"]}))
    assert len(points) == 6
    assert {"a": 2, "b": "z"} in points


def test_random_points_lie_in_their_ranges_and_are_whole_where_both_ends_are():
    space = parse_space({"rate": {"low": 1.0e-5, "high": 1.0e-2, "log": True}, "rank": {"low": 1, "high": 64}})
    points = draw(space, 400, seed=0)
    rates = np.array([point["rate"] for point in points])
    assert rates.min() >= 1e-5
    assert rates.max() <= 1e-2
    assert 0.25 < np.mean(rates < 1e-4) < 0.42  # a third of the logarithm's range, 400 draws
    assert all(isinstance(point["rank"], int) and 1 <= point["rank"] <= 64 for point in points)


def test_the_same_seed_gives_the_same_points_and_more_of_them_begin_with_fewer():
    space = {"x": Range(0.0, 1.0)}
    assert draw(space, 5, seed=3) == draw(space, 9, seed=3)[:5]
    assert draw(space, 5, seed=3) != draw(space, 5, seed=4)


def test_a_small_space_is_drawn_without_repetition():
    assert sorted(point["x"] for point in draw({"x": Values((1, 2, 3))}, 50, seed=0)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "must map settings"),
        ({"x": []}, "at least one value"),
        ({"x": 3}, "a list of values, or a mapping"),
        ({"x": {"low": 1, "high": 2, "lug": True}}, "got {'low': 1, 'high': 2, 'lug': True}"),
        ({"x": {"low": 2, "high": 2}}, "below its high"),
        ({"x": {"low": 0, "high": 2, "log": True}}, "above 0"),
        ({"x": {"low": "1e-4", "high": 2}}, "1.0e-4"),
    ],
)
def test_wrong_spaces_are_refused_by_the_name_of_the_setting(given, words):
    with pytest.raises(ValueError, match="must") as error:
        parse_space(given)
    assert words in str(error.value)


def test_a_grid_of_a_range_is_refused():
    with pytest.raises(ValueError, match="x has a range"):
        grid({"x": Range(0.0, 1.0)})
