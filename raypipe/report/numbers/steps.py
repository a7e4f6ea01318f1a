"""The steps of a training stage, from its metrics files: one array a quantity, and held-out losses by domain.

Memory: some 100 bytes a step, and as much for each domain of a step with a held-out measurement.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raypipe.report.numbers.read import Json, RunFiles
from raypipe.storage.folder import Folder

QUANTITIES = (
    "step", "tokens", "loss", "heldout_loss", "learning_rate", "gradient_norm", "tokens_per_s", "mfu", "step_s",
    "data_wait_s", "memory_bytes",
)  # fmt: skip
"""What is read of a step, by its name in the file."""


@dataclass(frozen=True)
class Steps:
    """What a training stage wrote of its steps; empty before its first checkpoint."""

    columns: dict[str, np.ndarray]
    """`QUANTITIES`, each [s] by rising step, float64; NaN where a step doesn't say."""
    heldout_by_domain: dict[str, np.ndarray]
    """Of each domain its measurements [m, 2]: step, loss."""

    def __getitem__(self, name: str) -> np.ndarray:
        """A quantity of every step [s]."""
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["step"])

    def known(self, name: str) -> np.ndarray:
        """The finite values of a quantity."""
        values = self[name]
        return np.asarray(values[np.isfinite(values)])


def read_steps(files: RunFiles, stage: str) -> Steps:
    """All steps of a training stage.

    Raises
    ------
    ValueError
        If a line isn't a JSON object with a step.
    """
    rows: list[np.ndarray] = []
    by_domain: dict[str, list[tuple[float, float]]] = {}
    for name in files.metrics.get(stage, []):
        lines = list(_lines(files.folder, name))
        rows.append(np.array([[_number(line.get(quantity)) for quantity in QUANTITIES] for line in lines]))
        for line in lines:
            for domain, loss in line.get("heldout_by_domain", {}).items():
                by_domain.setdefault(domain, []).append((float(line["step"]), _number(loss)))
    every = np.concatenate([row for row in rows if len(row)] or [np.zeros((0, len(QUANTITIES)))])
    return Steps(
        columns=dict(zip(QUANTITIES, every.T, strict=True)),
        heldout_by_domain={domain: np.array(measured) for domain, measured in by_domain.items()},
    )


def _lines(folder: Folder, name: str) -> Iterator[Json]:
    for number, content in enumerate(folder.read(name).splitlines(), start=1):
        try:
            line = json.loads(content)
        except ValueError as error:
            raise ValueError(f"{folder.uri}/{name}, line {number}, isn't JSON ({error}).") from error
        if not isinstance(line, dict) or "step" not in line:
            raise ValueError(f"{folder.uri}/{name}, line {number}, must be a JSON object with a step.")
        yield line


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
