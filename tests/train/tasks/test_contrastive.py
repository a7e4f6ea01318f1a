"""Pairs under a loss over the whole step: gradients don't depend on how its rows lie on workers and passes."""

import os
import socket
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from raypipe.contracts.rows import Pair
from raypipe.contracts.task import Placed
from raypipe.lm.packing import pack
from raypipe.losses.contrastive import ContrastiveLoss
from raypipe.losses.hard_negative_mixing import mixed_list, mixed_pairs
from raypipe.losses.info_nce import focal_weight, info_nce
from raypipe.losses.teacher_scores import teacher_kl
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.engines.workers import Workers
from raypipe.train.loop.whole_step import backward_whole
from raypipe.train.tasks.contrastive import Contrastive, _draws
from raypipe.train.tasks.text_encoder import TextEncoder
from tests.train.parts import HERE, tiny_model
from tests.train.processes import run_workers

HARD = {"n_negatives": 2, "focal_gamma": 0.5, "matryoshka": (32, 8), "matryoshka_weights": (1.0, 0.3)}
MIXED = {"n_negatives": 3, "pair_mixtures": 2, "list_mixture": True, "scores_weight": 0.7, "focal_gamma": 1.0}
"""Everything that isn't on by itself."""
CASES = {"plain": {}, "hard": HARD, "mixed": MIXED}


def contrastive(*, n_negatives: int = 0, **settings: Any) -> Contrastive:
    encoder = TextEncoder(tiny_model().model, pooling="last", is_causal=True)
    return Contrastive(encoder, ContrastiveLoss(contrast_temperature=0.5, **settings), n_negatives=n_negatives)


def pairs(n: int = 8, *, n_negatives: int = 0) -> list[Pair]:
    rng = np.random.default_rng(0)
    texts = [
        [rng.integers(1, 64, rng.integers(3, 9)).astype(np.int32) for _ in range(2 + n_negatives)] for _ in range(n)
    ]
    return [
        Pair(query, positive, "all", "a.jsonl", row, tuple(others), tuple(rng.random(1 + n_negatives)))
        for row, (query, positive, *others) in enumerate(texts)
    ]


def gradients(
    workers: Workers, micro: list[list[Pair]], settings: dict[str, Any]
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Those of a step, and the terms of this worker's rows."""
    task = contrastive(**settings)
    engine = TorchEngine(task.models, Optimiser(), n_micro=len(micro), precision=Precision("float32"), workers=workers)
    terms, _ = backward_whole(task, engine, micro)
    engine.exchange()
    return {name: engine.gradients.read(name).clone() for name in engine.gradients.names()}, terms.losses.tolist()


def rows_for(settings: dict[str, Any]) -> list[Pair]:
    return pairs(n_negatives=settings.get("n_negatives", 0))


def worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    for name, settings in CASES.items():
        rows = rows_for(settings)[rank::2]
        found = gradients(Workers.of_this_process(), [rows[:2], rows[2:]], settings)
        torch.save(found, f"{folder}/{name}-{rank}.pt")
    dist.destroy_process_group()
    os._exit(0)


@cache
def by_hand(case: str) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The loss written out on the whole step at once: a row after another, no packing, no cache."""
    settings = CASES[case]
    task, rows = contrastive(**settings), rows_for(settings)
    encoder = task.models.trained

    def vector(ids: np.ndarray) -> torch.Tensor:
        return encoder(pack([ids], device=torch.device("cpu")))[0]

    queries, positives = [vector(row.query) for row in rows], [vector(row.positive) for row in rows]
    negatives = [[vector(ids) for ids in row.negatives] for row in rows]
    sizes = dict(zip(settings.get("matryoshka", ()), settings.get("matryoshka_weights", ()), strict=True))
    losses = []
    for at, row in enumerate(rows):
        total = torch.zeros(())
        for size, weight in (sizes or {len(queries[0]): 1.0}).items():
            q, *others = (unit(x[:size]) for x in (queries[at], *positives, *(x for row in negatives for x in row)))
            own = [unit(x[:size]) for x in negatives[at]]
            logits = torch.stack([q @ x for x in (*others, *mixtures(q, own, row, settings))]) / 0.5
            term = torch.logsumexp(logits, 0) - logits[at]
            easy = torch.exp(-term.detach())
            if settings.get("scores_weight"):
                teacher = torch.tensor(row.scores, dtype=torch.float32).div(0.05).softmax(0)
                student = torch.stack([q @ x for x in (others[at], *own)]).div(0.05).softmax(0)
                term = term + 0.7 * (teacher * (teacher / student).log()).sum()
            total = total + weight * (1 - easy) ** settings.get("focal_gamma", 0.0) * term
        losses.append(total)
    torch.stack(losses).mean().backward()
    return {name: weight.grad for name, weight in encoder.named_parameters()}, [loss.item() for loss in losses]


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm()


def mixtures(q: torch.Tensor, own: list[torch.Tensor], row: Pair, settings: dict[str, Any]) -> list[torch.Tensor]:
    found = []
    for draws in _draws(row, settings.get("pair_mixtures", 0)):
        one = int(draws[0] * len(own))
        other = (one + 1 + int(draws[1] * (len(own) - 1))) % len(own)
        share = float(sorted(draws[2:])[1])
        found.append(unit(share * own[one] + (1 - share) * own[other]))
    if settings.get("list_mixture"):
        weights = torch.stack([(q @ x).detach() for x in own]).div(0.5).softmax(0)
        found.append(unit(sum(weight * x for weight, x in zip(weights, own, strict=True))))
    return found


def assert_equal(found: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert found.keys() == right.keys()
    largest = max(float(value.abs().max()) for value in right.values())
    assert largest > 1e-3  # they aren't all zero
    assert max(float((found[name] - right[name]).abs().max()) for name in right) < 1e-5 * max(1.0, largest)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [8, 4, 2, 1])
def test_cached_gradients_are_those_of_the_whole_step_at_once(size, case):
    rows = rows_for(CASES[case])
    found, losses = gradients(HERE, [rows[at : at + size] for at in range(0, 8, size)], CASES[case])
    right, terms = by_hand(case)
    assert losses == pytest.approx(terms, abs=1e-5)
    assert_equal(found, right)


def test_two_workers_have_the_gradients_of_one(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run_workers(worker, (port, str(tmp_path)), world=2)
    for name in CASES:
        right, terms = by_hand(name)
        for rank in range(2):
            found, losses = torch.load(tmp_path / f"{name}-{rank}.pt")
            assert losses == pytest.approx(terms[rank::2], abs=1e-5)
            assert_equal(found, right)


def test_a_hard_negative_costs_and_an_easy_row_weighs_less():
    unit = torch.eye(4)
    queries, positives = unit[:2], unit[:2]
    far, near = unit[2:][:, None], unit[:2][:, None]
    plain, hard = (info_nce(queries, positives, one, temperature=0.5) for one in (far, near))
    assert plain.tolist() == pytest.approx([float(np.log(1 + 3 * np.exp(-2)))] * 2)
    assert hard.tolist() == pytest.approx([float(np.log(2 + 2 * np.exp(-2)))] * 2)
    easy, difficult = (float(focal_weight(one, gamma=2.0)[0]) for one in (plain, hard))
    assert easy == pytest.approx((1 - np.exp(-float(plain[0]))) ** 2)
    assert 0 < easy < difficult < 1
    found = ContrastiveLoss(contrast_temperature=0.5).terms(
        {"queries": queries, "positives": positives, "negatives": far}
    )
    assert torch.equal(found, plain)  # without weights and mixtures it is InfoNCE


def test_a_mixture_is_of_length_one_and_as_near_as_its_parts_are_on_average():
    rng = torch.Generator().manual_seed(0)
    q, negatives = torch.randn(40, 6, generator=rng), torch.randn(40, 4, 6, generator=rng)
    draws = torch.rand(40, 500, 5, generator=rng)
    found = mixed_pairs(negatives, draws)
    assert found.norm(dim=2).sub(1).abs().max() < 1e-5
    unit = torch.nn.functional.normalize
    cosines = (unit(negatives, dim=2) * unit(q, dim=1)[:, None]).sum(2)
    one = (draws[..., 0] * 4).long()
    other = (one + 1 + (draws[..., 1] * 3).long()) % 4
    share = draws[..., 2:].sort(dim=2).values[..., 1]
    mean = share * cosines.gather(1, one) + (1 - share) * cosines.gather(1, other)
    mixed = (found * unit(q, dim=1)[:, None]).sum(2)
    assert (mixed >= mean - 1e-6)[mean > 0].all()
    assert (one != other).all()
    assert share.mean() == pytest.approx(0.5, abs=0.01)
    assert share.var() == pytest.approx(1 / 20, abs=0.002)  # of Beta(2, 2)
    whole = mixed_list(q, negatives, temperature=0.1)
    assert whole.norm(dim=2).sub(1).abs().max() < 1e-5
    nearer = (whole[:, 0] * unit(q, dim=1)).sum(1) - cosines.mean(1)
    assert (nearer > 0).all()
    with pytest.raises(ValueError, match="at least 2 negatives to be mixed in pairs, got 1"):
        mixed_pairs(negatives[:, :1], draws)


SHAPES = {"queries": (8,), "positives": (8,), "negatives": (3, 8), "draws": (2, 5), "scores": (4,)}


def test_mixtures_raise_the_loss():
    rng = torch.Generator().manual_seed(0)
    of = {name: torch.rand(9, *shape, generator=rng) - 0.5 for name, shape in SHAPES.items()} | {
        "draws": torch.rand(9, 2, 5, generator=rng)
    }
    plain, mixed = (ContrastiveLoss(pair_mixtures=n, list_mixture=n > 0).terms(of) for n in (0, 2))
    assert (mixed >= plain).all()
    assert (mixed > plain).any()


def test_a_teacher_who_says_what_the_student_says_costs_nothing():
    rng = torch.Generator().manual_seed(0)
    of = {name: torch.randn(9, *shape, generator=rng) for name, shape in SHAPES.items()}
    q, p, n, scores = (of[name] for name in ("queries", "positives", "negatives", "scores"))
    candidates = torch.nn.functional.normalize(torch.cat([p[:, None], n], dim=1), dim=2)
    cosines = (candidates * torch.nn.functional.normalize(q, dim=1)[:, None]).sum(2)
    given = {"scores_temperature": 0.4, "temperature": 0.2}
    assert teacher_kl(q, p, n, 2 * cosines + 3, **given).abs().max() < 1e-5
    right = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=scores / 0.4), torch.distributions.Categorical(logits=cosines / 0.2)
    )
    assert torch.allclose(teacher_kl(q, p, n, scores, **given), right, atol=1e-5)


def test_first_dimensions_are_judged_alone():
    rng = torch.Generator().manual_seed(0)
    of = {name: torch.randn(5, 8, generator=rng) for name in ("queries", "positives")}
    Q, P = of["queries"], of["positives"]
    found = ContrastiveLoss(matryoshka=(8, 2), matryoshka_weights=(1.0, 0.3)).terms(of)
    right = info_nce(Q, P, temperature=0.05) + 0.3 * info_nce(Q[:, :2], P[:, :2], temperature=0.05)
    assert torch.allclose(found, right)


def test_a_text_is_never_a_negative_of_the_query_that_it_belongs_to():
    rows = pairs(4)
    twins = [*rows, replace(rows[0], query=rows[1].query, row=4)]  # its text is the first row's positive
    task = contrastive()
    models = Placed(task.models.trained)
    of = [task.embed(models, task.collate(some, torch.device("cpu"))) for some in (twins, rows)]
    together, alone = (task.loss(models, one) for one in of)
    assert together.losses[0].item() == pytest.approx(alone.losses[0].item(), abs=1e-5)
    assert together.losses[2].item() > alone.losses[2].item() + 1e-3  # to others it is one more
    assert together.metrics["recall@1"].tolist()[:4] == alone.metrics["recall@1"].tolist()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"contrast_temperature": 0.0}, "contrast_temperature must be above 0, got 0.0"),
        ({"focal_gamma": -1.0}, "focal_gamma must be at least 0, got -1.0"),
        ({"contrast_weight": 0.0}, "contrast_weight or scores_weight must be above 0"),
        ({"pair_mixtures": 1}, "pair_mixtures need rows of at least 2 negatives, got 1"),
        ({"matryoshka": (33,)}, r"matryoshka must be numbers from 1 to 32, got \[33\]"),
        ({"matryoshka": (32, 8), "matryoshka_weights": (1.0,)}, "matryoshka_weights must be 2 numbers above 0"),
    ],
)
def test_a_loss_that_cannot_be_computed_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        ContrastiveLoss(**settings).check(n_dimensions=32, n_negatives=1)


def test_rows_must_bring_as_many_negatives_and_scores_as_the_task_takes():
    with pytest.raises(ValueError, match=r"a.jsonl, row 0: a row must bring 2 negatives, got 0"):
        contrastive(**HARD).collate(pairs(), torch.device("cpu"))
    bare = [replace(row, scores=()) for row in rows_for(MIXED)]
    with pytest.raises(ValueError, match=r"a.jsonl, row 0: a row must bring 4 scores, got 0"):
        contrastive(**MIXED).collate(bare, torch.device("cpu"))
    with pytest.raises(ValueError, match=r"n_negatives must be at least 0, got -1"):
        contrastive(n_negatives=-1)


def test_info_nce_by_hand_and_its_limits():
    unit = torch.eye(3)
    found = info_nce(5 * unit, unit, temperature=0.5)
    assert found.tolist() == pytest.approx([float(np.log(1 + 2 * np.exp(-2)))] * 3, abs=1e-6)
    assert float(info_nce(unit, unit.roll(1, 0), temperature=0.01).min()) > 99
