"""Rows whose label a classifier took for wrong, and the others, as files that finetune and fit_classifier read."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from raypipe.corpus.records import read_records
from raypipe.storage.folder import Folder

from .fitting import FittingRows

CLEANED, LEFT_OUT = "cleaned.jsonl", "left_out.jsonl"


def write_cleaned(folder: Folder, rows: FittingRows, is_left_out: np.ndarray, files: Sequence[str]) -> None:
    """The known rows and their labels, each in one of two files, by whether it is left out [n].

    A row is its columns that were learned from, or where these are of stages all that `files` have of its id.
    """
    own = rows.known.to_pylist() if rows.ids is None else _whole(files, rows.ids)
    labelled = [{**row, "label": rows.classes[at]} for row, at in zip(own, rows.y.tolist(), strict=True)]
    for name, wanted in ((CLEANED, ~is_left_out), (LEFT_OUT, is_left_out)):
        lines = [json.dumps(labelled[at], ensure_ascii=False, default=str) + "\n" for at in np.flatnonzero(wanted)]
        folder.write(name, "".join(lines).encode())


def _whole(files: Sequence[str], ids: Sequence[str]) -> list[dict[str, Any]]:
    found = {str(record.values.get("id")): record.values for record in read_records(files) if record.reason is None}
    return [dict(found[name]) for name in ids]
