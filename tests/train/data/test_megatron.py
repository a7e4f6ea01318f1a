"""The Megatron export, read back by its own layout."""

import struct
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from raypipe.train.data.index import every_row_once, read_listing
from raypipe.train.data.megatron import write_megatron
from raypipe.train.data.order import DataOrder
from tests.train.synthetic import write_tokens


def read_back(prefix):
    """As Megatron's _IndexReader does: documents as lists of ids."""
    index = prefix.with_suffix(".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, n, n_documents = struct.unpack("<QBQQ", index[9:34])
    assert (version, n_documents) == (1, n + 1)
    sizes = np.frombuffer(index, np.int32, n, 34)
    pointers = np.frombuffer(index, np.int64, n, 34 + 4 * n)
    assert np.frombuffer(index, np.int64, n + 1, 34 + 12 * n).tolist() == list(range(n + 1))
    dtype = {8: np.uint16, 4: np.int32}[code]
    content = prefix.with_suffix(".bin").read_bytes()
    return [np.frombuffer(content, dtype, size, start).tolist() for size, start in zip(sizes, pointers, strict=True)]


def test_the_export_is_the_mix_of_one_epoch(tmp_path):
    tokens = write_tokens(tmp_path / "tokens", n_files=3)
    listing = read_listing(tokens)
    mix = replace(every_row_once(listing), weight=np.where(np.arange(len(listing)) % 3, 1, 2).astype(np.float32))
    stream = DataOrder(mix, seed=1, length=8, window_tokens=200)
    n, n_tokens = write_megatron(tokens, stream, prefix=tmp_path / "mix", vocabulary_size=64)
    documents = read_back(tmp_path / "mix")
    assert (len(documents), sum(map(len, documents))) == (n, n_tokens)
    expected = Counter()
    for name, border in zip(listing.files, listing.borders, strict=False):
        import pyarrow.parquet as pq

        for at, ids in enumerate(pq.read_table(f"{tmp_path}/tokens/{name}")["tokens"].to_pylist()):
            if ids:
                expected[tuple(ids)] += int(mix.weight[border + at])
    assert Counter(map(tuple, documents)) == expected


def test_a_large_vocabulary_is_written_as_int32(tmp_path):
    tokens = write_tokens(tmp_path / "tokens", n_files=1)
    stream = DataOrder(every_row_once(read_listing(tokens)), seed=0, length=8)
    write_megatron(tokens, stream, prefix=tmp_path / "mix", vocabulary_size=100_000)
    assert (tmp_path / "mix.idx").read_bytes()[17] == 4
    assert max(map(max, read_back(tmp_path / "mix"))) < 64


def test_ids_beyond_the_vocabulary_are_refused_and_not_cut_to_16_bits(tmp_path):
    tokens = write_tokens(tmp_path / "tokens", n_files=1)
    stream = DataOrder(every_row_once(read_listing(tokens)), seed=3, length=2)
    with pytest.raises(ValueError, match="tokens must be ids below the vocabulary's 2, got"):
        write_megatron(tokens, stream, prefix=tmp_path / "mix", vocabulary_size=2)
