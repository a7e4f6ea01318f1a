"""The rows of tasks: five kinds, one way of being asked."""

import subprocess
import sys

import numpy as np

from raypipe.contracts.rows import Bag, Document, Pair, Row, Vector, Votes

ROWS: list[Row] = [
    Document(np.arange(3, dtype=np.int32), "d", "p", 1),
    Pair(np.arange(3, dtype=np.int32), np.arange(4, dtype=np.int32), "d", "p", 1, (np.arange(2, dtype=np.int32),)),
    Bag(np.zeros((5, 2), np.float32), "d", "p", 1),
    Vector(np.zeros(7, np.float32), "d", "p", 1),
    Votes(np.array([-1, 0], np.int8), "d", "p", 1),
]


def test_every_kind_says_where_it_is_from_and_how_large_it_is():
    assert [(row.domain, row.path, row.row) for row in ROWS] == [("d", "p", 1)] * 5
    assert [row.size for row in ROWS] == [3, 9, 5, 1, 1]


def test_the_contracts_of_training_need_no_torch():
    said = "import sys, raypipe.contracts.rows, raypipe.contracts.task; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True).stdout == "False\n"
