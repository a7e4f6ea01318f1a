"""What is written of a step."""

import numpy as np

from raypipe.storage.folder import Folder
from raypipe.train.data.loader import Batch
from raypipe.train.loop.checkpoint import State
from raypipe.train.loop.journal import Journal, read_journal
from raypipe.train.loop.meter import Meter
from raypipe.train.loop.sums import Sums


def test_a_step_that_beats_the_measured_peak_raises_it_instead_of_an_mfu_above_1(tmp_path):
    journal, work = Journal(Folder(str(tmp_path))), iter([1e15, 1.0])
    meter = Meter(journal, flops=lambda batch: next(work), peak_flops=1e-6)
    batch, sums = Batch([[]], 1, 1, b"", list), Sums(("all",))
    sums.losses, sums.counts = np.ones(1), np.ones(1)
    meter.begin(State(), 2, "tokens")
    for step in (1, 2):
        meter.step(State(step), batch, sums, heldout=None, factor=1.0, gradient_norm=1.0)
    meter.close_segment()
    first, second = read_journal(Folder(str(tmp_path)))
    assert first["mfu"] == 1
    assert 0 < second["mfu"] < 1e-3
    assert first["peak_flops"] == second["peak_flops"] > 1e-6
