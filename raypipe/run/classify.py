"""A fitted classifier over the rows of a corpus: label, probability, a score, and what else the estimator can say."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import DOMAIN, REASON, TEXT
from raypipe.contracts.estimator import Certified, Estimator, Explains, Familiar, State
from raypipe.contracts.row_op import ReaderOp
from raypipe.contracts.score import Score
from raypipe.describe.texts import words_in
from raypipe.fitting.calibration import tempered
from raypipe.fitting.inputs import Input, open_input
from raypipe.models.fitted import fitted_identity, open_fitted, read_input, read_temperature
from raypipe.runs.card import Json
from raypipe.storage.folder import Folder

BATCH_ROWS = 1024
CLASSIFIED, UNFAMILIAR = "classified as ", "unfamiliar"
"""Reasons of rows that aren't to come through; the first is followed by the label."""


Stamp = tuple[tuple[str, int, int], ...]
BEYOND = "label_beyond"
"""Of a label that may have no labelled row."""
QUALITY = "quality"
"""The probability of the good labels."""
SIZES = pa.schema([(DOMAIN, pa.string()), ("n_bytes", pa.int64()), ("n_words", pa.int64())])
"""What a selection by the score asks of a row beside it; words are counted as `describe` counts them."""


class Reach(Protocol):
    """Answers labels that a classifier has no class for, from the probabilities of those that it has."""

    def identity(self) -> Json:
        """What the answers follow from beside the probabilities."""
        ...

    def check(self, classes: list[str]) -> None:
        """Refuse classes that it can't place."""
        ...

    def labels_of(self, probability: np.ndarray, classes: list[str]) -> list[str]:
        """The label of each row of probabilities [n, k] of these classes [k]."""
        ...


@lru_cache(maxsize=1)
def opened(kind: type[Estimator], fitted: Folder, stamp: Stamp) -> tuple[Estimator, Input, float]:
    """The estimator of a folder, what feeds it, its temperature, once a process, until the folder's files are others.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder holds no estimator of this class, or doesn't say what feeds it.
    """
    return open_fitted(kind, fitted), open_input(*stored_input(fitted)), read_temperature(fitted)


def stored_input(fitted: Folder) -> tuple[Json, State]:
    """Settings and state of what feeds the estimator of a folder.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder holds no estimator, or doesn't say what feeds it.
    """
    stored = read_input(fitted)
    if stored is None:
        raise ValueError(
            f"{fitted.uri} doesn't say how columns become its input; fit it by fit_classifier, or use predict."
        )
    return stored


def stamp_of(folder: Folder) -> Stamp:
    """What a folder holds, as a listing says: other files, another stamp."""
    return tuple(sorted((entry.path, entry.size_bytes, entry.mtime_ns) for entry in folder.files()))


@dataclass
class Classify(ReaderOp):
    """Takes columns of the corpus or of stages through an estimator and the input that was stored with it."""

    estimator: type[Estimator]
    """The class that the folder must hold."""
    fitted: Folder
    columns: tuple[str, ...]
    """What stands for the columns that it was fitted on, in their order: `text`, or `stage.column` each."""

    keep: tuple[str, ...] = ()
    """Labels whose rows come through; the others are skipped rows. (): all."""
    min_familiarity: float | None = None
    """Less familiar rows are skipped rows too."""
    good: tuple[str, ...] = ()
    """Labels whose probabilities add up to the score `quality`; rows have domain and size beside it. (): none."""
    reach: Reach | None = None
    """What answers labels beyond the classifier's, in a column of their own."""
    _seen: Stamp = field(default=(), init=False, repr=False, compare=False)
    """Of the folder when it was last identified: what workers open, without a listing for every part."""

    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = BATCH_ROWS
    more: ClassVar[tuple[tuple[str, str, pa.DataType], ...]] = (
        ("score_samples", "familiarity", pa.float32()), ("explain", "explanation", pa.string()),
        ("radius", "radius", pa.float32()),
    )  # fmt: skip
    """Method of an estimator, and the column that it fills."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns; for a score also what rows are counted by."""
        return tuple(dict.fromkeys((*self.columns, *((TEXT, DOMAIN, "n_bytes") if self.good else ()))))

    @property
    def scores(self) -> tuple[Score, ...]:
        """What the stage's card says of the score."""
        label = f"probability of {' or '.join(self.good)}"
        return (Score(QUALITY, label, "", higher_is_better=True),) if self.good else ()

    @property
    def adds(self) -> pa.Schema:
        """Label, its probability; familiarity, explanation and radius where the estimator has them; what is asked."""
        found = [(name, kind) for method, name, kind in self.more if hasattr(self.estimator, method)]
        found += [(BEYOND, pa.string())] if self.reach is not None else []
        found += [(QUALITY, pa.float32())] if self.good else []
        return pa.schema([("label", pa.string()), ("probability", pa.float32()), *found, *(SIZES if self.good else ())])

    def identity(self) -> Json:
        """What the results follow from beside the columns: settings and content of the fitted folder.

        Raises
        ------
        FileNotFoundError, ValueError
            If the folder holds no estimator of this class with an input of as many columns, or one that doesn't know
            the labels to keep or has no familiarity to be above.
        """
        self._seen = stamp_of(self.fitted)
        model, feed, _ = opened(self.estimator, self.fitted, self._seen)
        labels = [str(label) for label in model.classes_]  # type: ignore[attr-defined]
        for name, chosen_labels in (("keep", self.keep), ("good", self.good)):
            if unknown := [label for label in chosen_labels if label not in labels]:
                known = ", ".join(labels)
                raise ValueError(f"{name} must be labels of the classifier, got {unknown[0]!r}; it has {known}.")
        if self.good and len(set(self.good)) == len(labels):
            raise ValueError(
                f"good must leave a label out, got all of {', '.join(labels)}: every row has probability 1."
            )
        if self.min_familiarity is not None and "familiarity" not in self.adds.names:
            raise ValueError(f"min_familiarity needs a classifier that knows it, got a {self.estimator.__name__}.")
        if len(feed.columns) != len(self.columns):
            raise ValueError(
                f"columns must stand for the {len(feed.columns)} that the classifier was fitted on "
                f"({', '.join(feed.columns)}), got {', '.join(self.columns)}."
            )
        chosen: Json = {"columns": list(self.columns), "keep": list(self.keep)}
        chosen["min_familiarity"] = self.min_familiarity
        if self.good:
            chosen["good"] = sorted(set(self.good))
        if "radius" in self.adds.names:
            chosen["radius"] = True
        if self.reach is not None:
            self.reach.check(labels)
            chosen["reach"] = self.reach.identity()
        return {"op": "classify", "version": self.version, **chosen} | fitted_identity(self.fitted)

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work, on a CPU: what is added + reason, same rows and order; what isn't kept has its label too."""
        reasons = np.array(table[REASON].to_pylist(), object)
        rows = np.flatnonzero(pc.is_null(table[REASON]).to_numpy())
        model, feed, temperature = opened(self.estimator, self.fitted, self._seen or stamp_of(self.fitted))
        parts = [self._says.empty_table()]
        for start in range(0, len(rows), BATCH_ROWS):
            chunk = rows[start : start + BATCH_ROWS]
            part, reasons[chunk] = self._answers(table.take(chunk), model, feed, temperature)
            parts.append(part)
        place = np.full(len(table), -1)
        place[rows] = np.arange(len(rows))
        found = pa.concat_tables(parts).take(pa.array(place, mask=place < 0))
        if self.good:
            for name in (DOMAIN, "n_bytes"):  # of every row, skipped or not
                found = found.append_column(SIZES.field(name), table[name].cast(SIZES.field(name).type))
            found = found.append_column("n_words", _n_words(table))
        return found.append_column(REASON, pa.array(reasons.tolist(), pa.string()))

    @property
    def _says(self) -> pa.Schema:
        """What is added, but for the sizes."""
        return pa.schema([one for one in self.adds if one.name not in SIZES.names])

    def _answers(
        self, table: pa.Table, model: Estimator, feed: Input, temperature: float
    ) -> tuple[pa.Table, list[str | None]]:
        """The columns of some rows, null where the input can't use one, and why rows aren't to come through."""
        X, reasons = feed.encode(table.select(list(self.columns)).rename_columns(list(feed.columns)))
        found, wanted = self._labels(model, X, temperature), self._says.names
        if isinstance(model, Familiar) and "familiarity" in wanted:
            found["familiarity"] = model.score_samples(X)
        if isinstance(model, Explains) and "explanation" in wanted:
            found["explanation"] = model.explain(X, feed.feature_names)
        if isinstance(model, Certified) and "radius" in wanted:
            found["radius"] = model.radius(X)
        is_usable = np.array([reason is None for reason in reasons], bool)
        place = pa.array(np.arange(len(table)), mask=~is_usable)
        columns = [_column(found[one.name], one.type).take(place) for one in self._says]
        reasons = [reason or self._why_not(found, at) for at, reason in enumerate(reasons)]
        return pa.table(columns, schema=self._says), reasons

    def _labels(self, model: Estimator, X: np.ndarray, temperature: float) -> dict[str, Any]:
        """What follows from the probabilities of rows X: columns by name."""
        raw = model.predict_proba(X)
        probability = tempered(raw, temperature)
        classes = [str(label) for label in model.classes_]  # type: ignore[attr-defined]
        found: dict[str, Any] = {
            "label": [classes[at] for at in raw.argmax(axis=1)],  # as `predict` says, by contract: not asked twice
            "probability": probability.max(axis=1),
        }
        if self.good:
            found[QUALITY] = probability[:, [at for at, name in enumerate(classes) if name in self.good]].sum(axis=1)
        if self.reach is not None:
            found[BEYOND] = self.reach.labels_of(probability, classes)
        return found

    def _why_not(self, found: dict[str, Any], at: int) -> str | None:
        """Why a row isn't to come through; None if it is."""
        if self.keep and found["label"][at] not in self.keep:
            return f"{CLASSIFIED}{found['label'][at]}"
        return self._of_familiarity(found, at)

    def _of_familiarity(self, found: dict[str, Any], at: int) -> str | None:
        if self.min_familiarity is not None and found["familiarity"][at] < self.min_familiarity:
            return UNFAMILIAR
        return None


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values).cast(kind)


def _n_words(table: pa.Table) -> pa.Array:
    """Words of each row's text; null where there is none."""
    texts = table[TEXT].to_pylist()
    n = words_in(text or "" for text in texts).n
    return pa.array(n, pa.int64(), mask=np.array([text is None for text in texts], bool))
