"""What a classifier is fitted on, rows of a run that have a label in a file; and a corpus taken through one."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from raypipe.contracts.estimator import Estimator
from raypipe.contracts.score import KEY
from raypipe.corpus import Corpus
from raypipe.corpus.records import read_records
from raypipe.fitting.bags import BagSample
from raypipe.fitting.sample import ColumnSample
from raypipe.run.inputs import Sizes, stages_of
from raypipe.runs.life import Life
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder
from raypipe.train.data.labels import class_name, renamed_truths

from .common import RunSettings, row_workers
from .labelled import one_label

if TYPE_CHECKING:
    from raypipe.classify.label_reach import LabelReach
    from raypipe.run.classify import Classify
    from raypipe.run.predict import Predict

Json = dict[str, Any]
E = TypeVar("E", bound=Estimator)
S = TypeVar("S", ColumnSample, BagSample)


def read_labels(uri: str) -> dict[str, str]:
    """The label of each id in a file of rows with both; rows without a label are passed over.

    Raises
    ------
    FileNotFoundError
        If the file isn't there.
    ValueError
        If a row has no id, an id has two labels, or there are no two labels in all.
    """
    found: dict[str, str] = {}
    for record in read_records((uri,)):
        if record.reason is not None or (label := one_label(record, "label")) is None:
            continue
        if (name := record.values.get("id")) is None:
            raise ValueError(f"{record.path}, row {record.row}: a row with a label must have an id too.")
        if found.setdefault(str(name), label) != label:
            raise ValueError(f"{record.path}, row {record.row}: id {name!r} has two labels.")
    truths = renamed_truths(found.values())
    if len(set(found.values())) < 2:
        raise ValueError(f"{uri} must hold rows with `id` and `label` of two labels at least, got {len(found)} rows.")
    return {name: truths.get(label, label) for name, label in found.items()}


def read_unlabelled_ids(uri: str) -> frozenset[str]:
    """The ids of a file's rows that have none of the labels.

    Raises
    ------
    FileNotFoundError
        If the file isn't there.
    """
    values = (record.values for record in read_records((uri,)) if record.reason is None)
    return frozenset(str(of["id"]) for of in values if of.get("id") is not None and class_name(of.get("label")) is None)


def read_reach(uri: str) -> "LabelReach":
    """The labels of a file of rows with `label` and `parent`, apart by steps.

    Raises
    ------
    FileNotFoundError
        If the file isn't there.
    ValueError
        If a row lacks one of the two, or there is no row.
    """
    from raypipe.classify.label_reach import LabelReach

    edges = []
    for record in read_records((uri,)):
        if record.reason is not None:
            continue
        both = [class_name(record.values.get(name)) for name in ("label", "parent")]
        if both[0] is None or both[1] is None:
            raise ValueError(f"{record.path}, row {record.row}: an edge must have `label` and `parent`, got {both}.")
        edges.append((both[0], both[1]))
    return LabelReach(tuple(edges))


def gathered(asked: S, life: Life, stage: str, corpus: Corpus, sizes: Sizes, identity: dict[str, Any]) -> S:
    """The columns of the rows that are asked for, gathered on workers; what is there and unchanged isn't again."""
    from raypipe.run.gather import GatherStage  # loads Ray

    ids = sha256(json.dumps(sorted(asked.ids or ())).encode()).hexdigest()
    return GatherStage(
        life.run, stage, asked, corpus, sizes, stages_of(asked.reads), identity | {"ids_sha256": ids}, life.stopping,
        life.is_owner,
    )()  # fmt: skip


def seeded(estimator: E, seed: int) -> E:
    """The estimator with this seed, where it draws and was given none."""
    settings = estimator.get_params()
    if "random_state" in settings and settings["random_state"] is None:
        return type(estimator)(**{**settings, "random_state": seed})
    return estimator


def fit(estimator: Estimator, sample: ColumnSample, labels: Mapping[str, str], folder: Folder) -> None:
    """Fit an estimator on the rows of a sample, and put it into a folder.

    Raises
    ------
    ValueError
        If no row of the sample has a label, or all have the same.
    """
    from raypipe.models.fitted import save_fitted

    y = np.array([labels[name] for name in sample.row_ids])
    if len(set(y.tolist())) < 2:
        raise ValueError(
            f"of the {len(labels):,} labelled ids the run must have rows of two labels with these columns, got "
            f"{len(y):,} rows{f', all {str(y[0])!r}' if len(y) else ''}; see that the ids are those of the stage."
        )
    save_fitted(estimator.fit(sample.X, y), folder)


def classify(
    op: "Predict | Classify", life: Life, stage: str, corpus: Corpus, sizes: Sizes, stages: tuple[str, ...], *,
    run: RunSettings, max_workers: int | None,
) -> Json:  # fmt: skip
    """Take the rows through a fitted classifier, what is classified already aside; the stage's card."""
    from raypipe.run.stage import Annotate  # loads Ray

    scores = [score.as_json() for score in getattr(op, "scores", ())]
    card = Annotate(
        life.run, stage, op, corpus, row_workers(max_workers), sizes, identity_of(corpus, sizes, **op.identity()),
        stopping=life.stopping, is_owner=life.is_owner, retry_failed=run.retry == "failed", stages=stages, redo=True,
        measured={KEY: scores} if scores else {},
    )()  # fmt: skip
    counts = card["counts"]
    print(f"{counts['scored']:,} of {counts['rows']:,} rows have a class in {life.run.uri}/{stage}")
    return card
