"""What the runner asks of an Op, and the resources it runs with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa

Report = Callable[[int, int, float], None]
"""Called after each batch: rows done, cost done (in the Op's unit), seconds of that batch."""

TOKENS, ROWS = "tokens", "rows"
"""Units of cost."""


class Op(Protocol):
    """Rows to columns. Its fields are its settings; it is sent to workers before `setup`, so it must be small.

    Rows that a table gives a `reason` are in no batch: they come out as skipped rows.
    """

    version: ClassVar[int]
    unit: ClassVar[str]
    """What its cost is counted in, as a plural: TOKENS, ROWS."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that `prepare` gets beside id, text_hash and reason: of columns.SOURCE, or `stage.column`."""
        ...

    @property
    def padding(self) -> int:
        """Positions computed so far, by this copy, that held no token."""
        ...

    @property
    def adds(self) -> pa.Schema:
        """Its output columns; one that `prepare` already gives is copied from there, the rest come from batches."""
        ...

    def prepare(self, table: pa.Table) -> pa.Table:
        """Ahead of the device, on a CPU: what it reads -> whatever batches need + reason, same rows and order."""
        ...

    def setup(self, *, n_threads: int) -> None:
        """Load what is heavy, once, on the worker."""
        ...

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        """Rows that go through the device together: a pure function of the table and the settings."""
        ...

    def cost(self, prepared: pa.Table) -> int:
        """How much work these rows are, in `unit`."""
        ...

    def limits(self) -> Mapping[str, int]:
        """Settings that bound what is in one batch, with their values: halved where batches don't fit into memory."""
        ...

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The computed columns of one batch: same rows and order. MemoryError asks for a smaller batch.

        A column `reason`, where there is one, is null for rows that came through; the others are skipped rows.
        """
        ...


@dataclass(frozen=True)
class Pool:
    """The workers of a stage and what each reserves."""

    min_workers: int = 1
    max_workers: int = 1
    num_gpus: float = 0.0
    num_cpus: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises
        ------
        ValueError
            If they leave no worker, or a worker nothing.
        """
        if not 1 <= self.min_workers <= self.max_workers:
            raise ValueError(
                f"min_workers must be between 1 and max_workers ({self.max_workers}), got {self.min_workers}."
            )
        if self.num_gpus < 0 or self.num_cpus <= 0:
            raise ValueError(f"a worker needs some CPU, got {self.num_cpus} CPUs and {self.num_gpus} GPUs.")

    @property
    def n_threads(self) -> int:
        """Threads for a worker's own arithmetic: what Ray reserves for it."""
        return max(1, int(self.num_cpus))
