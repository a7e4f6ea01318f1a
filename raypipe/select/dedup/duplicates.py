"""Exact copies of a text: all but the first in corpus order, found by their 64-bit hash.

Two different texts share a hash with a chance of n ** 2 / 2 ** 65: 3 % for one pair in a billion texts.
"""

import numpy as np


class Copies:
    """Gather: the rows whose text has stood in an earlier row; 16 bytes a row, 40 while the result is computed.

    Keeps only hashes that leave `remainder` when divided by `n_parts`, so that a large corpus is read several times
    and held a part at a time.
    """

    def __init__(self, *, n_parts: int = 1, remainder: int = 0) -> None:
        self.n_parts, self.remainder = np.uint64(n_parts), np.uint64(remainder)
        self._hashes: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []

    def update(self, file: int, rows: np.ndarray, text_hash: np.ndarray) -> None:
        """Add rows of the file with this number in corpus order: row numbers [n] and hashes [n]."""
        mine = text_hash.view(np.uint64) % self.n_parts == self.remainder
        self._hashes.append(text_hash[mine])
        self._positions.append((np.int64(file) << np.int64(32)) | rows[mine].astype(np.int64))

    def merge(self, other: "Copies") -> None:
        """Add what another has seen."""
        self._hashes += other._hashes
        self._positions += other._positions

    def result(self) -> dict[int, np.ndarray]:
        """Row numbers of the later copies in each file that has any, rising."""
        if not self._hashes:
            return {}
        hashes, positions = np.concatenate(self._hashes), np.concatenate(self._positions)
        order = np.lexsort((positions, hashes))
        hashes, positions = hashes[order], positions[order]
        copies = np.sort(positions[1:][hashes[1:] == hashes[:-1]])
        files, starts = np.unique(copies >> np.int64(32), return_index=True)
        rows = np.split(copies & np.int64(0xFFFFFFFF), starts[1:])
        return dict(zip(files.tolist(), rows, strict=True)) if len(copies) else {}
