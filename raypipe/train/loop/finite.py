"""What training says and does when a number stops being one: before anything is updated or written with it."""

from collections.abc import Iterable

import numpy as np

SHOWN = 20


class NotFinite(ValueError):
    """A loss, a gradient or a weight is NaN or infinite; nothing was updated or written with it."""


def require_finite(
    loss: float, norm: float | None, *, step: int, places: Iterable[tuple[str, int]], last: int | None, is_sound: bool
) -> None:
    """Let a step pass whose loss and gradient (its norm; None: not known yet) are finite.

    `last` is the step of the last checkpoint, `is_sound` whether the weights that the step began with are finite.

    Raises
    ------
    NotFinite
        With the step, what isn't finite, its documents, and the checkpoint to go on from.
    """
    if np.isfinite(loss) and (norm is None or np.isfinite(norm)):
        return
    kept = kept_since(last)
    if not is_sound:
        raise NotFinite(
            f"the weights are not finite at the start of step {step}: an earlier update broke them, not the documents "
            f"of this step; {kept}. Lower the learning rate, or clip the gradient."
        )
    what = f"loss of step {step} is {loss}"
    if np.isfinite(loss):
        what = f"gradient of step {step} has the norm {norm}, though its loss is {loss:.4g}"
    raise NotFinite(
        f"the {what}; {kept}. Its documents (source:row): {named(places)}. Look at them, or lower the learning rate."
    )


def kept_since(last: int | None) -> str:
    """Which checkpoint is there to go on from."""
    return f"the checkpoint of step {last} is kept" if last is not None else "there is no checkpoint yet"


def named(places: Iterable[tuple[str, int]]) -> str:
    """Source files and rows, each once, at most 20 of them."""
    each = list(dict.fromkeys(places))
    more = f" and {len(each) - SHOWN} more" if len(each) > SHOWN else ""
    return ", ".join(f"{path}:{row}" for path, row in each[:SHOWN]) + more
