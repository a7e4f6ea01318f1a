import numpy as np
import pytest

from raypipe.fitting.classes import classes_of, classes_state


@pytest.mark.parametrize("names", [["a", "b c", "é"], [""], [0, 1, 7], [-1.5, 2.0], [False, True]])
def test_names_of_any_kind_come_back_as_they_were(names):
    state = classes_state(np.array(names))
    assert all(array.dtype.kind in "uifb" for array in state.values())
    assert classes_of(state).tolist() == names
