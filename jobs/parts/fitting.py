"""A classifier from labelled rows to a fitted folder: what it is fitted on, and what is stored."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raypipe.contracts.estimator import Estimator, taken_by
from raypipe.corpus.kinds import kind_of
from raypipe.corpus.soft_labels import read_soft_labels
from raypipe.fitting.bags import BagSample
from raypipe.fitting.beside import LearnsBeside, fit_beside, takes_environments, takes_unlabelled
from raypipe.fitting.inputs import Input, input_for, is_of_sets
from raypipe.fitting.sample import ColumnSample
from raypipe.fitting.soft import fit_soft, takes_weights
from raypipe.models.fitted import save_fitted
from raypipe.report.escape import terminal_text
from raypipe.runs.life import Life
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .classifiers import gathered, read_labels, read_unlabelled_ids
from .cleaned import CLEANED, LEFT_OUT, whole_rows, write_apart
from .common import CorpusSettings
from .idle import names_of, refuse_idle
from .labelled import LabelledRows, read_labelled, read_softly_labelled

if TYPE_CHECKING:
    from raypipe.evaluate.soft_cross_validation import SoftRows

LABELLED, EVALUATION, IN_COLOUR = "labelled", "evaluation.json", "in_colour.html"
LEARNT = "functions.yaml"
NOT_OF_STAGES = "not among the rows of the stages"
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FitSettings(CorpusSettings):
    """What a classifier is fitted and judged on."""

    corpus: tuple[str, ...] = ()
    """Only with columns of stages: the corpus that they were made of, as `score_corpus` takes it."""
    rows: tuple[str, ...]
    """Parquet or JSON files of labelled rows. Repeatable."""
    label_column: str = "label"
    """Of the class; rows without one are passed over, except by methods that learn from them too. Where it is a list,
    a row has all of its labels (category-queries, one-vs-all)."""
    environment_column: str | None = None
    """Where each labelled row is from, for methods that want to know (bonsai)."""
    soft_labels: str | None = None
    """RUN/labels of label_corpus: the class probabilities of the rows' ids are learned, and labels only judge."""
    columns: tuple[str, ...] = ("text",)
    """What is learned from: one column of texts; columns of numbers, categories or vectors; or STAGE.COLUMN of the run,
    one of vectors or of lists of vectors, or several of numbers, for rows with `id` and `label`. Repeatable."""
    unknown: str | None = None
    """A label that is no class: its rows are not learned, and must be told from the others by familiarity."""
    folds: int = 5
    """Of the cross-validation."""
    calibrate: bool = False
    """Bring the probabilities to the temperature that rows out of folds ask for, in the cross-validation too."""
    dimensions: int = 256
    """Of the vectors that texts become, at most."""
    seed: int = 0
    """Of the folds, the resamples, and of a method that draws, unless --set random_state gives another."""


@dataclass(frozen=True)
class FittingRows:
    """Rows that can be used, and how they become X."""

    known: pa.Table
    unknown: pa.Table
    y: np.ndarray
    """[n] int, of the known rows."""
    classes: list[str]
    columns: tuple[str, ...]
    feed: Input
    """Fitted on the known rows."""
    left_out: dict[str, int]
    identity: Json
    soft: "SoftRows | None" = None
    """Of the rows, where their probabilities are learned."""
    beside: LearnsBeside = LearnsBeside()
    """What else is learned from, where the method takes it."""
    ids: list[str] | None = None
    """Of the known rows, where their columns are of stages."""
    files: tuple[str, ...] = ()
    """That the labels, and where they aren't of stages the rows, were read from."""


def check(config: FitSettings) -> None:
    """Refuse settings that would have no effect, before anything is written.

    Raises
    ------
    ValueError
        With the setting.
    """
    of_stages = [name for name in config.columns if is_of_stage(name)]
    if of_stages and len(of_stages) < len(config.columns):
        raise ValueError(f"columns must be of the rows or of stages, not of both, got {', '.join(config.columns)}.")
    if of_stages and not config.corpus:
        raise ValueError(f"columns of stages need --corpus, which the stages were made of; got {of_stages[0]!r}.")
    if of_stages and config.environment_column is not None:
        raise ValueError("environment_column is of the rows; with columns of stages it would have no effect.")
    if of_stages and (len(config.rows) > 1 or config.label_column != "label"):
        raise ValueError("with columns of stages, rows must be one file with `id` and `label`.")
    if not of_stages:
        refuse_idle(config, names_of(CorpusSettings), because="without columns of stages")
    if config.soft_labels is not None and (of_stages or config.unknown is not None):
        raise ValueError("soft_labels are learned from columns of the rows, without --unknown; leave those out.")
    if config.soft_labels is not None and config.calibrate:
        raise ValueError("calibrate needs labels that are known, not --soft-labels; leave one of them out.")
    if config.dimensions < 1:
        raise ValueError(f"dimensions must be at least 1, got {config.dimensions}.")


def is_of_stage(name: str) -> bool:
    """Whether a column is STAGE.COLUMN."""
    return "." in name


def read_rows(config: FitSettings, estimator: Estimator, life: Life, labelled: str) -> FittingRows:
    """The labelled rows, of their files or of the run's stages, which are gathered into the stage `labelled`.

    Raises
    ------
    ValueError
        If there aren't two classes, or no row of the unknown one.
    """
    if config.soft_labels is not None:
        return _soft_rows(config, config.soft_labels, estimator)
    kind = type(estimator)
    if config.environment_column is not None and not takes_environments(kind):
        raise ValueError(f"environment_column is for a method that takes environments, got {kind.__name__}.")
    of_stages = is_of_stage(config.columns[0])
    found = _of_stages(config, life, labelled, kind) if of_stages else _of_files(config, kind)
    is_unknown = np.array([label == config.unknown for label in found.labels], bool)
    if config.unknown is not None and not is_unknown.any():
        raise ValueError(f"unknown must be a label of the rows, got {config.unknown!r}; they have {found.classes}.")
    columns = tuple(found.table.column_names)
    feed = input_for(taken_by(type(estimator)), found.table, columns, n_dimensions=config.dimensions)
    LearnsBeside(found.unlabelled).feeding(feed, found.table.filter(pa.array(~is_unknown)))
    usable, left_out = _usable(feed, found.table)
    left_out += found.left_out
    unlabelled = found.unlabelled
    if unlabelled is not None:
        kept, more_left_out = _usable(feed, unlabelled)
        unlabelled, left_out = unlabelled.filter(pa.array(kept)), left_out + more_left_out
    labels = np.array(found.labels, object)[usable & ~is_unknown]
    classes = [name for name in found.classes if name in set(labels)]
    if len(classes) < 2:
        raise ValueError(f"there must be rows of two classes that can be used, got {len(labels):,} of {classes}.")
    y = np.array([classes.index(label) for label in labels])
    _warn(y, classes)
    known, unknown = (found.table.filter(pa.array(usable & one)) for one in (~is_unknown, is_unknown))
    environments = None if found.environments is None else np.array(found.environments)[usable & ~is_unknown]
    beside = LearnsBeside(unlabelled if unlabelled is not None and len(unlabelled) else None, environments)
    if config.calibrate and (beside.unlabelled is not None or beside.environments is not None):
        raise ValueError(
            f"calibrate fits on labelled rows alone, and {kind.__name__} learns from more; leave --calibrate out."
        )
    ids = None if found.ids is None else np.array(found.ids, object)[usable & ~is_unknown].tolist()
    return FittingRows(
        known, unknown, y, classes, columns, feed, dict(left_out), _identity(config, found), beside=beside, ids=ids,
        files=config.rows,
    )  # fmt: skip


def _usable(feed: Input, table: pa.Table) -> tuple[np.ndarray, Counter]:
    """Which rows can be used [n], and why how many others can't."""
    reasons = np.array([reason or "" for reason in feed.encode(table)[1]], str)
    return reasons == "", Counter(reasons[reasons != ""].tolist())


def _soft_rows(config: FitSettings, uri: str, estimator: Estimator) -> FittingRows:
    """The rows of the files that the stage has probabilities for."""
    if not takes_weights(type(estimator)):
        raise ValueError(
            f"soft_labels need a method whose fit takes weights, got {type(estimator).__name__}; take "
            "--method logistic-regression."
        )
    from raypipe.evaluate.soft_cross_validation import SoftRows

    softly = read_soft_labels(uri)
    found = read_softly_labelled(config.rows, softly, label_column=config.label_column, columns=config.columns)
    feed = input_for(taken_by(type(estimator)), found.table, config.columns, n_dimensions=config.dimensions)
    covered = np.array([name in softly.covered for name in found.ids], bool)
    if not covered.any():
        raise ValueError(f"{uri} must have voted on a row of {', '.join(config.rows)}, but covers none of them.")
    feed.fit(found.table.filter(pa.array(covered)))
    usable, left_out = _usable(feed, found.table)
    left_out += found.left_out
    table = found.table.filter(pa.array(usable))
    truth = np.array([softly.classes.index(label) if label else -1 for label in found.truth])[usable]
    soft = np.array([softly.probability[name] for name in found.ids])[usable]
    rows = SoftRows(table, soft, covered[usable], truth)
    digest = sha256(soft.tobytes() + json.dumps([list(softly.classes), found.ids]).encode()).hexdigest()
    identity = _identity(config, LabelledRows(found.table, [one or "" for one in found.truth], left_out))
    return FittingRows(
        table, table.slice(0, 0), truth, list(softly.classes), config.columns, feed, dict(left_out),
        identity | {"soft_labels_sha256": digest}, rows,
    )  # fmt: skip


def _of_files(config: FitSettings, kind: type[Estimator]) -> LabelledRows:
    return read_labelled(
        config.rows, label_column=config.label_column, columns=config.columns, keep_unlabelled=takes_unlabelled(kind),
        environment_column=config.environment_column,
    )  # fmt: skip


def _of_stages(config: FitSettings, life: Life, labelled: str, kind: type[Estimator]) -> LabelledRows:
    """Columns of stages, gathered on workers for the ids that have a label, and where they are taken for others."""
    labels = read_labels(config.rows[0])
    others = read_unlabelled_ids(config.rows[0]) - labels.keys() if takes_unlabelled(kind) else frozenset[str]()
    table, row_ids = columns_of_stages(config, life, labelled, frozenset(labels) | others)
    left_out = Counter({NOT_OF_STAGES: len(labels) + len(others) - len(row_ids)})
    is_labelled = np.array([name in labels for name in row_ids], bool)
    unlabelled = table.filter(pa.array(~is_labelled)) if not is_labelled.all() else None
    ids = [name for name in row_ids if name in labels]
    own = [labels[name] for name in ids]
    return LabelledRows(table.filter(pa.array(is_labelled)), own, +left_out, unlabelled, ids=ids)


def columns_of_stages(
    config: FitSettings, life: Life, labelled: str, ids: frozenset[str]
) -> tuple[pa.Table, Sequence[str]]:
    """Columns of the rows of these ids that the stages have, gathered on workers, and the ids in their order.

    Raises
    ------
    ValueError
        If they are neither one column of vectors or sets of these nor several of numbers.
    """
    from raypipe.run.inputs import resolve, sizes_of, stages_of

    stages, corpus = stages_of(config.columns), config.to_corpus()
    resolve(life.run, config.columns, stages=stages)
    sizes = sizes_of(life.run, stages[0])
    read = identity_of(corpus, sizes)
    if len(config.columns) == 1 and is_of_sets(kind_of(life.run, config.columns[0])):
        asked = BagSample(config.columns[0], len(ids), ids=ids)  # all of them: no row is drawn
        bags = gathered(asked, life, labelled, corpus, sizes, read)
        lists = pa.array([list(bag) for bag in bags.bags], pa.list_(pa.list_(pa.float32())))
        return pa.table({config.columns[0]: lists}), bags.row_ids
    sample = gathered(ColumnSample(config.columns, len(ids), 0, ids), life, labelled, corpus, sizes, read)
    if len(config.columns) == 1:
        vectors = pa.array(list(sample.X), pa.list_(pa.float64()))
        return pa.table({config.columns[0]: vectors}), sample.row_ids.tolist()
    if sample.X.shape[1] != len(config.columns):
        raise ValueError(f"columns of stages must be one of vectors or several of numbers, got {config.columns}.")
    return pa.table(dict(zip(config.columns, sample.X.T, strict=True))), sample.row_ids.tolist()


def _warn(y: np.ndarray, classes: list[str]) -> None:
    """Of classes that are right in no fold."""
    alone = [classes[at] for at in np.flatnonzero(np.bincount(y, minlength=len(classes)) == 1)]
    if alone:
        print(
            f"warning: {len(alone)} classes have one row, and so are never right in cross-validation: "
            f"{terminal_text(', '.join(alone[:5]))}",
            file=sys.stderr,
        )


def _identity(config: FitSettings, found: LabelledRows) -> Json:
    rows = sha256(as_bytes(found.table) + json.dumps(found.labels).encode()).hexdigest()
    about = {"rows_sha256": rows, "columns": list(config.columns), "unknown": config.unknown, "folds": config.folds}
    if found.unlabelled is not None:
        about["unlabelled_sha256"] = sha256(as_bytes(found.unlabelled)).hexdigest()
    if found.environments is not None:
        about["environments_sha256"] = sha256(json.dumps(found.environments).encode()).hexdigest()
    return about | ({"calibrate": True} if config.calibrate else {})


def as_bytes(table: pa.Table) -> bytes:
    """A table as Arrow's stream, to be hashed."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def fit_and_save(
    estimator: Estimator, rows: FittingRows, found: Json, folder: Folder, *, calibration_seed: int | None = None
) -> None:
    """Fit on all rows; the fitted folder with what feeds it, and what the cross-validation has found.

    Of methods that can show what they have learned, that too; with a `calibration_seed` the temperature.
    """
    from raypipe.fitting.calibration import fit_temperature  # loads scikit-learn

    classes = np.array(rows.classes)
    if calibration_seed is not None:
        X, _ = rows.feed.encode(rows.known)
        found["temperature"] = fit_temperature(estimator, X, classes[rows.y], seed=calibration_seed)
    if rows.soft is None:
        X, _ = rows.feed.encode(rows.known)
        fitted = fit_beside(estimator, rows.feed, X, classes[rows.y], rows.beside)
        _write_what_it_shows(fitted, rows, X, classes[rows.y], folder)
    else:
        covered = rows.soft.covered
        X, _ = rows.feed.encode(rows.known.filter(pa.array(covered)))
        fitted = fit_soft(estimator, X, rows.soft.soft[covered], classes)
    if hasattr(fitted, "advice"):
        found["advice"] = fitted.advice()
    folder.write(EVALUATION, json.dumps(found, indent=1).encode())
    save_fitted(fitted, folder, feed=rows.feed, temperature=found.get("temperature"))


def forget_what_was_shown(folder: Folder) -> None:
    """Remove what an earlier method showed of what it had learned; of this one it would be a lie."""
    for name in (IN_COLOUR, LEARNT, CLEANED, LEFT_OUT):
        folder.delete(name)


def _write_what_it_shows(fitted: Estimator, rows: FittingRows, X: np.ndarray, y: np.ndarray, folder: Folder) -> None:
    """Of SS3 a page of some of the texts in colour; of rules on columns, these as labelling functions.

    Of RCAL the rows that it learned from and those that it left out: their columns, or where these are of stages all
    that the files have of their ids.
    """
    from raypipe.classify.fold_se import FoldSE  # loads scikit-learn
    from raypipe.classify.rcal import RCAL
    from raypipe.classify.ss3 import SS3
    from raypipe.classify.tsetlin import TsetlinMachine
    from raypipe.fitting.words import WordCounts

    from .colours import page_in_colour
    from .learnt_rules import of_fold_se, of_tsetlin

    columns = rows.feed.feature_names
    if isinstance(fitted, SS3) and isinstance(rows.feed, WordCounts):
        texts = rows.known[rows.columns[0]].to_pylist()
        folder.write(IN_COLOUR, page_in_colour(fitted, rows.feed, texts, y.tolist()).encode())
    elif isinstance(fitted, FoldSE) and columns == list(rows.columns):
        folder.write(LEARNT, of_fold_se(fitted, columns).encode())
    elif isinstance(fitted, TsetlinMachine) and columns == list(rows.columns):
        folder.write(LEARNT, of_tsetlin(fitted, columns, X, y).encode())
    elif isinstance(fitted, RCAL):
        own = rows.known.to_pylist() if rows.ids is None else whole_rows(rows.files, rows.ids)
        write_apart(folder, own, y.tolist(), fitted.is_left_out_)
