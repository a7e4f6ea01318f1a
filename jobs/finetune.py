"""Finetune on answers or labels: python -m jobs.finetune --data chat.jsonl --model MODEL --output RUN --steps 100."""

import json
import sys
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from jobs import settings
from jobs.choices import Evaluation, as_examples, choices_identity, load_choices, mixed_feed
from jobs.common import RunSettings, life_of, run_job, stage_name
from jobs.training import TrainSettings, engine_settings, lineage, part, plan_of, run_training, training_identity
from raypipe.contracts.rows import Document
from raypipe.contracts.task import Task
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.run.trainer import Training
from raypipe.storage.folder import Folder
from raypipe.train.choices.prepare import ChoiceSettings, Prepared
from raypipe.train.choices.read import ChoiceColumns
from raypipe.train.data.examples import ExampleColumns, Examples, read_examples
from raypipe.train.data.loader import ExampleFeed, Feed, Share
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.workers import Workers
from raypipe.train.loop.checkpoint import State
from raypipe.train.tasks.classification import ClassificationHead, new_classifier
from raypipe.train.tasks.next_token import NextToken
from raypipe.train.weights.export import export_model, set_weights
from raypipe.train.weights.lora import Lora


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(ExampleColumns, ChoiceColumns, ChoiceSettings, Lora):
    """What is learnt, from what."""

    data: tuple[str, ...]
    """Folders or files (.jsonl, .parquet) of examples. Repeatable."""
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
    """Which weights are exported: the last step's, or those of the lowest held-out loss (see --heldout-every)."""


@dataclass(frozen=True, kw_only=True)
class Config(FinetuneSettings, TrainSettings, RunSettings):
    """Settings of finetune."""


def main(config: Config) -> int:
    """Train, or go on training; writes RUN/finetune with metrics/, checkpoints/ and model/, then RUN/report.html."""
    stage = stage_name("finetune", config)
    with life_of(config, "finetune", stages=[stage]) as life:
        if config.learn != "choices":
            run_training(config, plan_finetuning(config, life.run / stage), life, stage)
        else:
            choices = load_choices(config)
            training = plan_finetuning(config, life.run / stage, choices)
            measure = Evaluation(config, choices, life.run / stage, life.stopping)
            run_training(config, training, life, stage, first=measure.start, then=measure.finish)
    return life.status


def plan_finetuning(config: Config, folder: Folder, choices: Prepared | None = None) -> Training:
    """All that workers need; whatever is wrong with the settings or the data ends here."""
    model = open_model(config.model)
    model.check()
    check_architecture(model.config(), max_tokens=config.length, setting="length")
    examples = load(config) if choices is None else as_examples(choices)
    for reason, n in examples.skipped.most_common():
        print(f"left out: {n:,} examples: {reason}", file=sys.stderr)
    Share(0, config.workers, config.batch_examples, config.micro_batch)
    if (config.steps is None) == (config.epochs is None):
        raise ValueError("give either --steps or --epochs.")
    if (config.steps is not None and config.steps < 1) or (config.epochs is not None and config.epochs <= 0):
        raise ValueError(f"steps must be at least 1, epochs above 0, got {config.steps or config.epochs}.")
    if config.take == "best" and not examples.heldout:
        raise ValueError("--take best needs held-out examples to choose by, got none; raise --heldout-share.")
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
        inputs=(*config.data, config.model),
        **engine_settings(config),
    )


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
    )


def make(config: Config, workers: Workers, share: Share) -> tuple[Task[Document], Feed[Document]]:
    """The task and its rows, on a worker."""
    if config.learn == "choices":
        learner = task_of(config, [])
        return learner, mixed_feed(config, load_choices(config), share, learner.count)
    examples = load(config)
    task = task_of(config, examples.labels)
    return task, ExampleFeed(examples.train, examples.heldout, share, config.seed, task.count)


def task_of(config: Config, labels: list[str]) -> NextToken | ClassificationHead:
    """The model under the task; the same settings give the same new weights, of a head and of adapters."""
    import torch

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


def export(config: Config, folder: Folder, identity: dict[str, Any], weights: dict[str, Any], state: State) -> None:
    """The finetuned model as a transformers folder, adapters merged into it."""
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
        "n_steps": steps,
        **training_identity(config),
    }
    return dict(json.loads(json.dumps(identity)))


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
