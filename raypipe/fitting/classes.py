"""Names of classes as arrays of numbers, for a state without pickles."""

import numpy as np

from raypipe.contracts.estimator import State


def classes_state(classes: np.ndarray) -> State:
    """The names of classes [k]: texts as UTF-8 bytes, numbers as they are."""
    if classes.dtype.kind not in "UO":
        return {"classes": classes}
    return {"classes_text": np.frombuffer("\0".join(map(str, classes)).encode(), np.uint8)}


def classes_of(state: State) -> np.ndarray:
    """The names that `classes_state` has put into a state."""
    if "classes_text" not in state:
        return state["classes"]
    return np.array(state["classes_text"].tobytes().decode().split("\0"))
