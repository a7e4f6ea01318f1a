"""Classes that are dropped in stages, as more is known of each: schedules, and what is left.

Source: A. Li et al., Your Diffusion Model is Secretly a Zero-Shot Classifier, ICCV 2023, arXiv 2303.16203, algorithm 2.
Departure: the error of a class that was dropped is at least that of each class that was tried longer.
"""

from itertools import pairwise

import numpy as np


def stages_of(schedule: str, *, most: int | None = None) -> list[tuple[int, int]]:
    """Classes kept and what each was tried at so far, of each stage, from `KEEP:EVALUATIONS ...`.

    Raises
    ------
    ValueError
        If it isn't of that form, doesn't end with one class, or classes don't fall while evaluations rise, to `most`.
    """
    try:
        found = [(int(keep), int(n)) for keep, _, n in (stage.partition(":") for stage in schedule.split())]
    except ValueError:
        found = []
    keeps, numbers = [keep for keep, _ in found], [n for _, n in found]
    falls = all(a > b for a, b in pairwise(keeps))
    rises = all(a < b for a, b in pairwise(numbers))
    if not found or keeps[-1] != 1 or not falls or not rises or numbers[0] < 1 or numbers[-1] > (most or numbers[-1]):
        upper = f" to at most {most}" if most else ""
        raise ValueError(
            f"schedule must be KEEP:EVALUATIONS for each stage, the first falling to 1, the second rising{upper}, "
            f"such as '5:50 1:500'; got {schedule!r}."
        )
    return found


def still_left(left: np.ndarray, errors: np.ndarray, *, keep: int) -> np.ndarray:
    """Of the classes that are left [n, k] bool, those of the `keep` lowest errors [n, k]; of equal ones the first."""
    order = np.argsort(np.where(left, errors, np.inf), axis=1, kind="stable")
    found: np.ndarray = left & (np.argsort(order, axis=1, kind="stable") < keep)
    return found


def levelled(errors: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Errors [n, k] where a class tried at fewer things [n, k] has at least the error of each tried at more."""
    found, worst = errors.copy(), np.full((len(errors), 1), -np.inf)
    for count in np.unique(number)[::-1]:  # from the classes that were tried longest on
        is_of = number == count
        found = np.where(is_of, np.maximum(found, worst), found)
        worst = np.maximum(worst, np.where(is_of, found, -np.inf).max(axis=1, keepdims=True))
    return found
