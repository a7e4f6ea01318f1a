"""A loop of plain torch, written out here, learns as ours does: the same losses and weights from the same order."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

from raypipe.contracts.rows import Document
from raypipe.losses.soft_labels import CrossEntropy
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import BatchLayout, ExampleLoader
from raypipe.train.engines.deepspeed_engine import DeepSpeedEngine
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.engines.workers import Workers
from raypipe.train.engines.zero import Zero
from raypipe.train.loop.checkpoint import Checkpoints
from raypipe.train.loop.journal import Journal, read_journal
from raypipe.train.loop.loop import train
from raypipe.train.loop.meter import Meter
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule
from raypipe.train.tasks.classification import ClassificationHead
from raypipe.train.tasks.next_token import NextToken
from raypipe.train.tasks.soft_labels import SoftLabelHead
from tests.train.parts import tiny_model
from tests.train.synthetic import VOCABULARY

N_STEPS, N_ROWS, MICRO, N_CLASSES = 12, 8, 2, 3
OPTIMISER = Optimiser(learning_rate=3e-3, weight_decay=0.1, clip=0.5)
SCHEDULE = Schedule(schedule="constant", warmup_fraction=0.0)


def documents(n: int = 20) -> list[Document]:
    rng = np.random.default_rng(0)
    found = []
    for row in range(n):
        ids = rng.integers(0, VOCABULARY, rng.integers(2, 9)).astype(np.int32)
        soft = rng.dirichlet(np.ones(N_CLASSES))
        found.append(Document(ids, "ab"[row % 2], "x", row, label=float(row % N_CLASSES), soft_label=soft))
    return found


def classifier() -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForSequenceClassification(LlamaConfig(vocab_size=VOCABULARY, num_labels=N_CLASSES, **sizes))


def token_losses(model: torch.nn.Module, document: Document) -> torch.Tensor:
    ids = torch.from_numpy(document.ids.astype(np.int64))
    return F.cross_entropy(model(input_ids=ids[None]).logits[0, :-1], ids[1:], reduction="none")


def class_loss(model: torch.nn.Module, document: Document) -> torch.Tensor:
    ids = torch.from_numpy(document.ids.astype(np.int64))
    return F.cross_entropy(model(input_ids=ids[None]).logits, torch.tensor([int(document.label)]), reduction="none")


def soft_loss(model: torch.nn.Module, document: Document) -> torch.Tensor:
    ids = torch.from_numpy(document.ids.astype(np.int64))
    log_p = model(input_ids=ids[None]).logits[0].log_softmax(0)
    return -(torch.from_numpy(document.soft_label).float() * log_p).sum()[None]


@dataclass(frozen=True)
class Case:
    """A task, the transformers model in it, and its loss of one document written out."""

    model: Callable[[], torch.nn.Module]
    task: Callable[[torch.nn.Module], NextToken | ClassificationHead]
    losses: Callable[[torch.nn.Module, Document], torch.Tensor]


CASES = {
    "next token": Case(tiny_model, NextToken, token_losses),
    "classification": Case(classifier, ClassificationHead, class_loss),
    "soft labels": Case(
        classifier, lambda model: SoftLabelHead(model, CrossEntropy(), n_steps=N_STEPS), soft_loss
    ),
}  # fmt: skip
each_task = pytest.mark.parametrize("name", CASES)


def order() -> list[list[Document]]:
    """The rows of each step."""
    loader = ExampleLoader(documents(), [], BatchLayout(0, 1, N_ROWS, N_ROWS), 0, lambda _: 1)
    return [list(loader.batch(step).micro[0]) for step in range(N_STEPS)]


def optimiser_of(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    groups = [
        {"params": [weight for weight in parameters if weight.ndim > 1], "weight_decay": 0.1},
        {"params": [weight for weight in parameters if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95))


def plain_loop(mean_loss: Callable[[list[Document]], torch.Tensor], model: torch.nn.Module) -> list[float]:
    """The loss of each step; `mean_loss` of some rows is their part of the step's, and its backward pass is taken."""
    parameters, curve = list(model.parameters()), []
    optimiser = optimiser_of(parameters)
    for rows in order():
        curve.append(float(mean_loss(rows)))
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimiser.step()
        optimiser.zero_grad()
    return curve


def by_documents(case: Case) -> list[float]:
    """Transformers' own forward pass, one document at a time, without packing."""
    model = case.model()

    def mean_loss(rows: list[Document]) -> torch.Tensor:
        loss = torch.cat([case.losses(model, row) for row in rows]).mean()
        loss.backward()
        return loss.detach()

    return plain_loop(mean_loss, model)


def by_passes(case: Case) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Packed as ours is, `MICRO` rows at a time, so that every product is of the same numbers."""
    task = case.task(case.model())
    module = task.module

    def mean_loss(rows: list[Document]) -> torch.Tensor:
        n, total = sum(task.count(row) for row in rows), torch.zeros((), dtype=torch.float64)
        n_passes = len(rows) // MICRO
        for at in range(0, len(rows), MICRO):
            tensors = task.collate(rows[at : at + MICRO], torch.device("cpu"))
            if isinstance(task, NextToken):
                losses = module(tensors["batch"], tensors["sources"], tensors["targets"])
            elif isinstance(task, SoftLabelHead):
                losses = F.cross_entropy(module(tensors["batch"]), tensors["labels"], reduction="none")
            else:
                losses = F.cross_entropy(module(tensors["batch"]), tensors["labels"].long(), reduction="none")
            (losses.sum() * (n_passes / n) / n_passes).backward()
            total += losses.detach().double().sum()
        return total / n

    return plain_loop(mean_loss, module), {name: weight.detach() for name, weight in module.named_parameters()}


def ours(case: Case, folder: str, *, zero: int | None = None) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The losses of our loop, and the exported weights."""
    workers = Workers.of_this_process()
    task, layout = case.task(case.model()), BatchLayout(workers.rank, workers.world, N_ROWS, MICRO)
    settings = {"n_micro": layout.n_micro, "precision": Precision(), "workers": workers}
    engine = (
        TorchEngine(task.models, OPTIMISER, **settings)
        if zero is None
        else DeepSpeedEngine(task.models, OPTIMISER, zero=Zero(zero), **settings)
    )
    journal = Journal(Folder(folder) / "metrics") if workers.rank == 0 else None
    train(
        task,
        engine,
        ExampleLoader(documents(), [], layout, 0, task.count),
        TrainingPlan(N_STEPS, SCHEDULE),
        checkpoints=Checkpoints(Folder(folder) / "checkpoints", workers, {}),
        meter=Meter(journal),
    )
    weights = engine.exported()
    return [line["loss"] for line in read_journal(Folder(folder) / "metrics")], weights


@each_task
def test_the_losses_are_those_of_a_loop_one_document_at_a_time(name, tmp_path):
    curve, _ = ours(CASES[name], str(tmp_path))
    assert {SCHEDULE.factor(step, N_STEPS) for step in range(N_STEPS)} == {1.0}
    assert curve == pytest.approx(by_documents(CASES[name]), abs=2e-5)
    assert abs(curve[-1] - curve[0]) > 0.05  # it went somewhere


@each_task
def test_losses_and_weights_are_those_of_a_plain_loop_to_the_bit(name, tmp_path):
    curve, weights = ours(CASES[name], str(tmp_path))
    right, trained = by_passes(CASES[name])
    assert np.float32(curve).tolist() == np.float32(right).tolist()
    assert curve == pytest.approx(right, rel=1e-14)  # sums by domain round otherwise in the last bit of a float64
    assert weights.keys() == trained.keys()
    assert all(torch.equal(weights[one], trained[one]) for one in trained)


def zero_worker(rank: int, port: int, folder: str, stages: tuple[int, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank),
                   "WORLD_SIZE": "2", "DS_ACCELERATOR": "cpu"}  # fmt: skip
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    for name, case in CASES.items():
        for stage in stages:
            ours(case, f"{folder}/{name}-{stage}", zero=stage)
    dist.destroy_process_group()
    os._exit(0)


@pytest.mark.slow
def test_two_workers_under_zero_0_to_3_have_the_losses_of_the_plain_loop(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stages = (0, 1, 2, 3)
    mp.spawn(zero_worker, args=(port, str(tmp_path), stages), nprocs=2, join=True)
    for name, case in CASES.items():
        right = np.array(by_documents(case))
        for stage in stages:
            found = [line["loss"] for line in read_journal(Folder(str(tmp_path / f"{name}-{stage}")) / "metrics")]
            assert np.abs(np.array(found) - right).max() < 1e-4, (name, stage)
