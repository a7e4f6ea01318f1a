"""Pairs under a loss over the whole step: gradients don't depend on how its rows lie on workers and passes."""

import os
import socket
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist

from raypipe.contracts.rows import Pair
from raypipe.losses.info_nce import info_nce
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.engines.workers import Workers
from raypipe.train.loop.whole_step import backward_whole
from raypipe.train.tasks.contrastive import Contrastive
from tests.train.parts import HERE, tiny_model
from tests.train.processes import run_workers


def pairs(n: int = 8) -> list[Pair]:
    rng = np.random.default_rng(0)
    texts = [[rng.integers(1, 64, rng.integers(3, 9)).astype(np.int32) for _ in range(2)] for _ in range(n)]
    return [Pair(query, positive, "all", "a.jsonl", row) for row, (query, positive) in enumerate(texts)]


def gradients(workers: Workers, micro: list[list[Pair]]) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Those of a step, and the terms of this worker's rows."""
    task = Contrastive(tiny_model(), temperature=0.5)
    engine = TorchEngine(task.models, Optimiser(), n_micro=len(micro), precision=Precision("float32"), workers=workers)
    terms, _ = backward_whole(task, engine, micro)
    engine.exchange()
    return {name: engine.gradients.read(name).clone() for name in engine.gradients.names()}, terms.losses.tolist()


def worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    rows = pairs()[rank::2]
    found = gradients(Workers.of_this_process(), [rows[:2], rows[2:]])
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()
    os._exit(0)


def by_hand() -> tuple[dict[str, torch.Tensor], list[float]]:
    """The loss written out: log-softmax of cosines, on the whole step at once, no cache."""
    task, rows = Contrastive(tiny_model(), temperature=0.5), pairs()
    vectors = task.models.trained(task.collate(rows, torch.device("cpu"))["batch"])
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    cosine = unit[: len(rows)] @ unit[len(rows) :].T
    losses = torch.logsumexp(cosine / 0.5, dim=1) - cosine.diagonal() / 0.5
    losses.mean().backward()
    return {name: weight.grad for name, weight in task.models.trained.named_parameters()}, losses.tolist()


def assert_equal(found: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert found.keys() == right.keys()
    assert max(float((found[name] - right[name]).abs().max()) for name in right) < 1e-6
    assert max(float(value.abs().max()) for value in right.values()) > 1e-3  # they aren't all zero


@pytest.mark.parametrize("size", [8, 4, 2, 1])
def test_cached_gradients_are_those_of_the_whole_step_at_once(size):
    rows = pairs()
    found, losses = gradients(HERE, [rows[at : at + size] for at in range(0, 8, size)])
    right, terms = by_hand()
    assert losses == pytest.approx(terms, abs=1e-6)
    assert_equal(found, right)


def test_two_workers_have_the_gradients_of_one(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run_workers(worker, (port, str(tmp_path)), world=2)
    right, terms = by_hand()
    for rank in range(2):
        found, losses = torch.load(tmp_path / f"{rank}.pt")
        assert losses == pytest.approx(terms[rank::2], abs=1e-6)
        assert_equal(found, right)


def test_info_nce_by_hand_and_its_limits():
    unit = torch.eye(3)
    found = info_nce(5 * unit, unit, temperature=0.5)
    assert found.tolist() == pytest.approx([float(np.log(1 + 2 * np.exp(-2)))] * 3, abs=1e-6)
    assert float(info_nce(unit, unit.roll(1, 0), temperature=0.01).min()) > 99
    with pytest.raises(ValueError, match="temperature must be above 0"):
        Contrastive(tiny_model(), temperature=0)
