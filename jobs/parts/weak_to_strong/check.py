"""What is refused of weak-to-strong learning before anything is trained."""

import numpy as np

from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.models.presets import SHAPES
from raypipe.runs import card as cards
from raypipe.runs.names import nearest
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import BatchLayout
from raypipe.train.weights.lora import Lora

from ..idle import names_of, refuse_idle
from .arms import seeds_of
from .rows import debates_about, halves_of, load_rows
from .settings import WeakToStrongSettings


def check(config: WeakToStrongSettings) -> int:
    """Refuse wrong settings before anything is trained; how many debates there are about each row.

    Raises
    ------
    ValueError
        With what to do.
    """
    config.training.check()
    for name in ("seeds", "length", "transcript_tokens", "probe_axes"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}.")
    for name in ("epochs", "weak_epochs"):
        if (epochs := getattr(config, name)) is not None and epochs <= 0:
            raise ValueError(f"{name} must be above 0, got {epochs}.")
    if not config.losses or len(set(config.losses)) < len(config.losses):
        raise ValueError(f"losses must name at least one loss, each once, got {config.losses}.")
    _check_idle(config)
    BatchLayout(0, config.training.workers, config.batch_examples, config.micro_batch)
    n_transcripts = _n_transcripts(config)
    _check_models(config, n_transcripts)
    rows = load_rows(config).rows
    halves = [halves_of(config, rows, seed) for seed in seeds_of(config)]
    for transcript in range(1, n_transcripts + 1):
        debates_about(config, rows.of(np.union1d(halves[0].first, halves[0].second)), transcript)
    return n_transcripts


def _check_idle(config: WeakToStrongSettings) -> None:
    if "logconf" not in config.losses:
        refuse_idle(config.confidence, because="without logconf among --losses")
    if "product" not in config.losses:
        refuse_idle(config.product, because="without product among --losses")
    if not config.probe:
        refuse_idle(config, ["probe_layers", "probe_axes"], because="without --probe")
    if config.debate is None:
        refuse_idle(config, ["transcript_tokens"], because="without --debate")
    if config.lora.lora_rank == 0:
        idle = [name for name in names_of(Lora) if name != "lora_rank"]
        refuse_idle(config.lora, idle, because="without --lora-rank")


def _check_models(config: WeakToStrongSettings, n_transcripts: int) -> None:
    if config.probe and config.lora.lora_rank:
        raise ValueError(f"probe trains no strong model, but lora_rank is {config.lora.lora_rank}; give one of them.")
    n_strong = open_model(config.strong).config().num_hidden_layers if config.probe_layers is not None else 0
    if config.probe_layers is not None and not 1 <= config.probe_layers <= n_strong:
        raise ValueError(f"probe_layers must be between 1 and the model's {n_strong}, got {config.probe_layers}.")
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
        model.check(has_new_head=True)
        check_architecture(model.config(), max_tokens=length, setting=f"length in all, for {ref!r},")


def _n_transcripts(config: WeakToStrongSettings) -> int:
    if config.debate is None:
        return 0
    folder = config.debates
    card = cards.read_card(folder)
    if card is None or card["status"] != "finished":
        near = nearest(config.debate, cards.stages_of(Folder(config.run.output)))
        what = f"isn't there ({near})" if card is None else f"is {card['status']!r}"
        raise ValueError(f"debate must name a finished stage; {folder.uri} {what}: hold it with python -m jobs.debate.")
    return int(card["counts"]["transcripts"] // card["counts"]["rows"])
