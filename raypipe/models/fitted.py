"""A fitted estimator as a folder: estimator.json (its class and settings) and state.safetensors (what it has learned).

Nothing in the folder is run: whoever opens it says of which class it is.
"""

import json
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from raypipe.contracts.estimator import Estimator
from raypipe.storage.folder import Folder

SETTINGS, STATE = "estimator.json", "state.safetensors"
FORMAT = 1
E = TypeVar("E", bound=Estimator)


def save_fitted(estimator: Estimator, folder: Folder) -> None:
    """Put a fitted estimator into a folder; its settings, which make it whole, last."""
    folder.write(STATE, save({name: np.ascontiguousarray(array) for name, array in estimator.state().items()}))
    about = {"format": FORMAT, "class": type(estimator).__name__, "settings": dict(estimator.get_params())}
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
        return kind(**about["settings"]).from_state(load(folder.read(STATE)))
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"{folder.uri} is damaged ({error}); fit the {kind.__name__} again.") from error
