"""Pairs under a loss over the whole step: gradients don't depend on how its rows lie on workers and passes."""

import os
import socket
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from raypipe.contracts.rows import Pair
from raypipe.losses.info_nce import info_nce, matryoshka_info_nce
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.engines.workers import Workers
from raypipe.train.loop.whole_step import backward_whole
from raypipe.train.tasks.contrastive import Contrastive
from tests.train.parts import HERE, tiny_model
from tests.train.processes import run_workers

HARD = {"n_negatives": 2, "gamma": 0.5, "dimensions": {32: 1.0, 8: 0.3}}
"""Everything that isn't on by itself."""


def pairs(n: int = 8, *, n_negatives: int = 0) -> list[Pair]:
    rng = np.random.default_rng(0)
    texts = [
        [rng.integers(1, 64, rng.integers(3, 9)).astype(np.int32) for _ in range(2 + n_negatives)] for _ in range(n)
    ]
    return [
        Pair(query, positive, "all", "a.jsonl", row, tuple(others))
        for row, (query, positive, *others) in enumerate(texts)
    ]


def gradients(
    workers: Workers, micro: list[list[Pair]], settings: dict[str, Any]
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Those of a step, and the terms of this worker's rows."""
    task = Contrastive(tiny_model(), temperature=0.5, **settings)
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
    for name, settings in (("plain", {}), ("hard", HARD)):
        rows = rows_for(settings)[rank::2]
        found = gradients(Workers.of_this_process(), [rows[:2], rows[2:]], settings)
        torch.save(found, f"{folder}/{name}-{rank}.pt")
    dist.destroy_process_group()
    os._exit(0)


def by_hand(settings: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The loss written out: log-softmax of cosines, on the whole step at once, no cache."""
    task, rows = Contrastive(tiny_model(), temperature=0.5, **settings), rows_for(settings)
    vectors, n = task.models.trained(task.collate(rows, torch.device("cpu"))["batch"]), len(rows)
    losses = torch.zeros(n)
    for size, weight in (settings.get("dimensions") or {vectors.shape[1]: 1.0}).items():
        cut = vectors[:, :size]
        unit = cut / cut.norm(dim=1, keepdim=True)
        cosine = unit[:n] @ unit[n:].T  # to every positive, and to every negative of every row
        terms = torch.logsumexp(cosine / 0.5, dim=1) - cosine.diagonal() / 0.5
        easy = torch.exp(-terms.detach())
        losses = losses + weight * (1 - easy) ** settings.get("gamma", 0.0) * terms
    losses.mean().backward()
    return {name: weight.grad for name, weight in task.models.trained.named_parameters()}, losses.tolist()


def assert_equal(found: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert found.keys() == right.keys()
    assert max(float((found[name] - right[name]).abs().max()) for name in right) < 1e-6
    assert max(float(value.abs().max()) for value in right.values()) > 1e-3  # they aren't all zero


@pytest.mark.parametrize("settings", [{}, HARD], ids=["plain", "hard"])
@pytest.mark.parametrize("size", [8, 4, 2, 1])
def test_cached_gradients_are_those_of_the_whole_step_at_once(size, settings):
    rows = rows_for(settings)
    found, losses = gradients(HERE, [rows[at : at + size] for at in range(0, 8, size)], settings)
    right, terms = by_hand(settings)
    assert losses == pytest.approx(terms, abs=1e-6)
    assert_equal(found, right)


def test_two_workers_have_the_gradients_of_one(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run_workers(worker, (port, str(tmp_path)), world=2)
    for name, settings in (("plain", {}), ("hard", HARD)):
        right, terms = by_hand(settings)
        for rank in range(2):
            found, losses = torch.load(tmp_path / f"{name}-{rank}.pt")
            assert losses == pytest.approx(terms[rank::2], abs=1e-6)
            assert_equal(found, right)


def test_a_hard_negative_costs_and_an_easy_row_weighs_less():
    unit = torch.eye(4)
    queries, positives = unit[:2], unit[:2]
    far, near = unit[2:][:, None], unit[:2][:, None]
    plain, hard = (info_nce(queries, positives, one, temperature=0.5) for one in (far, near))
    assert plain.tolist() == pytest.approx([float(np.log(1 + 3 * np.exp(-2)))] * 2)
    assert hard.tolist() == pytest.approx([float(np.log(2 + 2 * np.exp(-2)))] * 2)
    focal = info_nce(queries, positives, far, temperature=0.5, gamma=2.0)
    assert focal.tolist() == pytest.approx(((1 - (-plain).exp()) ** 2 * plain).tolist())
    assert float(focal[0] / plain[0]) < float(
        info_nce(queries, positives, near, temperature=0.5, gamma=2.0)[0] / hard[0]
    )


def test_first_dimensions_are_judged_alone():
    rng = torch.Generator().manual_seed(0)
    Q, P = torch.randn(5, 8, generator=rng), torch.randn(5, 8, generator=rng)
    found = matryoshka_info_nce(Q, P, weights={8: 1.0, 2: 0.3}, temperature=0.1)
    right = info_nce(Q, P, temperature=0.1) + 0.3 * info_nce(Q[:, :2], P[:, :2], temperature=0.1)
    assert torch.allclose(found, right)
    for weights in ({}, {9: 1.0}, {4: 0.0}):
        with pytest.raises(ValueError, match="weights must be above 0, of 1 to 8 dimensions each"):
            matryoshka_info_nce(Q, P, weights=weights, temperature=0.1)


def test_rows_must_bring_as_many_negatives_as_the_task_takes():
    with pytest.raises(ValueError, match=r"a.jsonl, row 0: a row must bring 2 negatives, got 0"):
        Contrastive(tiny_model(), **HARD).collate(pairs(), torch.device("cpu"))
    with pytest.raises(ValueError, match=r"n_negatives and gamma at least 0, got 0.05, -1, 0.0"):
        Contrastive(tiny_model(), n_negatives=-1)


def test_info_nce_by_hand_and_its_limits():
    unit = torch.eye(3)
    found = info_nce(5 * unit, unit, temperature=0.5)
    assert found.tolist() == pytest.approx([float(np.log(1 + 2 * np.exp(-2)))] * 3, abs=1e-6)
    assert float(info_nce(unit, unit.roll(1, 0), temperature=0.01).min()) > 99
    with pytest.raises(ValueError, match="temperature must be above 0"):
        Contrastive(tiny_model(), temperature=0)
