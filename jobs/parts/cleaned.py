"""Rows whose label a classifier took for wrong, and the others, as files that finetune and fit_classifier read."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from raypipe.corpus.records import read_records
from raypipe.storage.folder import Folder

CLEANED, LEFT_OUT = "cleaned.jsonl", "left_out.jsonl"
Row = dict[str, Any]


def whole_rows(files: Sequence[str], ids: Sequence[str]) -> list[Row]:
    """All that the files have of the rows with these ids, in their order."""
    found = {str(record.values.get("id")): record.values for record in read_records(files) if record.reason is None}
    return [dict(found[name]) for name in ids]


def write_apart(folder: Folder, rows: Sequence[Row], labels: Sequence[str], is_left_out: np.ndarray) -> None:
    """The rows with their labels, each in one of two files, by whether it is left out [n]."""
    labelled = [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]
    for name, wanted in ((CLEANED, ~is_left_out), (LEFT_OUT, is_left_out)):
        lines = [json.dumps(labelled[at], ensure_ascii=False, default=str) + "\n" for at in np.flatnonzero(wanted)]
        folder.write(name, "".join(lines).encode())
