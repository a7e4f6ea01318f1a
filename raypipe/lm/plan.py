"""Which documents go through the model together, under a token budget.

A plan is a pure function of (lengths, budget): the same shard is cut into the same batches for ever, which is what
makes a resumed run give the same bytes.
"""

import numpy as np


def plan_batches(lengths: np.ndarray, *, budget: int) -> list[np.ndarray]:
    """Rows that go through the model together: best-fit decreasing, each batch at most `budget` tokens.

    Rows of length 0 are in no batch. Rows inside a batch are in their given order, and so are batches by first row.

    Raises
    ------
    ValueError
        If a document is longer than the budget.
    """
    if lengths.size and lengths.max() > budget:
        raise ValueError(f"token_budget must hold the longest document, {lengths.max()} tokens, got {budget}.")
    free: list[int] = []
    batches: list[list[int]] = []
    open_batches = np.zeros(0, dtype=np.int64)
    for row in np.argsort(-lengths, kind="stable"):
        length = int(lengths[row])
        if length == 0:
            break
        fitting = np.flatnonzero(open_batches >= length)
        if fitting.size:
            best = int(fitting[np.argmin(open_batches[fitting])])
            open_batches[best] -= length
            batches[best].append(int(row))
            continue
        free.append(budget - length)
        open_batches = np.append(open_batches, budget - length)
        batches.append([int(row)])
    ordered = [np.sort(np.array(batch, dtype=np.int64)) for batch in batches]
    return sorted(ordered, key=lambda batch: int(batch[0]))
