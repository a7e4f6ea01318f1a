"""Pretrain a model on what was selected: python -m jobs.pretrain --output RUN --shape tiny --train-tokens 10000000."""

import dataclasses
import json
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from jobs import settings
from jobs.common import RunSettings, run_job
from raypipe.models import open_model
from raypipe.run import card as cards
from raypipe.run.cluster import Wanted
from raypipe.run.lock import Lock
from raypipe.run.op import Pool
from raypipe.run.signals import orderly_stop
from raypipe.run.trainer import Training, fit
from raypipe.storage import Folder
from raypipe.train.checkpoint import State
from raypipe.train.deepspeed_engine import Zero
from raypipe.train.engine import Precision
from raypipe.train.export import export_model, set_weights
from raypipe.train.feed import Feed, Share, sequences_of
from raypipe.train.listing import Mix, every_row_once, read_listing, read_mix
from raypipe.train.loop import Plan, Stopped
from raypipe.train.next_token import NextToken
from raypipe.train.optimiser import Optimiser
from raypipe.train.schedule import Schedule
from raypipe.train.shapes import Initialisation, check_vocabulary, config_of, new_model
from raypipe.train.stream import Stream
from raypipe.train.task import Task
from raypipe.train.token_feed import TokenFeed
from raypipe.train.tokenizer import Vocabulary, open_vocabulary
from raypipe.train.workers import Workers

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Schedule, Optimiser, Precision, Zero):
    """How training runs, whatever is trained."""

    engine: Literal["torch", "deepspeed"] = "torch"
    """torch: every worker holds the whole model. deepspeed: ZeRO, see --zero-stage."""
    seed: int = 0
    """Of the order of the data and of new weights."""
    save_every: int = 500
    """Steps between checkpoints."""
    heldout_every: int = 0
    """Steps between measurements of the held-out loss by domain; 0: at the end only."""
    keep: int = 2
    """Checkpoints that are kept beside the best held-out one."""
    workers: int = 1
    """Processes that train together; 1: this one."""
    gpus_per_worker: float | None = None
    """GPUs that a worker reserves; None: 1 where there are GPUs, else 0."""
    cpus_per_worker: float | None = None
    """CPUs that a worker reserves, and so its threads; None: 1, or all of this machine's for a worker alone."""
    max_failures: int = 3
    """How often lost workers are started again, from the last checkpoint."""
    tensorboard: bool = False
    """Also write RUN/train/tensorboard."""


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


@dataclass(frozen=True, kw_only=True)
class Config(PretrainSettings, TrainSettings, RunSettings):
    """Settings of pretrain."""


def main(config: Config) -> int:
    """Train, or go on training; writes RUN/train with metrics/, checkpoints/ and, at the end, model/."""
    run, stage = Folder(config.output), f"train-{config.name}" if config.name else "train"
    with Lock(run), orderly_stop() as (stopping, status):
        training = plan_pretraining(config, run / stage)
        return run_training(config, training, stage, stopping, status)


def plan_pretraining(config: Config, folder: Folder) -> Training:
    """All that workers need; whatever is wrong with the settings or the data ends here, before one starts."""
    run, vocabulary = Folder(config.output), open_vocabulary(config.tokenizer)
    check_tokens(cards.read_card(run / config.tokens), vocabulary, config.tokenizer, where=f"{run.uri}/{config.tokens}")
    model = _model_config(config, vocabulary)
    n_sequences = sequences_of(config.batch_tokens, config.length, unit=config.workers * config.micro_batch)
    mix = open_mix(config)
    Stream(mix, seed=config.seed, length=config.length, window_tokens=config.window_tokens)  # refuses an empty mix
    return Training(
        folder=folder,
        make=partial(make, config),
        export=partial(export, config, folder, _identity(config, mix, vocabulary, model)),
        plan=plan_of(config, n_steps(config)),
        n_sequences=n_sequences,
        micro=config.micro_batch,
        identity=_identity(config, mix, vocabulary, model),
        **engine_settings(config),
    )


def run_training(config: Any, training: Training, stage: str, stopping: threading.Event, status: dict[str, int]) -> int:
    """Train with a card beside the files, as every stage has."""
    folder = training.folder
    if config.restart == stage:
        restart(folder, ask=not config.yes)
    card = cards.read_card(folder)
    cards.check_identity(stage, card, training.identity)
    started = cards.now()
    card = card or {"stage": stage, "kind": "train", "identity": training.identity, "times": {"started": started}}
    card |= {"status": "running", "versions": cards.versions(), "running": {"workers": config.workers}}
    cards.write_card(folder, card)
    try:
        state = fit(
            training, n_workers=config.workers, pool=_pool(config), max_failures=config.max_failures, stopping=stopping
        )
    except Stopped as stop:
        card["status"] = "incomplete"
        cards.write_card(folder, card)
        print(stop, file=sys.stderr)
        return status["code"] or 143
    card |= {"status": "finished", "counts": asdict(state)}
    card["times"]["finished"] = cards.now()
    cards.write_card(folder, card)
    print(f"{state.step:,} steps, {state.tokens:,} tokens: {folder.uri}/model, order {state.order}")
    return 0


def make(config: Config, workers: Workers, share: Share) -> tuple[Task, Feed]:
    """The task and its rows, on a worker."""
    vocabulary = open_vocabulary(config.tokenizer)
    causal = _causal(config, vocabulary)
    part(Precision, config).apply(causal)
    stream = Stream(open_mix(config), seed=config.seed, length=config.length, window_tokens=config.window_tokens)
    return NextToken(causal), TokenFeed(Folder(config.output) / config.tokens, stream, share)


def export(config: Config, folder: Folder, identity: dict[str, Any], weights: dict[str, Any], state: State) -> None:
    """The trained model as a transformers folder."""
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


def lineage(config: Any, identity: dict[str, Any], state: State) -> dict[str, Any]:
    """Where a model comes from: run, data, settings, versions."""
    run = Folder(config.output)
    stages = {name: getattr(config, name, "none") for name in ("tokens", "selection")}
    read = {name: cards.read_card(run / stage) for name, stage in stages.items() if stage != "none"}
    made_from = {name: card["identity"] for name, card in read.items() if card is not None}
    return {
        "run": run.uri, "steps": state.step, "tokens_seen": state.tokens, "order": state.order,
        "heldout_loss": state.heldout, "identity": identity, **made_from, "commit": commit(),
        "settings": json.loads(json.dumps(asdict(config))), "versions": cards.versions(), "created": cards.now(),
    }  # fmt: skip


def commit() -> str | None:
    """The commit of raypipe's own source, None where it was installed from a package."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None


def open_mix(config: Any) -> Mix:
    """The tokens of the run and how often each document is to be seen."""
    run = Folder(config.output)
    listing = read_listing(run / config.tokens)
    return every_row_once(listing) if config.selection == "none" else read_mix(listing, run / config.selection)


def check_tokens(card: dict[str, Any] | None, vocabulary: Vocabulary, name: str, *, where: str) -> None:
    """Refuse tokens that aren't there, aren't whole, or were made by another tokenizer.

    Raises
    ------
    ValueError
        With what to do.
    """
    if card is None or card["status"] != "finished":
        what = "isn't there" if card is None else f"is {card['status']!r}"
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


def plan_of(config: Any, steps: int) -> Plan:
    """How long, and what happens when."""
    if config.save_every < 1:
        raise ValueError(f"save_every must be at least 1, got {config.save_every}.")
    return Plan(steps, part(Schedule, config), config.seed, config.save_every, config.heldout_every)


def engine_settings(config: Any) -> dict[str, Any]:
    """The engine's part of a Training."""
    return {
        "optimiser": part(Optimiser, config),
        "precision": part(Precision, config),
        "zero": part(Zero, config) if config.engine == "deepspeed" else None,
        "keep": config.keep,
        "tensorboard": config.tensorboard,
        "n_threads": None if config.cpus_per_worker is None else max(1, int(config.cpus_per_worker)),
    }


def training_identity(config: Any) -> dict[str, Any]:
    """The settings of training that can change a weight; workers, passes and intervals can't."""
    schedule, optimiser = asdict(part(Schedule, config)), asdict(part(Optimiser, config))
    engine = {"engine": config.engine, "dtype": config.dtype, "seed": config.seed}
    zero = {"zero_stage": config.zero_stage} if config.engine == "deepspeed" else {}
    return {**schedule, **optimiser, **engine, **zero}


def restart(folder: Folder, *, ask: bool) -> None:
    """Throw a training stage away, once the user has agreed."""
    files = folder.files(recursive=True)
    if ask and files and input(f"throw away {len(files)} files in {folder.uri}? [y/N] ").strip().lower() != "y":
        raise ValueError("nothing was thrown away; training was not restarted.")
    for entry in files:
        folder.delete(entry.path)


def part(kind: type[P], config: Any) -> P:
    """The settings of one part of a job."""
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})  # type: ignore


def _pool(config: Any) -> Pool:
    if config.workers == 1 and not config.gpus_per_worker:
        import torch

        return Pool(num_gpus=float(torch.cuda.is_available() and config.gpus_per_worker is None))
    return Wanted(config.workers, config.workers, config.gpus_per_worker, config.cpus_per_worker or 1.0).pool


def _model_config(config: Config, vocabulary: Vocabulary) -> Any:
    if config.model is None:
        found = config_of(config.shape, vocabulary_size=vocabulary.size, length=config.length, end=vocabulary.end)
    else:
        found = open_model(config.model).config()
        check_vocabulary(found, vocabulary.size, where=config.model)
    if found.max_position_embeddings < config.length:
        raise ValueError(
            f"length must be at most the {found.max_position_embeddings} positions of the model, got {config.length}."
        )
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
