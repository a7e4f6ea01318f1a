"""What finetuning is made of: the model that learns examples, how they are dealt into steps, and its export."""

import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Task
from raypipe.corpus.sources import split_source
from raypipe.losses.soft_labels import CrossEntropy
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.run.training import Training
from raypipe.settings.identity import BY_CONTENT, RUNNING, counts_as, identity_of
from raypipe.storage.folder import Folder
from raypipe.train.choices.prepare import Prepared
from raypipe.train.data.examples import ExampleSets
from raypipe.train.data.loader import BatchLayout, DataLoader, ExampleLoader
from raypipe.train.weights.lora import Lora

from .common import RunSettings
from .examples import ExampleSettings, digest_of, lines_of
from .idle import names_of, refuse_idle
from .learning import CROSS_ENTROPY, Learning, finish_pruning
from .training import TrainSettings, lineage

if TYPE_CHECKING:
    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.checkpoint import State

FIGURES = {
    "answers": (),
    "choices": (),
    "embedding": ("recall@1",),
    "class": ("accuracy", "auroc"),
    "number": ("mean_absolute_error",),
}
"""What each task measures of held-out rows beside the loss."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """How examples are dealt into steps, and how many."""

    batch_examples: int = 32
    """Examples of a step, all workers together."""
    micro_batch: int = field(default=4, metadata=RUNNING)
    """Examples that go through the model together, packed."""
    steps: int | None = field(default=None, metadata=BY_CONTENT)
    """Steps; or give --epochs."""
    epochs: float | None = field(default=None, metadata=BY_CONTENT)
    """Passes over the examples."""

    def check(self, *, workers: int) -> None:
        """Refuse numbers that are no way of dealing examples out.

        Raises
        ------
        ValueError
            With the setting.
        """
        BatchLayout(0, workers, self.batch_examples, self.micro_batch)
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either --steps or --epochs.")
        if (self.steps is not None and self.steps < 1) or (self.epochs is not None and self.epochs <= 0):
            raise ValueError(f"steps must be at least 1, epochs above 0, got {self.steps or self.epochs}.")

    def n_steps(self, n_examples: int) -> int:
        """Steps, from either way of giving them."""
        return self.steps or max(1, round((self.epochs or 0) * n_examples / self.batch_examples))


def _unless_loss(best_by: str) -> dict[str, str]:
    return {} if best_by == "loss" else {"best_by": best_by}  # by it checkpoints are kept


@dataclass(frozen=True, kw_only=True)
class Taking:
    """Which weights are exported."""

    take: Literal["last", "best"] = field(default="last", metadata=RUNNING)
    """Which weights are exported: the last step's, or those of the best held-out step (see --heldout-every)."""
    best_by: Literal["loss", "accuracy", "auroc", "mean_absolute_error", "recall@1"] = field(
        default="loss", metadata=counts_as(_unless_loss)
    )
    """What --take best goes by: the lowest loss or error, the highest accuracy, area under the ROC curve or recall."""

    def check(self, *, learn: str) -> None:
        """Refuse a figure that isn't measured, or isn't looked at.

        Raises
        ------
        ValueError
            With those that are measured.
        """
        if self.take == "last":
            refuse_idle(self, ["best_by"], because="without --take best")
        if self.best_by not in (known := ("loss", *FIGURES[learn])):
            raise ValueError(f"best_by must be one of {', '.join(known)} with --learn {learn}, got {self.best_by}.")

    def check_rows(self, examples: ExampleSets) -> None:
        """Refuse to choose by rows that aren't there, or by a figure that they don't have.

        Raises
        ------
        ValueError
            With the setting.
        """
        if self.take == "best" and not examples.heldout:
            raise ValueError("--take best needs held-out examples to choose by, got none; raise --heldout-share.")
        if self.best_by == "auroc" and len(examples.labels) != 2:
            raise ValueError(f"--best-by auroc needs two classes, got {len(examples.labels)}; take accuracy or loss.")


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Settings of finetune."""

    model: str = field(default="sample", metadata=BY_CONTENT)
    """What to start from: folder, org/name[@revision], GGUF file, or `sample`."""
    examples: ExampleSettings
    batches: Batches = Batches()
    taking: Taking = Taking()
    lora: Lora = Lora()
    training: TrainSettings = field(default=TrainSettings(), metadata=BY_CONTENT)  # see its `identity`
    learning: Learning = Learning()
    run: RunSettings = field(metadata=RUNNING)

    def check(self) -> None:
        """Refuse settings that do nothing for what is learnt or are out of range, and models that can't learn it.

        Raises
        ------
        ValueError
            With their names.
        """
        self.training.check()
        shape = self._check_model()
        self.examples.check()
        self._check_lora()
        if self.examples.learn == "embedding":
            refuse_idle(self.learning, because="with --learn embedding")
            self.examples.embedding.batching.check(batch=self.batches.batch_examples)
        else:
            self._check_learning(shape)
        self.batches.check(workers=self.training.workers)
        self.taking.check(learn=self.examples.learn)
        if self.examples.soft_labels is not None and self.taking.best_by == "auroc":
            raise ValueError("--best-by auroc isn't measured with --soft-labels; take accuracy or loss.")
        if self.examples.heldout_share == 0 and self.taking.take == "last":
            refuse_idle(self.training, ["heldout_every"], because="with --heldout-share 0")

    def _check_model(self) -> Any:
        """Its configuration."""
        model = open_model(self.model)
        if self.examples.learn == "embedding":
            self.examples.embedding.check_model(self.model, length=self.examples.length)
            refuse_idle(self.training.precision, ["compile"], because="with --learn embedding")
        else:
            model.check(has_new_head=self.examples.learn in ("class", "number"))
            check_architecture(model.config(), max_tokens=self.examples.length, setting="length")
        return model.config()

    def _check_lora(self) -> None:
        if not 0 <= self.lora.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be in [0, 1), got {self.lora.lora_dropout}.")
        if self.lora.lora_rank < 0:
            raise ValueError(f"lora_rank must be at least 0, got {self.lora.lora_rank}.")
        if self.lora.lora_rank == 0:
            idle = [name for name in names_of(Lora) if name != "lora_rank"]
            refuse_idle(self.lora, idle, because="without --lora-rank")

    def _check_learning(self, shape: Any) -> None:
        learning, learn, rank = self.learning, self.examples.learn, self.lora.lora_rank
        vocabulary, is_text = open_vocabulary(self.model), learn in ("answers", "choices")
        n_outputs, n_inputs = int(shape.vocab_size), int(shape.hidden_size)
        learning.check(self.training, n_outputs=n_outputs, n_inputs=n_inputs, vocabulary=vocabulary)
        loss = learning.layer.output_loss
        if learning.pruning.prune != "none" and rank > 0:
            raise ValueError("--prune needs --lora-rank 0: adapters that are merged in fill what was pruned.")
        if loss == "factored" and (rank > 0 or learn != "answers"):
            raise ValueError("--output-loss factored needs --learn answers and --lora-rank 0.")
        if loss != CROSS_ENTROPY and (learn in ("choices", "number") or self.examples.soft_labels is not None):
            raise ValueError(f"--output-loss {loss} needs classes or answers; choices and soft labels are likelihoods.")
        if learning.distilling.teacher is not None and (rank > 0 or not is_text):
            raise ValueError("--teacher needs --learn answers or choices, and --lora-rank 0.")

    def identity(self, examples: ExampleSets, choices: Prepared | None) -> dict[str, Any]:
        """What can change a weight, for the card."""
        found: dict[str, Any] = {
            "model_sha256": open_model(self.model).sha256(),
            "examples_sha256": digest_of(examples.train + examples.heldout),
            "n_train": len(examples.train),
            "labels": examples.labels,
            "n_steps": self.batches.n_steps(len(examples.train)),
        }
        if self.lora.lora_dropout > 0:  # who draws for which rows follows from these
            found |= {"workers": self.training.workers, "micro_batch": self.batches.micro_batch}
        if choices is not None:
            found |= {"label_ids": choices.labels.ids.tolist(), **identity_of(self.examples.choices)}
        return identity_of(self, **found, **self.training.identity(), **self.learning.identity())


def plan_finetuning(
    config: FinetuneSettings, folder: Folder, examples: ExampleSets, choices: Prepared | None = None
) -> Training:
    """All that workers need; whatever is wrong with the settings or the data ends here."""
    print("\n".join(lines_of(examples)), file=sys.stderr, end="\n" if lines_of(examples) else "")
    config.taking.check_rows(examples)
    identity = config.identity(examples, choices)
    return Training(
        folder=folder,
        make=partial(make, config),
        export=partial(export, config, folder, identity),
        plan=config.training.plan(config.batches.n_steps(len(examples.train))),
        n_sequences=config.batches.batch_examples,
        micro=config.batches.micro_batch,
        identity=identity,
        take=config.taking.take,
        best_by=config.taking.best_by,
        inputs=(*(split_source(uri)[1] for uri in config.examples.data), config.model, *config.learning.inputs),
        **config.training.engine_settings(),
    )


def make(
    config: FinetuneSettings, workers: "Workers", layout: BatchLayout
) -> "tuple[Task[Document], DataLoader[Document]]":
    """The task and its rows, on a worker."""
    seed, order = config.training.seed, None
    if config.examples.learn == "choices":
        found = config.examples.load_choices(model=config.model, seed=seed)
        train, heldout, order, labels = found.train, found.validation, found.order, list[str]()
    else:
        examples = config.examples.load(model=config.model)
        train, heldout, labels = examples.train, examples.heldout, examples.labels
    n_steps = config.batches.n_steps(len(train))
    task = task_of(config, labels, n_steps=n_steps)
    loader = ExampleLoader(train, heldout, layout, seed, task.count, order)
    return config.learning.pruned(task, loader, workers, n_steps=n_steps, seed=seed), loader


def task_of(config: FinetuneSettings, labels: list[str], *, n_steps: int = 1) -> "Task[Document]":
    """The model under the task, of so many steps; the same settings give the same weights, of a head and adapters."""
    import torch

    from raypipe.train.tasks.classification import ClassificationHead, new_classifier
    from raypipe.train.tasks.soft_labels import SoftLabelHead

    lora, precision = config.lora, config.training.precision
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        if config.examples.learn in ("answers", "choices"):
            causal = open_model(config.model).weights(dtype="float32", device="cpu")
            precision.apply(causal)
            length = config.examples.length
            return config.learning.next_token(lora.apply(causal), config.training, length=length, n_steps=n_steps)
        classifier = new_classifier(open_model(config.model), labels or ["value"])
        precision.apply(classifier)
        if config.examples.soft_labels is not None:
            return SoftLabelHead(lora.apply(classifier, head="score"), CrossEntropy(), n_steps=n_steps)
        return ClassificationHead(lora.apply(classifier, head="score"), config.learning.z_loss)


def export(
    config: FinetuneSettings, folder: Folder, identity: dict[str, Any], weights: dict[str, Any], state: "State"
) -> None:
    """The finetuned model as a transformers folder, adapters merged into it."""
    from raypipe.train.tasks.factored_next_token import FactoredNextToken
    from raypipe.train.weights.export import export_model, of_task, set_weights

    task = task_of(config, identity["labels"])
    set_weights(task.models.trained, weights)
    module: Any = task.models.trained
    if isinstance(task, FactoredNextToken):
        task.load_state(of_task(weights))
        task.with_layer()
    model = module.causal if hasattr(module, "causal") else module.classifier
    run = Folder(config.run.output)
    export_model(
        model,
        open_vocabulary(config.model).tokenizer,
        folder=folder / "model",
        lineage=lineage(config, identity, state, run=run) | finish_pruning(config.learning, model),
        title=f"{config.model}, finetuned on {config.examples.learn}",
    )
