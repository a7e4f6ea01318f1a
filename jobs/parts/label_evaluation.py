"""What `finetune --learn class` and `number` end with: held-out rows answered by the model and by simple rivals."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.arrays import word_counts
from raypipe.contracts.rows import Document
from raypipe.evaluate import baselines
from raypipe.evaluate.comparison import compare
from raypipe.evaluate.errors import compare_errors
from raypipe.models.weights import load_weights
from raypipe.runs.signals import Stopped
from raypipe.storage.folder import Folder
from raypipe.train.data.examples import ExampleSets

from .answering import here, start_device, where_it_trained
from .choices import EVALUATION, INTERVAL
from .finetuning import FinetuneSettings

OURS = "finetuned"
CHOSEN = "the weights were chosen by the {by} on these rows (--take best): the model's figures are a little too good"
Json = dict[str, Any]


@dataclass(frozen=True)
class LabelEvaluation:
    """The finetuned model on the held-out rows, beside what word counts and the labels alone can do."""

    config: FinetuneSettings
    examples: ExampleSets
    folder: Folder
    """Of the stage."""
    stopping: threading.Event

    def finish(self) -> None:
        """Write evaluation.json and print its table; without held-out rows say so."""
        examples = self.examples
        if not examples.heldout:
            print("no held-out rows to evaluate on; raise --heldout-share.")
            return
        taking = self.config.taking
        known: Json = {
            "learn": self.config.examples.learn, "model": self.config.model, "labels": examples.labels,
            "n_train": len(examples.train), "left_out": examples.left_out.to_json(), "interval": INTERVAL,
            "note": CHOSEN.format(by=taking.best_by.replace("_", " ")) if taking.take == "best" else None,
        }  # fmt: skip
        outputs = self._outputs()
        found = self._classes(outputs) if self.config.examples.learn == "class" else self._numbers(outputs[:, 0])
        self.folder.write(EVALUATION, json.dumps({**known, **found}, indent=1).encode())
        print(table_of(found, note=known["note"]))

    def _outputs(self) -> np.ndarray:
        """The head's outputs for the held-out rows [n, k]."""
        training, documents = self.config.training, self.examples.heldout
        arguments = (self.folder / "model", training.precision.dtype, training.n_threads, documents)
        return where_it_trained(training, head_of_export, *arguments, stopping=self.stopping)

    def _classes(self, outputs: np.ndarray) -> Json:
        y_train, y = (_labels(of).astype(int) for of in (self.examples.train, self.examples.heldout))
        texts, asked = self.examples.train_texts, self.examples.heldout_texts
        given = {
            "majority": baselines.majority(y_train, len(y)),
            "tf-idf": word_counts.tf_idf_classes(texts, y_train, asked),
            OURS: outputs.argmax(axis=1),
        }
        right = {name: answers == y for name, answers in given.items()}
        names = [self.examples.labels[at] for at in y]
        return compare(right, task=["held-out"] * len(y), case=asked, label=names, ours=OURS)

    def _numbers(self, outputs: np.ndarray) -> Json:
        y_train, y = _labels(self.examples.train), _labels(self.examples.heldout)
        ridge = word_counts.tf_idf_numbers(self.examples.train_texts, y_train, self.examples.heldout_texts)
        given = {"mean": baselines.mean(y_train, len(y)), "tf-idf": ridge, OURS: outputs}
        return compare_errors(given, y, ours=OURS)


def head_of_export(
    model: Folder, dtype: str, n_threads: int | None, documents: Sequence[Document],
    is_stopping: Callable[[], bool] = lambda: False,
) -> np.ndarray:  # fmt: skip
    """The outputs of an exported model's head for documents: [n, k] float64."""
    from pathlib import Path

    from transformers import AutoModelForSequenceClassification

    from raypipe.train.loop.predict import head_outputs
    from raypipe.train.tasks.classification import SequenceModel

    device = start_device(n_threads)
    with here(model) as local:
        classifier = load_weights(
            AutoModelForSequenceClassification, Path(local), ref=local, dtype=dtype, device=device
        )
    network, found = SequenceModel(classifier), []
    for start in range(0, len(documents), BATCH):
        if is_stopping():
            raise Stopped("stopped in the evaluation; the same command goes on.")
        found.append(head_outputs(network, documents[start : start + BATCH], batch=4))
    return np.concatenate(found)


BATCH = 64
"""Documents between two looks at whether to stop."""


def table_of(found: Json, *, note: str | None) -> str:
    """The evaluation for a terminal: a line a contender, and what is shown by it."""
    ours, is_class = found["ours"], "tasks" in found
    of = found["mean_over_tasks"] if is_class else found
    metric, scale = ("accuracy", 100.0) if is_class else ("mean_absolute_error", 1.0)
    title = f"{'accuracy, %' if is_class else 'mean absolute error'} of {of['n']:,} held-out rows; {INTERVAL}."
    lines = [f"{name:<12} {_estimate(of[metric][name], scale)}{_share(found, name)}" for name in found["contenders"]]
    for name, difference in of[f"{ours} minus"].items():
        shown = "" if difference["shown"] else ": no difference shown"
        lines.append(f"{ours} minus {name}: {_estimate(difference, scale, sign='+')}{shown}")
    return "\n".join([title, *lines, *([f"Note: {note}."] if note else [])])


def _estimate(of: dict[str, float], scale: float, *, sign: str = "") -> str:
    mean, low, high = (scale * of[name] for name in ("mean", "low", "high"))
    form = f"{sign}.1f" if scale == 100 else f"{sign}.4g"
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def _share(found: Json, name: str) -> str:
    share = found.get("explained", {}).get(name)
    return "" if share is None else f"   variance explained {_estimate(share, 1.0)}"


def _labels(documents: Sequence[Document]) -> np.ndarray:
    return np.array([document.label for document in documents], np.float64)
