"""Pretrain a model on what was selected: python -m jobs.pretrain --output RUN --shape tiny --train-tokens 10000000."""

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Task
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.models.presets import Initialisation, check_vocabulary, config_of, new_model
from raypipe.models.tokenizer import Vocabulary, open_vocabulary
from raypipe.run.training import Training
from raypipe.runs import card as cards
from raypipe.runs.names import nearest
from raypipe.storage.folder import Folder
from raypipe.train.data.index import Mix, every_row_once, read_listing, read_mix
from raypipe.train.data.loader import BatchLayout, DataLoader, sequences_of
from raypipe.train.data.order import DataOrder
from raypipe.train.data.token_loader import TokenLoader
from raypipe.train.engines.engine import Precision

from .parts import settings
from .parts.common import RunSettings, life_of, run_job, stage_name
from .parts.idle import refuse_idle
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
    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.checkpoint import State


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """What is trained, and on what."""

    shape: str = "tiny"
    """Model from scratch: tiny, 4m, 135m, 360m, 1b, 1.7b, 8b, or a .json configuration of transformers."""
    initialisation: Initialisation = "normal"
    """Of a model from scratch."""
    model: str | None = None
    """Go on from weights instead: folder, org/name[@revision], GGUF file, or `sample`."""
    tokenizer: str = "sample"
    """The one that tokens/ was made with."""
    tokens: str = "tokens"
    """Stage with the tokens."""
    selection: str = "selection"
    """Stage with the weights, such as selection-random for a control; `none`: every row once."""
    read_from: str | None = None
    """Run folder that holds both; None: --output."""
    length: int = 1024
    """Tokens of a sequence."""
    batch_tokens: int = 65_536
    """Tokens of a step, all workers together."""
    micro_batch: int = 1
    """Sequences that go through the model together; accumulation follows from it."""
    train_tokens: int | None = None
    """Train on so many tokens; or give --steps."""
    steps: int | None = None
    """Train for so many steps."""
    window_tokens: int = 1 << 25
    """Documents are permuted inside windows of so many tokens, which each worker holds in memory twice."""
    heldout_documents: int = 64
    """Held-out documents that the loss is measured on, at most; the same ones whatever the seed and the selection."""


@dataclass(frozen=True, kw_only=True)
class Config(PretrainSettings, TrainSettings, RunSettings):
    """Settings of pretrain."""


def main(config: Config) -> int:
    """Train, or go on training; writes RUN/train with metrics/, checkpoints/ and model/, then RUN/report.html."""
    stage = stage_name("train", config)
    check(config)
    with life_of(config, "pretrain", stages=[stage]) as life:
        run_training(config, plan_pretraining(config, life.run / stage), life, stage)
    return life.status


def check(config: Config) -> None:
    """Refuse settings that do nothing beside the others or don't fit each other.

    Raises
    ------
    ValueError
        With their names.
    """
    if config.model is not None:
        refuse_idle(config, ["shape", "initialisation"], because="with --model")
    check_engine(config)
    n_steps(config)
    sequences_of(config.batch_tokens, config.length, unit=config.workers * config.micro_batch)
    _model_config(config, open_vocabulary(config.tokenizer))


def plan_pretraining(config: Config, folder: Folder) -> Training:
    """All that workers need; whatever is wrong with the settings or the data ends here, before one starts."""
    vocabulary = open_vocabulary(config.tokenizer)
    check_tokens(run_of_tokens(config), config.tokens, vocabulary, config.tokenizer)
    model = _model_config(config, vocabulary)
    n_sequences = sequences_of(config.batch_tokens, config.length, unit=config.workers * config.micro_batch)
    mix = open_mix(config)
    DataOrder(mix, seed=config.seed, length=config.length, window_tokens=config.window_tokens)  # refuses an empty mix
    return Training(
        folder=folder,
        make=partial(make, config),
        export=partial(export, config, folder, _identity(config, mix, vocabulary, model)),
        plan=plan_of(config, n_steps(config)),
        n_sequences=n_sequences,
        micro=config.micro_batch,
        identity=_identity(config, mix, vocabulary, model),
        inputs=(config.model or config.shape, config.tokenizer, *([config.read_from] if config.read_from else [])),
        **engine_settings(config),
    )


def make(config: Config, workers: "Workers", layout: BatchLayout) -> "tuple[Task[Document], DataLoader[Document]]":
    """The task and its rows, on a worker."""
    from raypipe.train.tasks.next_token import NextToken

    vocabulary = open_vocabulary(config.tokenizer)
    causal = _causal(config, vocabulary)
    part(Precision, config).apply(causal)
    order = DataOrder(open_mix(config), seed=config.seed, length=config.length, window_tokens=config.window_tokens)
    tokens, n_heldout = run_of_tokens(config) / config.tokens, config.heldout_documents
    return NextToken(causal), TokenLoader(tokens, order, layout, heldout_sequences=n_heldout)


def export(config: Config, folder: Folder, identity: dict[str, Any], weights: dict[str, Any], state: "State") -> None:
    """The trained model as a transformers folder."""
    from raypipe.train.tasks.next_token import NextToken
    from raypipe.train.weights.export import export_model, set_weights

    vocabulary = open_vocabulary(config.tokenizer)
    task = NextToken(_causal(config, vocabulary))
    set_weights(task.module, weights)
    title = f"{config.model or config.shape} on {config.selection}"
    export_model(
        task.module.causal,
        vocabulary.tokenizer,
        folder=folder / "model",
        lineage=lineage(config, identity, state),
        title=title,
    )


def run_of_tokens(config: Any) -> Folder:
    """The run whose tokens are trained on."""
    return Folder(config.read_from or config.output)


def open_mix(config: Any) -> Mix:
    """The tokens of the run and how often each document is to be seen."""
    run = run_of_tokens(config)
    listing = read_listing(run / config.tokens)
    if config.selection == "none":
        return every_row_once(listing)
    cards.finished_card(run, config.selection)
    return read_mix(listing, run / config.selection)


def check_tokens(run: Folder, stage: str, vocabulary: Vocabulary, name: str) -> None:
    """Refuse tokens that aren't there, aren't whole, or were made by another tokenizer.

    Raises
    ------
    ValueError
        With what to do.
    """
    card, where = cards.read_card(run / stage), f"{run.uri}/{stage}"
    if card is None or card["status"] != "finished":
        near = f"isn't there ({nearest(stage, cards.stages_of(run))})"
        what = near if card is None else f"is {card['status']!r}"
        raise ValueError(f"{where} {what}; finish it first with: python -m jobs.tokenize_corpus")
    made_by = card["identity"]["tokenizer_sha256"]
    if made_by != vocabulary.sha256:
        raise ValueError(
            f"--tokenizer must be the one that {where} was made with ({made_by[:12]}..., "
            f"{card['identity']['vocabulary_size']:,} ids), got {name!r} ({vocabulary.sha256[:12]}..., "
            f"{vocabulary.size:,} ids)."
        )


def n_steps(config: Config) -> int:
    """Steps, from either way of giving them.

    Raises
    ------
    ValueError
        If both or neither is given, or it isn't positive.
    """
    if (config.steps is None) == (config.train_tokens is None):
        raise ValueError("give either --steps or --train-tokens.")
    steps = config.steps if config.steps is not None else -(-(config.train_tokens or 0) // config.batch_tokens)
    if steps < 1:
        raise ValueError(f"training must have at least 1 step, got {steps}.")
    return steps


def _model_config(config: Config, vocabulary: Vocabulary) -> Any:
    if config.model is None:
        found = config_of(config.shape, vocabulary_size=vocabulary.size, length=config.length, end=vocabulary.end)
    else:
        model = open_model(config.model)
        model.check()
        found = model.config()
        check_vocabulary(found, vocabulary.size, where=config.model)
    check_architecture(found, max_tokens=config.length, setting="length")
    return found


def _causal(config: Config, vocabulary: Vocabulary) -> Any:
    if config.model is not None:
        return open_model(config.model).weights(dtype="float32", device="cpu")
    return new_model(_model_config(config, vocabulary), seed=config.seed, initialisation=config.initialisation)


def _identity(config: Config, mix: Mix, vocabulary: Vocabulary, model: Any) -> dict[str, Any]:
    """Whatever can change a weight."""
    start = open_model(config.model).sha256() if config.model else config.initialisation
    sizes = {name: getattr(config, name) for name in ("length", "batch_tokens", "window_tokens")}
    shape = {k: v for k, v in model.to_dict().items() if k not in ("transformers_version", "_name_or_path")}
    data = {"mix_sha256": mix.sha256, "tokenizer_sha256": vocabulary.sha256}
    identity = {
        **data,
        "model": shape,
        "start": start,
        **sizes,
        "n_steps": n_steps(config),
        **training_identity(config),
    }
    return dict(json.loads(json.dumps(identity, default=str)))


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
