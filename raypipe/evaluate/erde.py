"""ERDE: what errors and late alarms of an early detection cost; lower is better.

Source: D. Losada and F. Crestani, A test collection for research on depression and language use, CLEF 2016, section 4.
Cost: O(n).
"""

import numpy as np


def erde(
    truth: np.ndarray, said: np.ndarray, delay: np.ndarray, *, deadline: float, false_alarm: float | None = None
) -> float:
    """Mean cost over subjects, in [0, 1]: truth and alarms [n] bool, delays [n] in posts read, `deadline` their o.

    A missed positive costs 1, an alarm in time next to nothing, one after the deadline nearly 1, a false one
    `false_alarm`: None is the share of positives among these subjects.

    >>> import numpy as np
    >>> erde(np.array([True, False]), np.array([False, False]), np.array([5, 5]), deadline=50)
    0.5

    Raises
    ------
    ValueError
        If there are no subjects, or lengths differ.
    """
    truth, said, delay = np.asarray(truth, bool), np.asarray(said, bool), np.asarray(delay, float)
    if not len(truth) or not len(truth) == len(said) == len(delay):
        raise ValueError(f"subjects must be one or more, alike in all, got {len(truth)}, {len(said)} and {len(delay)}.")
    of_false = truth.mean() if false_alarm is None else false_alarm
    lateness = 1 - 1 / (1 + np.exp(np.clip(delay - deadline, -700, 700)))
    cost = np.where(truth, np.where(said, lateness, 1.0), np.where(said, of_false, 0.0))
    return float(cost.mean())
