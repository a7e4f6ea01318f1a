"""One training of weak-to-strong learning: its documents, its model, and the predictions it is made for."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Task
from raypipe.losses.soft_labels import Confidence
from raypipe.models.causal import open_model
from raypipe.models.presets import SHAPES, config_of
from raypipe.run.training import Training
from raypipe.runs import card as cards
from raypipe.settings.identity import identity_of
from raypipe.settings.nested import changed
from raypipe.storage.folder import Folder
from raypipe.train.data.binary import BinaryRows
from raypipe.train.data.loader import BatchLayout, DataLoader, ExampleLoader
from raypipe.train.data.splits import Halves

from ..training import lineage
from .arms import Arm
from .rows import documents_of, halves_of, load_rows, soft_labels, write_predictions
from .settings import WeakToStrongSettings

if TYPE_CHECKING:
    from raypipe.contracts.task import Task
    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.checkpoint import State
    from raypipe.train.tasks.classification import SequenceModel
    from raypipe.train.tasks.soft_labels import SoftLabelHead

LABELS = ("no", "yes")


def settings_of(config: WeakToStrongSettings, arm: Arm, seed: int) -> WeakToStrongSettings:
    """The job's settings as this training has them: its own seed, and a weak model's rate without adapters."""
    own = changed(config, seed=seed + 10_000 * arm.draw)
    if arm.role == "strong":
        return own
    rate = config.training.optimiser.learning_rate if config.weak_learning_rate is None else config.weak_learning_rate
    return changed(own, learning_rate=rate, lora_rank=0, probe=False)


def plan_arm(config: WeakToStrongSettings, arm: Arm, seed: int, folder: Folder) -> Training:
    """All that workers need."""
    own, rows = settings_of(config, arm, seed), load_rows(config).rows
    halves = halves_of(config, rows, seed)
    n = len(halves.second if arm.teachers else halves.first)
    epochs = config.epochs if arm.role == "strong" or config.weak_epochs is None else config.weak_epochs
    steps = max(1, round(epochs * n / config.batch_examples))
    identity = _identity(config, own, arm, seed, rows, steps)
    return Training(
        folder=folder,
        make=partial(make, config, arm, seed, steps),
        export=partial(export, config, arm, seed, steps, folder, identity),
        plan=own.training.plan(steps),
        n_sequences=config.batch_examples,
        micro=config.micro_batch,
        identity=identity,
        inputs=(*config.rows.data, config.weak, config.strong),
        **own.training.engine_settings(),
    )


def make(
    config: WeakToStrongSettings, arm: Arm, seed: int, steps: int, workers: "Workers", layout: BatchLayout
) -> "tuple[Task[Document], DataLoader[Document]]":
    """The task and its rows, on a worker."""
    task = task_of(config, arm, seed, steps)
    halves = halves_of(config, load_rows(config).rows, seed)
    learnt = halves.second if arm.teachers else halves.first
    documents = documents_of(config, arm, seed, learnt, labels=soft_labels(config, arm, seed, halves))
    return task, ExampleLoader(documents, [], layout, settings_of(config, arm, seed).training.seed, task.count)


def task_of(config: WeakToStrongSettings, arm: Arm, seed: int, steps: int) -> "SoftLabelHead":
    """The model under the task; the same settings give the same new weights, of the head and of adapters."""
    import torch

    from raypipe.train.tasks.soft_labels import SoftLabelHead

    own = settings_of(config, arm, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(own.training.seed)
        classifier = classifier_of(config, arm)
        own.training.precision.apply(classifier)
        return SoftLabelHead(own.lora.apply(classifier, head="score"), arm.loss, n_steps=steps)


def classifier_of(config: WeakToStrongSettings, arm: Arm) -> Any:
    """An arm's model with a new head of two classes: from weights, or a weak one from scratch."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from raypipe.train.tasks.classification import names_of, new_classifier

    ref = config.weak if arm.role == "weak" else config.strong
    if arm.role == "weak" and ref in SHAPES:
        vocabulary = load_rows(config).vocabularies["weak"]
        length = config.length + config.transcript_tokens
        shape = config_of(ref, vocabulary_size=vocabulary.size, length=length, end=vocabulary.end)
        shape.update(names_of(LABELS))
        return AutoModelForSequenceClassification.from_config(shape, dtype=torch.float32)
    is_cut = arm.role == "weak" and config.weak_layers is not None
    changes = {"num_hidden_layers": config.weak_layers} if is_cut else {}
    return new_classifier(open_model(ref), LABELS, **changes)


def export(
    config: WeakToStrongSettings, arm: Arm, seed: int, steps: int, folder: Folder, identity: dict[str, Any],
    weights: dict[str, Any], state: "State",
) -> None:  # fmt: skip
    """The predictions that an arm is trained for; the model too, where it is asked for."""
    from raypipe.train.loop.predict import class_probabilities
    from raypipe.train.weights.export import export_model, set_weights

    module = cast("SequenceModel", task_of(config, arm, seed, steps).module)
    set_weights(module, weights)
    rows = load_rows(config).rows
    halves = halves_of(config, rows, seed)
    numbers = _predicted(arm, halves)
    documents = documents_of(config, arm, seed, numbers)
    probability = class_probabilities(module, documents, batch=config.micro_batch)[:, 1]
    write_predictions(folder, numbers, probability)
    if config.save_models:
        export_model(
            module.classifier,
            load_rows(config).vocabularies[arm.role].tokenizer,
            folder=folder / "model",
            lineage=lineage(settings_of(config, arm, seed), identity, state, run=Folder(config.run.output)),
            title=f"{arm.name} of weak-to-strong learning, seed {seed}",
        )


def _predicted(arm: Arm, halves: Halves) -> np.ndarray:
    """What an arm is asked for: a weak model labels the second half; without a debate, models are tested."""
    if arm.role == "strong":
        return halves.test
    return halves.second if arm.transcript is not None else np.concatenate([halves.second, halves.test])


def _identity(
    config: WeakToStrongSettings, own: WeakToStrongSettings, arm: Arm, seed: int, rows: BinaryRows, steps: int
) -> dict[str, Any]:
    """Whatever can change a prediction."""
    ref = config.weak if arm.role == "weak" else config.strong
    found: dict[str, Any] = {
        "arm": arm.name,
        "split_seed": seed,
        "loss": {"kind": type(arm.loss).__name__, **asdict(arm.loss)},
        "rows_sha256": rows.sha256,
        "test_share": own.rows.test_share,
        "tokenizer_sha256": load_rows(config).vocabularies[arm.role].sha256,
        "model": ref if ref in SHAPES and arm.role == "weak" else open_model(ref).sha256(),
        "layers": config.weak_layers if arm.role == "weak" else None,
        "n_steps": steps,
        **own.training.identity(),
    }
    if arm.transcript is not None:
        card = cards.read_card(config.debates) or {"identity": None}
        found |= {"debate": card["identity"], "transcript_tokens": config.transcript_tokens}
    # a quantile over what goes through the model together, and who draws for which rows, follow from these
    if isinstance(arm.loss, Confidence) or config.lora.lora_dropout > 0:
        found |= {"micro_batch": config.micro_batch, "workers": config.training.workers}
    return identity_of(own, **found)
