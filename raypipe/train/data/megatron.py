"""The mix as a Megatron indexed dataset (.bin and .idx), for other trainers.

Source: NVIDIA Megatron-LM, megatron/core/datasets/indexed_dataset.py, _IndexWriter: header MMIDIDX, version 1.
"""

import struct
from pathlib import Path

import numpy as np

from raypipe.storage.folder import Folder
from raypipe.train.data.order import DataOrder
from raypipe.train.data.token_loader import WindowTokens

MAGIC, VERSION = b"MMIDIDX\x00\x00", 1
TYPES = {np.dtype(np.uint16): 8, np.dtype(np.int32): 4}


def write_megatron(tokens: Folder, order: DataOrder, *, prefix: Path, vocabulary_size: int) -> tuple[int, int]:
    """Write PREFIX.bin and .idx, the documents of the first epoch in its order; how many, and their tokens.

    Raises
    ------
    ValueError
        If an id is beyond the vocabulary: it might not fit the numbers of the file.
    """
    dtype = np.dtype(np.uint16 if vocabulary_size <= 1 << 16 else np.int32)
    sizes: list[np.ndarray] = []
    with prefix.with_suffix(".bin").open("wb") as binary:
        for window in range(order.n_windows(0)):
            rows = order.documents(0, window)
            found = WindowTokens.read(tokens, order, np.unique(rows))
            if found.ids.size and found.ids.max() >= vocabulary_size:
                raise ValueError(
                    f"tokens must be ids below the vocabulary's {vocabulary_size:,}, got {found.ids.max():,}; "
                    "tokenise with the same tokenizer."
                )
            at = np.searchsorted(found.rows, rows)
            lengths = found.cuts[at + 1] - found.cuts[at]
            for start, length in zip(found.cuts[at].tolist(), lengths.tolist(), strict=True):
                binary.write(found.ids[start : start + length].astype(dtype).tobytes())
            sizes.append(lengths)
    lengths = np.concatenate(sizes)
    pointers = np.concatenate([[0], np.cumsum(lengths)[:-1]]) * dtype.itemsize
    with prefix.with_suffix(".idx").open("wb") as index:
        index.write(MAGIC + struct.pack("<QBQQ", VERSION, TYPES[dtype], len(lengths), len(lengths) + 1))
        index.write(lengths.astype(np.int32).tobytes() + pointers.astype(np.int64).tobytes())
        index.write(np.arange(len(lengths) + 1, dtype=np.int64).tobytes())
    return len(lengths), int(lengths.sum())
