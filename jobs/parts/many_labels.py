"""A classifier of rows that have a list of labels each: read, cross-validated, fitted on all rows and stored."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raypipe.contracts.estimator import Estimator, taken_by
from raypipe.fitting.inputs import Input, input_for
from raypipe.fitting.many_labels import MOST, fit_many, takes_many
from raypipe.models.fitted import save_fitted
from raypipe.report.escape import terminal_text
from raypipe.runs.life import Life
from raypipe.settings.estimators import made_with
from raypipe.storage.folder import Folder

from .fitting import EVALUATION, NOT_OF_STAGES, FitSettings, as_bytes, columns_of_stages, is_of_stage
from .idle import refuse_idle
from .label_lists import ListedRows, read_listed

if TYPE_CHECKING:
    from raypipe.evaluate.many_labels_cross_validation import ManyRows

RIVAL = "one-vs-all"
SAID = ("micro_f1", "macro_f1", "instance_f1", "precision_at_1", "precision_at_5", "weighted_precision_at_5",
        "rare_recall")  # fmt: skip
Json = dict[str, Any]


@dataclass(frozen=True)
class FittingLists:
    """Rows with lists of labels that can be used, and how they become X."""

    rows: "ManyRows"
    feed: Input
    """Fitted on them."""
    left_out: dict[str, int]
    identity: Json


def check_many(method: str, kind: type[Estimator], config: FitSettings) -> None:
    """Refuse what lists of labels can't be used with.

    Raises
    ------
    ValueError
        With the setting.
    """
    if not takes_many(kind):
        raise ValueError(
            f"{config.label_column} of {config.rows[0]} is a list, and method {method} takes one label a row; take "
            "category-queries or one-vs-all, or give each row one label."
        )
    refuse_idle(
        config, ["unknown", "calibrate", "soft_labels", "environment_column"], because="on rows with lists of labels"
    )


def read_many(config: FitSettings, estimator: Estimator, life: Life, labelled: str) -> FittingLists:
    """The rows that have a list of labels, of their files or of the run's stages.

    Raises
    ------
    ValueError
        If fewer than two labels are left on rows that can be used.
    """
    from raypipe.evaluate.many_labels_cross_validation import ManyRows

    if is_of_stage(config.columns[0]):
        found = _of_stages(config, life, labelled)
    else:
        found = read_listed(config.rows, label_column=config.label_column, columns=config.columns)
    feed = input_for(
        taken_by(type(estimator)), found.table, tuple(found.table.column_names), n_dimensions=config.dimensions
    )
    feed.fit(found.table)
    reasons = np.array([reason or "" for reason in feed.encode(found.table)[1]], str)
    lists = [of for of, reason in zip(found.lists, reasons.tolist(), strict=True) if not reason]
    usable = ListedRows(found.table.filter(pa.array(reasons == "")), lists)
    if len(usable.labels) < 2:
        raise ValueError(
            f"there must be two labels on rows that can be used, got {len(lists):,} rows of {usable.labels}."
        )
    _warn(usable)
    left_out = found.left_out + Counter(reasons[reasons != ""].tolist())
    digest = sha256(as_bytes(found.table) + json.dumps(found.lists).encode()).hexdigest()
    identity = {"rows_sha256": digest, "columns": list(config.columns), "folds": config.folds, "lists": True,
                "labels_sha256": sha256(json.dumps(usable.labels).encode()).hexdigest()}  # fmt: skip
    return FittingLists(ManyRows(usable.table, lists, usable.labels), feed, dict(left_out), identity)


def _of_stages(config: FitSettings, life: Life, labelled: str) -> ListedRows:
    """Columns of stages for the ids that have a list."""
    own = read_listed(config.rows, label_column=config.label_column, columns=("id",))
    ids = [str(one) if one is not None else "" for one in own.table["id"].to_pylist()]
    twice = [name for name, n in Counter(ids).items() if n > 1 or not name]
    if twice:
        raise ValueError(f"each row of {config.rows[0]} with labels must have an id of its own, got {twice[0]!r}.")
    labels = dict(zip(ids, own.lists, strict=True))
    table, row_ids = columns_of_stages(config, life, labelled, frozenset(labels))
    left_out = own.left_out + Counter({NOT_OF_STAGES: len(labels) - len(row_ids)})
    return ListedRows(table, [labels[name] for name in row_ids], left_out)


def _warn(rows: ListedRows) -> None:
    """Of labels that no fold can both learn and judge."""
    counts = Counter(label for of in rows.lists for label in of)
    alone = sorted(label for label, n in counts.items() if n == 1)
    if alone:
        print(
            f"warning: {len(alone):,} of {len(counts):,} labels have one row, and so are never right in "
            f"cross-validation: {terminal_text(', '.join(alone[:5]))}",
            file=sys.stderr,
        )


def judge_and_fit(method: str, estimator: Estimator, own: FittingLists, config: FitSettings, folder: Folder) -> Json:
    """Cross-validate beside rivals, fit on all rows, and store both; what was found."""
    from raypipe.classify.methods import method_class
    from raypipe.evaluate.many_labels import compare_many
    from raypipe.evaluate.many_labels_cross_validation import cross_validated_many, folds_of_lists

    rows = own.rows
    fold = folds_of_lists(rows, n_folds=config.folds, seed=config.seed)
    contenders = {method: estimator} | ({} if method == RIVAL else {RIVAL: made_with(method_class(RIVAL), ())})
    feed = input_for(
        taken_by(type(estimator)), rows.table, tuple(rows.table.column_names), n_dimensions=config.dimensions
    )
    answers, thresholds = cross_validated_many(contenders, feed, rows, fold)
    found = compare_many(answers, rows.truth, rows.labels, ours=method, seed=config.seed)
    found |= {
        "folds": config.folds, "seed": config.seed, "left_out": own.left_out, "threshold": thresholds[method],
        "most": MOST, "labels": rows.labels,
    }  # fmt: skip
    fitted = fit_many(estimator, own.feed, own.feed.encode(rows.table)[0], rows.lists)
    folder.write(EVALUATION, json.dumps(found, indent=1).encode())
    save_fitted(fitted, folder, feed=own.feed, threshold=found["threshold"])  # type: ignore[arg-type]
    return found


def lines_of_many(found: Json) -> list[str]:
    """The measures of each contender, for the terminal."""
    about = f"{found['n']:,} rows of {found['n_labels']:,} labels, {found['labels_a_row']:.1f} a row"
    lines = [f"{about}, in {found['folds']} folds; {found['n_rare']:,} labels are rare; 95 % intervals"]
    for name, of in found["contenders"].items():
        said = [f"{one.replace('_at_', '@').replace('_', ' ')} {of[one]['mean']:.3f} "
                f"({of[one]['low']:.3f} to {of[one]['high']:.3f})" for one in SAID]  # fmt: skip
        lines.append(f"{name}: {', '.join(said)}")
    ours = found["contenders"][found["ours"]]
    lines.append(
        f"a label is said from a probability of {found['threshold']:.3g} on; {ours['reach']['mean']:.1%} of the true "
        f"ones are among the {found['most']} likeliest of their rows"
    )
    return [*lines, *(f"left out: {n:,} rows, {terminal_text(why)}" for why, n in found["left_out"].items())]
