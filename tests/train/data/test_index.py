"""The listing of a tokens folder with as many domains as there are web sites."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from raypipe import columns
from raypipe.contracts.rows import Document
from raypipe.contracts.task import RowLosses
from raypipe.storage.folder import Folder
from raypipe.train.data.index import code_type, every_row_once, read_listing
from raypipe.train.data.loader import BatchLayout
from raypipe.train.data.order import DataOrder
from raypipe.train.data.token_loader import TokenLoader
from raypipe.train.data.tokenise import TOKENS
from raypipe.train.loop.sums import Sums

N = (1 << 15) + 5


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """A document of two tokens for each of more domains than 16 bits number, the last domains first."""
    folder = tmp_path_factory.mktemp("tokens")
    schema = pa.schema([*columns.KEYS, *TOKENS, *columns.OUTCOME])
    numbers = np.arange(N)[::-1]
    known = {
        "id": pa.array([str(n) for n in numbers]),
        "text_hash": pa.array(numbers),
        "domain": pa.array([f"site{n:06d}" for n in numbers]),
        "tokens": pa.array([[1, 2]] * N),
        "n_tokens": pa.array(np.full(N, 2)),
        "status": pa.array(["scored"] * N),
    }
    table = pa.table([known.get(f.name, pa.nulls(N)).cast(f.type) for f in schema], schema=schema)
    pq.write_table(table.replace_schema_metadata({"raypipe.source_path": "a.jsonl"}), folder / "a-0.parquet")
    return Folder(str(folder))


def test_each_of_more_domains_than_16_bits_number_keeps_its_name(tokens):
    listing = read_listing(tokens)
    assert listing.domains == tuple(f"site{n:06d}" for n in range(N))
    assert (listing.domain == np.arange(N)[::-1]).all()
    loader = TokenLoader(tokens, DataOrder(every_row_once(listing), seed=0, length=4), BatchLayout(0, 1, 2, 1))
    documents = [document for micro in loader.batch(0).micro for document in micro]
    assert [document.domain for document in documents] == [f"site{N - 1 - document.row:06d}" for document in documents]


def test_few_domains_take_two_bytes_a_row_and_keep_the_hash_of_their_listing():
    assert [np.dtype(code_type(n)).itemsize for n in (0, 1, 1 << 15, (1 << 15) + 1)] == [2, 2, 2, 4]


def test_losses_are_summed_by_domain_whatever_their_order():
    sums = Sums(("a", "b", "c"))
    documents = [Document(np.ones(3, np.int32), domain, "x", 0) for domain in ("c", "a", "c")]
    owners = torch.tensor([0, 0, 1, 2])
    sums.add(RowLosses(torch.tensor([1.0, 3.0, 5.0, 8.0]), owners), documents)
    sums.add(RowLosses(torch.tensor([7.0]), torch.tensor([0])), documents[1:2])
    assert sums.by_domain() == {"a": 6.0, "c": 4.0}
    assert sums.mean == 24 / 5
