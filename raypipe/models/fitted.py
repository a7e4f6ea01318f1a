"""A fitted estimator as a folder: estimator.json (its class and settings) and state.safetensors (what it has learned).

Nothing in the folder is run: whoever opens it says of which class it is. How columns of a table become its X may be
stored with it, under `input`, and the temperature that its probabilities are calibrated at, under `temperature`; of one
that was fitted on rows of many labels, the probability from which on a label is said, under `threshold`.
"""

import json
from hashlib import sha256
from typing import Any, Protocol, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from raypipe.contracts.estimator import Estimator, State
from raypipe.storage.folder import Folder

SETTINGS, STATE = "estimator.json", "state.safetensors"
OF_INPUT = "input/"
"""How the names of arrays begin that are not the estimator's own."""
FORMAT = 1
E = TypeVar("E", bound=Estimator)


class Stored(Protocol):
    """What feeds an estimator, with settings and a state of its own."""

    def about(self) -> dict[str, Any]:
        """Settings, as JSON."""
        ...

    def state(self) -> State:
        """What was learned."""
        ...


def save_fitted(
    estimator: Estimator, folder: Folder, *, feed: Stored | None = None, temperature: float | None = None,
    threshold: float | None = None,
) -> None:  # fmt: skip
    """Put a fitted estimator, and what feeds it, into a folder; its settings, which make it whole, last."""
    arrays = dict(estimator.state())
    about = {"format": FORMAT, "class": type(estimator).__name__, "settings": dict(estimator.get_params())}
    if feed is not None:
        arrays |= {f"{OF_INPUT}{name}": array for name, array in feed.state().items()}
        about["input"] = feed.about()
    if temperature is not None:
        about["temperature"] = temperature
    if threshold is not None:
        about["threshold"] = threshold
    folder.write(STATE, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    folder.write(SETTINGS, json.dumps(about, indent=1).encode())


def read_settings(folder: Folder) -> dict[str, Any]:
    """What estimator.json says.

    Raises
    ------
    FileNotFoundError
        If it isn't there.
    ValueError
        If it isn't one of ours.
    """
    try:
        about = json.loads(folder.read(SETTINGS))
        if about["format"] != FORMAT or not isinstance(about["settings"], dict):
            raise ValueError(f"its format must be {FORMAT}")
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder.uri} holds no fitted estimator: it has no {SETTINGS}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder.uri}/{SETTINGS} can't be used ({error}); fit the estimator again.") from error
    return dict(about)


def fitted_identity(folder: Folder) -> dict[str, Any]:
    """What answers of a fitted estimator follow from: its class, settings and what feeds it, and what it has learned.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder holds none.
    """
    return read_settings(folder) | {"state_sha256": sha256(folder.read(STATE)).hexdigest()}


def open_fitted(kind: type[E], folder: Folder) -> E:
    """The estimator of a folder, which must be of this class.

    Raises
    ------
    FileNotFoundError
        If the folder holds none.
    ValueError
        If it is of another class, or damaged.
    """
    about = read_settings(folder)
    if about["class"] != kind.__name__:
        raise ValueError(f"{folder.uri} must hold a {kind.__name__}, got a {about['class']}.")
    try:
        arrays = {name: of for name, of in load(folder.read(STATE)).items() if not name.startswith(OF_INPUT)}
        return kind(**about["settings"]).from_state(arrays)
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"{folder.uri} is damaged ({error}); fit the {kind.__name__} again.") from error


def read_temperature(folder: Folder) -> float:
    """The temperature that an estimator's probabilities are calibrated at, 1 where they aren't.

    Raises
    ------
    FileNotFoundError
        If the folder holds no estimator.
    ValueError
        If it isn't a number above 0.
    """
    found = read_settings(folder).get("temperature", 1.0)
    if not isinstance(found, (int, float)) or not found > 0:
        raise ValueError(f"{folder.uri}/{SETTINGS}: temperature must be a number above 0, got {found!r}.")
    return float(found)


def read_threshold(folder: Folder) -> float | None:
    """The probability from which on a label is said, None of an estimator that says one label a row.

    Raises
    ------
    FileNotFoundError
        If the folder holds no estimator.
    ValueError
        If it isn't a number from 0 to 1.
    """
    found = read_settings(folder).get("threshold")
    if found is None:
        return None
    if not isinstance(found, (int, float)) or not 0 <= found <= 1:
        raise ValueError(f"{folder.uri}/{SETTINGS}: threshold must be a number from 0 to 1, got {found!r}.")
    return float(found)


def read_input(folder: Folder) -> tuple[dict[str, Any], State] | None:
    """Settings and state of what feeds the estimator of a folder; None if nothing was stored.

    Raises
    ------
    FileNotFoundError
        If the folder holds no estimator.
    ValueError
        If it is damaged.
    """
    about = read_settings(folder).get("input")
    if about is None:
        return None
    try:
        arrays = load(folder.read(STATE))
    except SafetensorError as error:
        raise ValueError(f"{folder.uri} is damaged ({error}); fit the estimator again.") from error
    return dict(about), {name.removeprefix(OF_INPUT): of for name, of in arrays.items() if name.startswith(OF_INPUT)}
