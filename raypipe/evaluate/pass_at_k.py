"""pass@k: the chance that one of k programs, drawn from those that were sampled, passes its tests.

Source: M. Chen et al., Evaluating Large Language Models Trained on Code, arXiv 2107.03374, eq. 1 and figure 3.
Cost: O(k).
"""

import numpy as np


def pass_at_k(n: int, n_passed: int, k: int) -> float:
    """1 - C(n - n_passed, k) / C(n, k): unbiased from n samples.

    >>> round(pass_at_k(10, 3, 1), 3), round(pass_at_k(10, 3, 5), 3)
    (0.3, 0.917)

    Raises
    ------
    ValueError
        If there are fewer samples than k, or more passed than there are.
    """
    if not 1 <= k <= n or not 0 <= n_passed <= n:
        raise ValueError(f"pass@k needs 1 <= k <= n and 0 <= passed <= n, got k {k}, n {n}, passed {n_passed}.")
    if n - n_passed < k:
        return 1.0
    return float(1 - np.prod(1 - k / np.arange(n - n_passed + 1, n + 1)))
