"""A factored output layer under the loop: two workers with two passes each are one batch; it resumes and exports."""

import os
import socket
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from raypipe.contracts.rows import Document
from raypipe.losses.z_loss import ZLoss, z_loss
from raypipe.runs.signals import Stopped
from raypipe.train.data.loader import BatchLayout, ExampleLoader
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.handles import plainly
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.engines.workers import Workers
from raypipe.train.loop.loop import backward
from raypipe.train.tasks.factored_next_token import FactoredNextToken
from tests.train.parts import Run, go, tiny_model, variant
from tests.train.processes import run_workers
from tests.train.synthetic import VOCABULARY, write_tokens

LENGTH, RATE = 9, 0.5


def documents(n: int = 16) -> list[Document]:
    """Of several lengths; some with tokens that aren't learnt."""
    random = np.random.default_rng(0)
    made = [random.integers(0, VOCABULARY, 2 + row % (LENGTH - 1)).astype(np.int32) for row in range(n)]
    return [Document(ids, "ab"[row % 2], "x", row, None if row % 3 else np.arange(len(ids)) < 2)
            for row, ids in enumerate(made)]  # fmt: skip


def task_of(**sizes) -> FactoredNextToken:
    model = tiny_model(num_hidden_layers=1, **sizes).double()
    return FactoredNextToken(model, ZLoss(z_b=3.0), length=LENGTH, learning_rate=lambda step: RATE / (1 + step))


def steps(task: FactoredNextToken, n: int, *, micro: int) -> None:
    """Train in this process, which may be one of several, by plain descent: Adam would divide by what rounding left."""
    workers = Workers.of_this_process()
    layout = BatchLayout(workers.rank, workers.world, 16, micro)
    engine = TorchEngine(
        task.models, Optimiser(clip=0.0), n_micro=layout.n_micro, precision=Precision(), workers=workers
    )
    engine._optimisers = [torch.optim.SGD(task.module.parameters(), lr=0.1)]
    for group in engine._optimisers[0].param_groups:
        group["peak_lr"] = 0.1
    loader = ExampleLoader(documents(), [], layout, 0, task.count)
    for step in range(n):
        backward(task, engine, loader, loader.batch(step), None)
        engine.exchange()
        engine.gradient_norm()
        engine.step(1.0)
        task.after_step(engine.weights, step + 1)


def everything(task: FactoredNextToken) -> dict[str, torch.Tensor]:
    return {**task.module.state_dict(), "head": task.head.weight(), "Q": task.head.Q}


def worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=120))
    task = task_of()
    steps(task, 4, micro=4)
    save_file({name: value.contiguous() for name, value in everything(task).items()}, f"{folder}/{rank}.safetensors")
    dist.destroy_process_group()
    os._exit(0)


@pytest.mark.slow
def test_two_workers_with_two_passes_each_are_one_batch(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run_workers(worker, (port, str(tmp_path)), world=2)
    alone = task_of()
    begun = alone.head.weight()
    steps(alone, 4, micro=16)
    assert (alone.head.weight() - begun).abs().max() > 1e-2
    for rank in range(2):
        found = load_file(tmp_path / f"{rank}.safetensors")
        for name, value in everything(alone).items():
            assert (found[name] - value).abs().max() < 1e-9, name


def test_passes_are_one_batch_and_that_is_naive_gradient_descent_through_all_outputs() -> None:
    whole, parts = task_of(), task_of()
    steps(whole, 2, micro=16)
    steps(parts, 2, micro=4)
    for name, value in everything(whole).items():
        assert (everything(parts)[name] - value).abs().max() < 1e-9, name
    naive = task_of()
    head = naive.head.weight().requires_grad_()
    for step in range(2):
        tensors = naive.collate(documents(), torch.device("cpu"))
        states = naive.module(tensors["batch"], tensors["sources"])
        loss = z_loss(states @ head.T, tensors["targets"], ZLoss(z_b=3.0)).mean()
        weights = [*naive.module.parameters(), head]
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight -= (RATE / (1 + step) if weight is head else 0.1) * gradient
    assert (whole.head.weight() - head).abs().max() < 1e-9
    for name, value in naive.module.state_dict().items():
        assert (whole.module.state_dict()[name] - value).abs().max() < 1e-9, name


def test_ranks_are_those_of_all_outputs_and_the_exported_model_has_the_layer() -> None:
    task = task_of(tie_word_embeddings=True)
    steps(task, 1, micro=16)
    task.module.eval()
    tensors = task.collate(rows := documents(), torch.device("cpu"))
    with torch.no_grad():
        found = task.loss(plainly(task.models), task.embed(plainly(task.models), tensors))
        states = task.module(tensors["batch"], tensors["sources"])
    outputs = states @ task.head.weight().T
    ranks = (outputs >= outputs.gather(1, tensors["targets"][:, None])).sum(1).double()
    said = task.summary({name: value.numpy() for name, value in found.metrics.items()})
    assert said["mean_rank"] == pytest.approx(float(ranks.mean()))
    assert said["top10"] == pytest.approx(float((ranks <= 10).double().mean()))
    assert found.metrics["tokens"].tolist() == [task.count(row) for row in rows]
    exported = task.with_layer()
    model = tiny_model(num_hidden_layers=1, tie_word_embeddings=False).double()
    model.load_state_dict(exported.state_dict())  # opened anew, its attention is its own
    assert exported.config.tie_word_embeddings is False
    whole = rows[4]
    assert task.count(whole) == len(whole.ids) - 1
    logits = model(torch.from_numpy(whole.ids.astype(np.int64))[None], use_cache=False).logits[0]
    torch.testing.assert_close(logits[:-1], outputs[tensors["owners"] == 4], atol=1e-9, rtol=1e-9)


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens")
    run = Run(str(tmp_path / "tokens"), str(tmp_path / "whole"), n_steps=4)

    def task() -> FactoredNextToken:
        model = tiny_model(num_hidden_layers=1)
        return FactoredNextToken(model, ZLoss(z_b=3.0), length=run.length, learning_rate=lambda _: RATE)

    whole, again, halves = task(), task(), variant(run, tmp_path / "halves")
    go(run, task=whole)
    with pytest.raises(Stopped):
        go(variant(halves, tmp_path / "halves", stop_at=2), task=task())
    go(halves, task=again)
    for name, value in everything(whole).items():
        assert torch.equal(value, everything(again)[name]), name


def test_a_b_that_no_token_reaches_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match="z_b must be below"):
        FactoredNextToken(tiny_model(), ZLoss(z_b=50.0), length=LENGTH, learning_rate=lambda _: 1.0)
