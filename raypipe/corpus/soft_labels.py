"""Class probabilities of rows by their id, as a finished stage of labels holds them: what a classifier learns from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raypipe.columns import ID
from raypipe.corpus.open_run import OpenRun
from raypipe.runs.card import finished_card
from raypipe.storage.folder import Folder


@dataclass(frozen=True)
class SoftLabels:
    """Of the rows of a corpus that could be read."""

    classes: tuple[str, ...]
    probability: Mapping[str, np.ndarray]
    """[k] of each id; of a row that nobody voted on the prior."""
    covered: frozenset[str]
    """Ids of rows that somebody voted on."""


def read_soft_labels(uri: str) -> SoftLabels:
    """Those of a stage of `label_corpus`, given as RUN/labels.

    Raises
    ------
    FileNotFoundError
        If there is no such stage.
    ValueError
        If it isn't finished, isn't one of labels, or two of its rows have the same id.
    """
    run, _, stage = uri.rstrip("/").rpartition("/")
    identity = finished_card(Folder(run), stage)["identity"]
    if identity.get("op") != "labels":
        raise ValueError(f"soft_labels must be a stage of label_corpus, RUN/labels, got {uri!r} without classes.")
    names = ("probabilities", "covered")
    table = OpenRun(Folder(run)).table(*(f"{stage}.{name}" for name in names))
    table = table.filter(table[f"{stage}.covered"].is_valid())
    ids, (found, covered) = table[ID].to_pylist(), (table[f"{stage}.{name}"].to_pylist() for name in names)
    probability = {name: np.array(one, np.float64) for name, one in zip(ids, found, strict=True)}
    if len(probability) < len(ids):
        raise ValueError(f"rows of {uri} must have ids of their own, got {len(ids):,} rows of {len(probability):,}.")
    spoken = frozenset(name for name, is_covered in zip(ids, covered, strict=True) if is_covered)
    return SoftLabels(tuple(identity["classes"]), probability, spoken)
