"""Do the chosen heads really retrieve? Neutralise them, and random heads of the same layers, and compare.

Source: dossier checks 2 and 3 of AttentionInfluence (the paper's analogue is its table of masked benchmarks): heads
that retrieve wreck the answers of fresh probes, far more than random heads of the same layers, and far more than they
hurt plain prose. The draws are never cleaned: a control that was tidied is no control.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from raypipe.lm.decoder import Decoder, Head
from raypipe.lm.loss import token_hits, token_losses
from raypipe.lm.packing import pack, plan_batches
from raypipe.score.heads.probes import Probe

MIN_DRAWS = 5
MIN_RISE_OVER_DRAWS = 3.0
MIN_SELECTIVITY_OVER_DRAWS = 2.0
WRECKS_PROSE = 0.3
"""Nats a token of prose; a head that alone costs more wrecks all text, whatever it copies."""
_VARIANTS = 8  # at once: memory holds so many streams


@dataclass(frozen=True)
class Effect:
    """What a model does on probes and prose: nats a token, share of answer tokens said, nats a token."""

    loss: float
    accuracy: float
    prose_loss: float


@dataclass(frozen=True)
class Rule:
    """A condition for trusting the heads."""

    rule: str
    value: float
    bar: float
    passed: bool


def draw_heads(chosen: Sequence[Head], *, n_heads: int, n_draws: int, seed: int) -> list[list[Head]]:
    """Random sets of the same size from the same layers, none of them chosen heads where a layer has others."""
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(n_draws):
        draw: list[Head] = []
        for layer in sorted({layer for layer, _ in chosen}):
            taken = [head for at, head in chosen if at == layer]
            others = [head for head in range(n_heads) if head not in taken]
            pool = others if len(others) >= len(taken) else list(range(n_heads))
            draw += [(layer, int(head)) for head in rng.choice(pool, len(taken), replace=False)]
        draws.append(draw)
    return draws


@torch.inference_mode()
def effects(
    decoder: Decoder,
    variants: Sequence[Iterable[Head]],
    *,
    probes: Sequence[Probe],
    prose: Sequence[np.ndarray],
    token_budget: int,
) -> list[Effect]:
    """The intact model's effect, then each variant's; prose is documents of token ids."""
    losses, hits = _on_answers(decoder, variants, probes, token_budget)
    on_prose = prose_losses(decoder, variants, prose, token_budget=token_budget)
    return [Effect(*(float(x) for x in row)) for row in zip(losses, hits, on_prose, strict=True)]


@torch.inference_mode()
def prose_losses(
    decoder: Decoder, variants: Sequence[Iterable[Head]], prose: Sequence[np.ndarray], *, token_budget: int
) -> np.ndarray:
    """Mean token loss over documents of token ids: the intact model's, then each variant's, [1 + v]."""
    total, count = np.zeros(1 + len(variants)), 0
    for rows in plan_batches(np.array([len(ids) for ids in prose]), budget=token_budget):
        batch = pack([prose[row] for row in rows], device=decoder.device)
        for first, hidden in _in_groups(decoder, batch, variants):
            for at, stream in enumerate(hidden):
                total[first + at] += float(token_losses(stream[batch.sources], decoder.head, batch.targets).sum())
        count += len(batch.sources)
    return total / count


def _on_answers(
    decoder: Decoder, variants: Sequence[Iterable[Head]], probes: Sequence[Probe], token_budget: int
) -> tuple[np.ndarray, np.ndarray]:
    loss, hits, count = np.zeros(1 + len(variants)), np.zeros(1 + len(variants)), 0
    lengths = np.array([len(probe.ids) for probe in probes])
    for rows in plan_batches(lengths, budget=max(token_budget, int(lengths.max()))):
        batch = pack([probes[row].ids for row in rows], device=decoder.device)
        positions = np.concatenate([probes[row].answer + start for row, start in zip(rows, batch.cuts, strict=False)])
        answers = torch.from_numpy(positions).to(decoder.device)
        for first, hidden in _in_groups(decoder, batch, variants):
            for at, stream in enumerate(hidden):
                said = stream[answers - 1]  # the position before predicts
                loss[first + at] += float(token_losses(said, decoder.head, batch.tokens[answers]).sum())
                hits[first + at] += float(token_hits(said, decoder.head, batch.tokens[answers]).sum())
        count += len(positions)
    return loss / count, hits / count


def _in_groups(decoder, batch, variants):  # type: ignore[no-untyped-def]
    """(index of the first stream, hidden states of some streams): the intact one once, then all variants."""
    for start in range(0, max(1, len(variants)), _VARIANTS):
        hidden = decoder(batch, variants[start : start + _VARIANTS])
        yield (0, hidden) if start == 0 else (1 + start, hidden[1:])


def judge(intact: Effect, chosen: Effect, draws: Sequence[Effect]) -> list[Rule]:
    """The rules that the chosen heads must keep against at least MIN_DRAWS random draws.

    Raises
    ------
    ValueError
        If there are too few draws.
    """
    if len(draws) < MIN_DRAWS:
        raise ValueError(f"draws must be at least {MIN_DRAWS}, got {len(draws)}.")
    rise = chosen.loss - intact.loss
    rises = np.array([draw.loss - intact.loss for draw in draws])
    selectivity = _selectivity(intact, chosen)
    selectivities = np.array([_selectivity(intact, draw) for draw in draws])
    times = rise / max(float(np.median(rises)), 1e-6)
    times_selective = selectivity / max(float(np.median(selectivities)), 1e-6)
    return [
        _rule("rise of the answer loss over the draws' median rise", times, MIN_RISE_OVER_DRAWS),
        Rule("rise of the answer loss above every draw's", rise, float(rises.max()), bool(rise > rises.max())),
        _rule("rise on probes over rise on prose, over the draws' median", times_selective, MIN_SELECTIVITY_OVER_DRAWS),
    ]


def _rule(rule: str, value: float, bar: float) -> Rule:
    return Rule(rule, value, bar, value >= bar)


def _selectivity(intact: Effect, changed: Effect) -> float:
    # a rise on prose below a hundredth of a nat is noise, and dividing by it would say anything
    return (changed.loss - intact.loss) / max(changed.prose_loss - intact.prose_loss, 0.01)
