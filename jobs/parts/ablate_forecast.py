"""What an ablation's trials would take, from the recipe alone."""

import time
from typing import Any

import numpy as np
import torch

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Placed
from raypipe.models.causal import open_model
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.train.loop.flops import matrix_parameters, step_flops
from raypipe.train.tasks.next_token import NextToken

from .ablate_plan import BY_SCORES, FULL, RANDOM
from .ablate_settings import AblateSettings

MEASURED_S = 5.0


def forecast(config: AblateSettings) -> list[str]:
    """Arms, trials, tokens, FLOPs and device-hours, a line each.

    The arms are counted as if all scores were of one proxy, documents as if all were as long as a sequence.
    """
    causal = _model(config)
    named = [FULL, RANDOM, *config.selectors]
    by_each = [len(config.scores) if selector in BY_SCORES else 1 for selector in config.selectors]
    n_arms = 1 + len(config.shares) * (1 + sum(by_each))
    n_tokens = config.sequences.n_steps * config.sequences.batch_tokens
    one = step_flops(matrix_parameters(causal), causal.config, [_document(config)])
    flops = one / config.sequences.length * n_tokens
    n_trials = n_arms * config.seeds
    rate, how = (config.flops_per_s, "as given") if config.flops_per_s else (_measured(config), "measured here")
    return [
        f"arms {n_arms}: {', '.join(named)}; shares {', '.join(map(str, config.shares))}",
        f"trials {n_trials:,} ({config.seeds} seeds)",
        f"parameters {sum(weight.numel() for weight in causal.parameters()):,}",
        f"tokens {n_tokens:,} a trial, {n_trials * n_tokens:,} in all",
        f"FLOPs {flops:.3g} a trial, {n_trials * flops:.3g} in all",
        f"device-hours {n_trials * flops / rate / 3600:,.2f} at {rate:.3g} FLOPs a second, {how}",
    ]


def _model(config: AblateSettings) -> Any:
    """The model without memory for its weights."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(_sizes(config))


def _sizes(config: AblateSettings) -> Any:
    if config.start.model is not None:
        return open_model(config.start.model).config()
    vocabulary = open_vocabulary(config.source.tokenizer)
    return config_of(
        config.start.shape, vocabulary_size=vocabulary.size, length=config.sequences.length, end=vocabulary.end
    )


def _document(config: AblateSettings, ids: np.ndarray | None = None) -> Document:
    return Document(np.zeros(config.sequences.length, np.int32) if ids is None else ids, "", "", 0)


def _measured(config: AblateSettings) -> float:
    """FLOPs a second that training of this very model reaches here, in passes of its own size, on its threads."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(max(1, int(config.training.cpus_per_worker or 1)))
    sizes = _sizes(config)
    task = NextToken(new_model(sizes, seed=0, initialisation="normal").to(device))
    ids = np.random.default_rng(0).integers(sizes.vocab_size, size=config.sequences.length, dtype=np.int32)
    rows = [_document(config, ids)] * config.sequences.micro_batch
    tensors, models = task.collate(rows, device), Placed(task.module)
    passes, started = -1, 0.0
    while passes < 1 or time.perf_counter() - started < MEASURED_S:
        task.loss(models, tensors).losses.mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        passes += 1
        started = started or time.perf_counter()  # the first pass warms up
    return passes * task.flops(rows) / (time.perf_counter() - started)
