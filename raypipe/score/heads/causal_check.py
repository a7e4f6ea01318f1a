"""What neutralising heads does to the answers of fresh probes and to plain prose: chosen heads, and random draws."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from raypipe.lm.decoder import Decoder
from raypipe.lm.heads import Head
from raypipe.lm.loss import token_hits, token_losses
from raypipe.lm.packing import pack
from raypipe.lm.plan import plan_batches
from raypipe.score.heads.probes import RetrievalProbe
from raypipe.score.heads.verdict import MAX_DRAWS, Answers, ProbeResult, judge_draws, judge_task

WRECKS_PROSE = 0.3
"""Nats a token of prose; a head that alone costs more wrecks all text, whatever it copies."""
_VARIANTS = 8  # at once: memory holds so many streams


def causal_check(
    decoder: Decoder,
    chosen: list[Head],
    probes: Sequence[RetrievalProbe],
    prose: Sequence[np.ndarray],
    *,
    n_draws: int,
    seed: int,
    token_budget: int,
) -> dict[str, Any]:
    """The check of the chosen heads on fresh probes, for the record.

    Random draws are doubled, up to MAX_DRAWS, until more of them wouldn't change the verdict.
    """

    def measure(variants: list[list[Head]]) -> tuple[Answers, list[ProbeResult]]:
        answers = answers_of(decoder, variants, probes, token_budget=token_budget)
        on_prose = prose_losses(decoder, variants, prose, token_budget=token_budget)
        return answers, effects_of(answers, on_prose, probes)

    absent = answers_of(decoder, [], [probe.without_answer() for probe in probes], token_budget=token_budget)
    present, (intact, without) = measure([chosen])
    task = judge_task(present, absent, seed=seed)
    draws: list[list[Head]] = []
    effects: list[ProbeResult] = []
    while True:
        drawn = draw_heads(chosen, n_heads=decoder.shape.n_heads, n_draws=n_draws, seed=seed)
        effects += measure(drawn[len(draws) :])[1][1:]
        draws = drawn
        beside = judge_draws(intact, without, effects, seed=seed)
        settled = all(rule.is_settled for rule in beside) or not all(rule.passed for rule in task)
        if settled or n_draws >= MAX_DRAWS:
            break
        n_draws = min(2 * n_draws, MAX_DRAWS)
    return {
        "n_probes": len(probes),
        "intact": asdict(intact),
        "chosen": asdict(without),
        "absent": {"loss": float(absent.losses.mean()), "accuracy": float(absent.said.mean())},
        "draws": [
            {"heads": [list(head) for head in heads], **asdict(effect)}
            for heads, effect in zip(draws, effects, strict=True)
        ],
        "rules": [asdict(rule) for rule in [*task, *beside]],
        "passed": all(rule.passed for rule in [*task, *beside]),
    }


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


def effects_of(answers: Answers, prose: np.ndarray, probes: Sequence[RetrievalProbe]) -> list[ProbeResult]:
    """Each variant's effect from its answers [v, n] and its losses of prose [v]; every token of an answer counts."""
    tokens = np.array([len(probe.answer) for probe in probes])
    losses, said = (np.average(of, axis=1, weights=tokens) for of in (answers.losses, answers.said))
    return [ProbeResult(*(float(x) for x in row)) for row in zip(losses, said, prose, strict=True)]


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


@torch.inference_mode()
def answers_of(
    decoder: Decoder, variants: Sequence[Iterable[Head]], probes: Sequence[RetrievalProbe], *, token_budget: int
) -> Answers:
    """What the intact model says on each probe, then each variant, [1 + v, n]."""
    losses, said = (np.zeros((1 + len(variants), len(probes))) for _ in range(2))
    lengths = np.array([len(probe.ids) for probe in probes])
    for rows in plan_batches(lengths, budget=max(token_budget, int(lengths.max()))):
        batch = pack([probes[row].ids for row in rows], device=decoder.device)
        positions = [probes[row].answer + start for row, start in zip(rows, batch.cuts, strict=False)]
        sizes = np.array([len(of) for of in positions])
        starts = np.cumsum(sizes) - sizes
        answers = torch.from_numpy(np.concatenate(positions)).to(decoder.device)
        for first, hidden in _in_groups(decoder, batch, variants):
            for at, stream in enumerate(hidden):
                before = stream[answers - 1]  # the position before predicts
                for into, found in (
                    (losses, token_losses(before, decoder.head, batch.tokens[answers])),
                    (said, token_hits(before, decoder.head, batch.tokens[answers])),
                ):
                    sums = np.add.reduceat(found.double().cpu().numpy(), starts)
                    into[first + at, rows] = sums / sizes
    return Answers(losses, said)


def _in_groups(decoder, batch, variants):  # type: ignore[no-untyped-def]
    """(index of the first stream, hidden states of some streams): the intact one once, then all variants."""
    for start in range(0, max(1, len(variants)), _VARIANTS):
        hidden = decoder(batch, variants[start : start + _VARIANTS])
        yield (0, hidden) if start == 0 else (1 + start, hidden[1:])
