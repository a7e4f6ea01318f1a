"""Weak labels for a strong model: python -m jobs.weak_to_strong --data rows.parquet --weak tiny --output RUN.

A weak model learns one half of the rows from their truth and labels the other half; the strong model learns these soft
labels; its ceiling learns the truth of the first half. All are tested on the same rows, for every seed anew.
"""

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raypipe.losses.soft_labels import Confidence, CrossEntropy, Product, SoftLoss
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.models.presets import SHAPES
from raypipe.runs import card as cards
from raypipe.runs.life import Life
from raypipe.runs.names import nearest
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import at_work
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import BatchLayout
from raypipe.train.weights.lora import Lora

from .parts import settings
from .parts.binary_data import BinarySettings, say_skipped
from .parts.common import RunSettings, life_of, run_job
from .parts.idle import names_of, refuse_idle
from .parts.training import TrainSettings, check_engine, part
from .parts.weak_to_strong_arm import train_arm
from .parts.weak_to_strong_results import results_of, table_of
from .parts.weak_to_strong_rows import Arm, debates_about, halves_of, load_rows, stage_of


@dataclass(frozen=True, kw_only=True)
class WeakToStrongSettings(Lora):
    """Who teaches whom, and how."""

    weak: str = "tiny"
    """Weak model: a folder, org/name[@revision], GGUF file or `sample`; or a shape from scratch (tiny, 4m ...)."""
    weak_layers: int | None = None
    """Keep only the first so many layers of the weak model's weights."""
    strong: str = "sample"
    """Strong model: folder, org/name[@revision], GGUF file, or `sample`; adapters and --probe are for it alone."""
    losses: tuple[Literal["xent", "logconf", "product"], ...] = ("xent", "logconf", "product")
    """Losses of the students: cross-entropy, auxiliary confidence, product."""
    aux_coef: float = 0.5
    """logconf: weight of the student's own predictions."""
    aux_warmup: float = 0.1
    """logconf: share of training before that weight is full."""
    alpha: float = 1.0
    """product: power of the weak labels."""
    beta: float = 1.0
    """product: power of the student's own predictions."""
    seeds: int = 5
    """So often all of it, from --seed on: other halves, new weights, other orders."""
    epochs: float = 2.0
    """Passes over a half."""
    weak_epochs: float | None = None
    """Of the weak model; None: as the strong one."""
    weak_learning_rate: float | None = None
    """Of the weak model; None: as the strong one."""
    probe: bool = False
    """Train the strong model's head only."""
    length: int = 1024
    """Rows with more tokens, of either model, are left out."""
    batch_examples: int = 32
    """Rows of a step, all workers together."""
    micro_batch: int = 32
    """Rows that go through the model together; logconf takes its quantile over them."""
    debate: str | None = None
    """Stage with debates (see jobs.debate); weak models then also judge with them, as an ensemble over transcripts."""
    transcript_tokens: int = 512
    """Of a transcript the weak model reads so many tokens at most."""
    save_models: bool = False
    """Also write each training's model/, a transformers folder."""


@dataclass(frozen=True, kw_only=True)
class Config(WeakToStrongSettings, BinarySettings, TrainSettings, RunSettings):
    """Settings of weak_to_strong."""


def main(config: Config) -> int:
    """Train what isn't trained yet, then write RUN/weak_to_strong/results.json and table.txt."""
    stage = stage_of(config)
    check_engine(config)
    with life_of(config, "weak_to_strong", stages=[stage]) as life:
        folder = life.run / stage
        load_rows.cache_clear()  # files may have changed since this process last looked
        n_transcripts = check(config)
        say_skipped(load_rows(config).rows)
        life.begin()
        with at_work(folder, {"stage": stage, "kind": "chain", "identity": {}}):
            for seed in seeds_of(config):
                train_seed(config, arms_of(config, n_transcripts), seed, life)
            results = results_of(config, load_rows(config).rows, arms_of(config, n_transcripts), seeds_of(config))
            table = table_of(results)
            folder.write("results.json", json.dumps(results, indent=1).encode())
            folder.write("table.txt", table.encode())
        print(table, end="")
        print(f"Results: {folder.uri.removeprefix('file://')}/results.json")
    return life.status


def seeds_of(config: Config) -> range:
    """The seeds of the run."""
    return range(config.seed, config.seed + config.seeds)


def train_seed(config: Config, arms: list[Arm], seed: int, life: Life) -> None:
    """All trainings of a seed that aren't finished, teachers before their students."""
    for arm in arms:
        if life.stopping.is_set():
            raise Stopped(f"stopped before {arm.name} of seed {seed}; go on with the same command.")
        train_arm(config, arm, seed, life.run, life.stopping)


def arms_of(config: Config, n_transcripts: int) -> list[Arm]:
    """The trainings of a seed in their order."""
    students = [Arm(f"strong-{name}", "strong", loss_of(config, name), ("weak",)) for name in config.losses]
    plain = [
        Arm("weak", "weak"),
        Arm("ceiling", "strong"),
        *students,
        Arm("strong-shuffled-labels", "strong", teachers=("weak",), has_shuffled_labels=True),
    ]
    return [*plain, *debate_arms(n_transcripts)] if n_transcripts else plain


def debate_arms(n_transcripts: int) -> list[Arm]:
    """Judges of debates, their controls, and the students that they teach, who see no debate."""
    judges = [Arm(f"judge-{m}", "weak", transcript=m) for m in range(1, n_transcripts + 1)]
    again = [Arm(f"judge-1-draw-{d}", "weak", transcript=1, draw=d) for d in range(1, n_transcripts)]
    ensemble, repeats = tuple(arm.name for arm in judges), ("judge-1", *(arm.name for arm in again))
    return [
        *judges,
        *again,
        Arm("judge-shuffled", "weak", transcript=1, has_shuffled_transcripts=True),
        Arm("strong-debate-single", "strong", teachers=("judge-1",)),
        Arm("strong-debate-draws", "strong", teachers=repeats),
        Arm("strong-debate-ensemble", "strong", teachers=ensemble),
    ]


def loss_of(config: Config, name: str) -> SoftLoss:
    """A student's loss with its settings."""
    if name == "logconf":
        return part(Confidence, config)
    return part(Product, config) if name == "product" else CrossEntropy()


def check(config: Config) -> int:
    """Refuse wrong settings before anything is trained; how many debates there are about each row.

    Raises
    ------
    ValueError
        With what to do.
    """
    for name in ("seeds", "length", "transcript_tokens"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}.")
    for name in ("epochs", "weak_epochs"):
        if (epochs := getattr(config, name)) is not None and epochs <= 0:
            raise ValueError(f"{name} must be above 0, got {epochs}.")
    if not config.losses or len(set(config.losses)) < len(config.losses):
        raise ValueError(f"losses must name at least one loss, each once, got {config.losses}.")
    for name in config.losses:
        loss_of(config, name)
    _check_idle(config)
    BatchLayout(0, config.workers, config.batch_examples, config.micro_batch)
    n_transcripts = _n_transcripts(config)
    _check_models(config, n_transcripts)
    rows = load_rows(config).rows
    halves = [halves_of(config, rows, seed) for seed in seeds_of(config)]
    for transcript in range(1, n_transcripts + 1):
        debates_about(config, rows.of(np.union1d(halves[0].first, halves[0].second)), transcript)
    return n_transcripts


def _check_idle(config: Config) -> None:
    if "logconf" not in config.losses:
        refuse_idle(config, ["aux_coef", "aux_warmup"], because="without logconf among --losses")
    if "product" not in config.losses:
        refuse_idle(config, ["alpha", "beta"], because="without product among --losses")
    if config.debate is None:
        refuse_idle(config, ["transcript_tokens"], because="without --debate")
    if config.lora_rank == 0:
        refuse_idle(config, [name for name in names_of(Lora) if name != "lora_rank"], because="without --lora-rank")


def _check_models(config: Config, n_transcripts: int) -> None:
    if config.probe and config.lora_rank:
        raise ValueError(f"probe trains the head only, but lora_rank is {config.lora_rank}; give one of them.")
    sizes = {config.strong: config.length}
    if config.weak not in SHAPES:
        sizes[config.weak] = config.length + (config.transcript_tokens if n_transcripts else 0)
        n_layers = open_model(config.weak).config().num_hidden_layers
        if config.weak_layers is not None and not 1 <= config.weak_layers <= n_layers:
            raise ValueError(f"weak_layers must be between 1 and the model's {n_layers}, got {config.weak_layers}.")
    elif config.weak_layers is not None:
        raise ValueError(f"weak_layers cuts a model that has weights, but weak is the shape {config.weak!r}.")
    for ref, length in sizes.items():
        model = open_model(ref)
        model.check()
        check_architecture(model.config(), max_tokens=length, setting=f"length in all, for {ref!r},")


def _n_transcripts(config: Config) -> int:
    if config.debate is None:
        return 0
    folder = Folder(config.output) / config.debate
    card = cards.read_card(folder)
    if card is None or card["status"] != "finished":
        near = nearest(config.debate, cards.stages_of(Folder(config.output)))
        what = f"isn't there ({near})" if card is None else f"is {card['status']!r}"
        raise ValueError(f"debate must name a finished stage; {folder.uri} {what}: hold it with python -m jobs.debate.")
    return int(card["counts"]["transcripts"] // card["counts"]["rows"])


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
