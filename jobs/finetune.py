"""Finetune on answers or labels: python -m jobs.finetune --data chat.jsonl --model MODEL --output RUN --steps 100."""

import json
import sys
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Task
from raypipe.corpus.sources import split_source
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.report.escape import terminal_text
from raypipe.run.training import Training
from raypipe.storage.folder import Folder
from raypipe.train.choices.prepare import ChoiceSettings, Prepared
from raypipe.train.choices.read import ChoiceColumns
from raypipe.train.data.examples import ExampleColumns, Examples, label_counts, read_examples
from raypipe.train.data.loader import BatchLayout, DataLoader, ExampleLoader
from raypipe.train.engines.engine import Precision
from raypipe.train.weights.lora import Lora

from .parts import settings
from .parts.choices import Evaluation, as_examples, choices_identity, load_choices, mixed_loader
from .parts.common import RunSettings, life_of, run_job, stage_name
from .parts.idle import names_of, refuse_idle
from .parts.label_evaluation import LabelEvaluation
from .parts.training import (
    TrainSettings,
    check_engine,
    engine_settings,
    lineage,
    part,
    plan_of,
    run_training,
    training_identity,
)

if TYPE_CHECKING:
    from raypipe.contracts.task import Task
    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.checkpoint import State
    from raypipe.train.tasks.classification import ClassificationHead
    from raypipe.train.tasks.next_token import NextToken

FIGURES = {"answers": (), "choices": (), "class": ("accuracy", "auroc"), "number": ("mean_absolute_error",)}
"""What each task measures of held-out rows beside the loss."""
SHOWN_CLASSES = 20
"""On a terminal."""


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(ExampleColumns, ChoiceColumns, ChoiceSettings, Lora):
    """What is learnt, from what."""

    data: tuple[str, ...]
    """[NAME=]URI of a folder, glob or file of Parquet or JSON (.gz, .zst, .bz2, .xz) of examples. Repeatable."""
    where: str | None = None
    """SQL condition on a row's columns; rows that fail it are left out as "filtered"."""
    learn: Literal["answers", "class", "number", "choices"] = "answers"
    """answers: next token, with a loss on answers only; class, number: a head on the state of the last token;
    choices: many classification tasks at once, answered with the letter of a choice, and evaluated."""
    model: str = "sample"
    """What to start from: folder, org/name[@revision], GGUF file, or `sample`."""
    length: int = 2048
    """Tokens; longer examples are left out. Of choices the text is cut to fit."""
    batch_examples: int = 32
    """Examples of a step, all workers together."""
    micro_batch: int = 4
    """Examples that go through the model together, packed."""
    steps: int | None = None
    """Steps; or give --epochs."""
    epochs: float | None = None
    """Passes over the examples."""
    heldout_share: float = 0.05
    """Share of the examples that is measured, not learnt."""
    take: Literal["last", "best"] = "last"
    """Which weights are exported: the last step's, or those of the best held-out step (see --heldout-every)."""
    best_by: Literal["loss", "accuracy", "auroc", "mean_absolute_error"] = "loss"
    """What --take best goes by: the lowest loss or error, the highest accuracy or area under the ROC curve."""


@dataclass(frozen=True, kw_only=True)
class Config(FinetuneSettings, TrainSettings, RunSettings):
    """Settings of finetune."""


def main(config: Config) -> int:
    """Train, or go on training; writes RUN/finetune with metrics/, checkpoints/ and model/, then RUN/report.html."""
    check(config)
    stage = stage_name("finetune", config)
    with life_of(config, "finetune", stages=[stage]) as life:
        folder = life.run / stage
        if config.learn == "choices":
            choices = load_choices(config)
            training = plan_finetuning(config, folder, as_examples(choices), choices)
            measure = Evaluation(config, choices, folder, life.stopping)
            run_training(config, training, life, stage, first=measure.start, then=measure.finish)
            return life.status
        examples = load(config)
        training = plan_finetuning(config, folder, examples)
        labels = LabelEvaluation(config, examples, folder, life.stopping)
        run_training(config, training, life, stage, then=labels.finish if config.learn != "answers" else nothing)
    return life.status


def nothing() -> None:
    """What is done after a training without an evaluation."""


def check(config: Config) -> None:
    """Refuse settings that do nothing for what is learnt or are out of range, and models that can't learn it.

    Raises
    ------
    ValueError
        With their names.
    """
    check_engine(config)
    model = open_model(config.model)
    model.check(has_new_head=config.learn in ("class", "number"))
    check_architecture(model.config(), max_tokens=config.length, setting="length")
    used = {
        "answers": {"messages_column", "prompt_column", "answer_column", "domain_column"},
        "class": {"prompt_column", "label_column", "domain_column"},
        "number": {"prompt_column", "label_column", "domain_column"},
        "choices": set(names_of(ChoiceColumns, ChoiceSettings)),
    }[config.learn]
    names = dict.fromkeys(names_of(ExampleColumns, ChoiceColumns, ChoiceSettings))
    refuse_idle(config, [name for name in names if name not in used], because=f"with --learn {config.learn}")
    for name in ("heldout_share", "lora_dropout"):
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must be in [0, 1), got {getattr(config, name)}.")
    if config.lora_rank < 0:
        raise ValueError(f"lora_rank must be at least 0, got {config.lora_rank}.")
    BatchLayout(0, config.workers, config.batch_examples, config.micro_batch)
    if (config.steps is None) == (config.epochs is None):
        raise ValueError("give either --steps or --epochs.")
    if (config.steps is not None and config.steps < 1) or (config.epochs is not None and config.epochs <= 0):
        raise ValueError(f"steps must be at least 1, epochs above 0, got {config.steps or config.epochs}.")
    if config.lora_rank == 0:
        refuse_idle(config, [name for name in names_of(Lora) if name != "lora_rank"], because="without --lora-rank")
    if config.take == "last":
        refuse_idle(config, ["best_by"], because="without --take best")
    if config.best_by not in (known := ("loss", *FIGURES[config.learn])):
        raise ValueError(
            f"best_by must be one of {', '.join(known)} with --learn {config.learn}, got {config.best_by}."
        )
    if config.heldout_share == 0 and config.take == "last":
        refuse_idle(config, ["heldout_every"], because="with --heldout-share 0")


def plan_finetuning(config: Config, folder: Folder, examples: Examples, choices: Prepared | None = None) -> Training:
    """All that workers need; whatever is wrong with the settings or the data ends here."""
    for line in examples.left_out.lines():
        print(terminal_text(line, max_chars=400), file=sys.stderr)
    if examples.labels:
        print(classes_line(examples), file=sys.stderr)
    if config.take == "best" and not examples.heldout:
        raise ValueError("--take best needs held-out examples to choose by, got none; raise --heldout-share.")
    if config.best_by == "auroc" and len(examples.labels) != 2:
        raise ValueError(f"--best-by auroc needs two classes, got {len(examples.labels)}; take accuracy or loss.")
    steps = config.steps or max(1, round((config.epochs or 0) * len(examples.train) / config.batch_examples))
    identity = _identity(config, examples, steps) | ({} if choices is None else choices_identity(config, choices))
    return Training(
        folder=folder,
        make=partial(make, config),
        export=partial(export, config, folder, identity),
        plan=plan_of(config, steps),
        n_sequences=config.batch_examples,
        micro=config.micro_batch,
        identity=identity,
        take=config.take,
        best_by=config.best_by,
        inputs=(*(split_source(uri)[1] for uri in config.data), config.model),
        **engine_settings(config),
    )


def classes_line(examples: Examples) -> str:
    """Which class has which number, and how many examples each has."""
    counts = label_counts(examples.train + examples.heldout, len(examples.labels))
    shown = [
        f"{at} = {terminal_text(name, max_chars=40)} ({n:,})"
        for at, (name, n) in enumerate(zip(examples.labels[:SHOWN_CLASSES], counts, strict=False))
    ]
    more = len(examples.labels) - SHOWN_CLASSES
    return f"classes: {', '.join(shown)}" + (f" and {more:,} more, in the card" if more > 0 else "")


def load(config: Config) -> Examples:
    """The examples of the settings' files."""
    assert config.learn != "choices"
    return read_examples(
        config.data,
        part(ExampleColumns, config),
        open_vocabulary(config.model),
        learn=config.learn,
        length=config.length,
        heldout_share=config.heldout_share,
        where=config.where,
    )


def make(config: Config, workers: "Workers", layout: BatchLayout) -> "tuple[Task[Document], DataLoader[Document]]":
    """The task and its rows, on a worker."""
    if config.learn == "choices":
        learner = task_of(config, [])
        return learner, mixed_loader(config, load_choices(config), layout, learner.count)
    examples = load(config)
    task = task_of(config, examples.labels)
    return task, ExampleLoader(examples.train, examples.heldout, layout, config.seed, task.count)


def task_of(config: Config, labels: list[str]) -> "NextToken | ClassificationHead":
    """The model under the task; the same settings give the same new weights, of a head and of adapters."""
    import torch

    from raypipe.train.tasks.classification import ClassificationHead, new_classifier
    from raypipe.train.tasks.next_token import NextToken

    lora, precision = part(Lora, config), part(Precision, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.learn in ("answers", "choices"):
            causal = open_model(config.model).weights(dtype="float32", device="cpu")
            precision.apply(causal)
            return NextToken(lora.apply(causal))
        classifier = new_classifier(open_model(config.model), labels or ["value"])
        precision.apply(classifier)
        return ClassificationHead(lora.apply(classifier, head="score"))


def export(config: Config, folder: Folder, identity: dict[str, Any], weights: dict[str, Any], state: "State") -> None:
    """The finetuned model as a transformers folder, adapters merged into it."""
    from raypipe.train.tasks.next_token import NextToken
    from raypipe.train.weights.export import export_model, set_weights

    task = task_of(config, identity["labels"])
    set_weights(task.module, weights)
    module: Any = task.module
    model = module.causal if isinstance(task, NextToken) else module.classifier
    export_model(
        model,
        open_vocabulary(config.model).tokenizer,
        folder=folder / "model",
        lineage=lineage(config, identity, state),
        title=f"{config.model}, finetuned on {config.learn}",
    )


def _identity(config: Config, examples: Examples, steps: int) -> dict[str, Any]:
    """Whatever can change a weight."""
    from hashlib import sha256

    digest = sha256()
    for document in examples.train + examples.heldout:
        marked = b"" if document.has_loss is None else document.has_loss.tobytes()
        digest.update(document.ids.tobytes() + marked + f"{document.label} {document.domain}".encode())
    names = ["learn", "length", "batch_examples", "heldout_share"]
    if config.lora_dropout > 0:  # who draws for which rows follows from these
        names += ["workers", "micro_batch"]
    identity = {
        "model_sha256": open_model(config.model).sha256(),
        "examples_sha256": digest.hexdigest(),
        "n_train": len(examples.train),
        "labels": examples.labels,
        **{name: getattr(config, name) for name in names},
        **asdict(part(Lora, config)),
        **({"best_by": config.best_by} if config.best_by != "loss" else {}),  # by it checkpoints are kept
        "n_steps": steps,
        **training_identity(config),
    }
    return dict(json.loads(json.dumps(identity)))


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
