"""Any task with fewer weights: its own hooks, and a mask held beside them (see raypipe/train/weights/pruning.py)."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from torch import nn

from raypipe.contracts.rows import Row
from raypipe.contracts.task import Figure, Models, Placed, RowLosses, Task, Tensors, WholeStepTask
from raypipe.fitting.masks import grasp_scores, snip_scores
from raypipe.train.engines.handles import Weights, plainly, trained_weights
from raypipe.train.engines.workers import Workers
from raypipe.train.tasks.next_token import LossHead
from raypipe.train.weights.pruning import Pruner, matrices_of

R = TypeVar("R", bound=Row)


class Pruned(Generic[R]):
    """A task whose masked weights are 0, before training, after each step and in what is exported."""

    def __init__(self, task: Task[R], pruner: Pruner) -> None:
        """The pruner has begun; the task's weights are masked at once, before an engine takes them."""
        self.task, self.pruner = task, pruner
        pruner.hold(Weights(trained_weights(task.models.trained)))

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        return self.task.models.trained

    @property
    def models(self) -> Models:
        """The task's own."""
        return self.task.models

    @property
    def whole_step(self) -> bool:
        """As the task."""
        return self.task.whole_step

    @property
    def figures(self) -> Sequence[Figure]:
        """The task's own."""
        return self.task.figures

    def count(self, row: R) -> int:
        """As the task counts."""
        return self.task.count(row)

    def collate(self, rows: Sequence[R], device: torch.device) -> dict[str, Any]:
        """As the task does."""
        return self.task.collate(rows, device)

    def __getattr__(self, name: str) -> Any:
        """What the loop asks of a task whose loss is of a whole step."""
        if name != "embed":
            raise AttributeError(name)
        return cast(WholeStepTask[R], self.task).embed

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """The task's own."""
        return self.task.loss(models, tensors)

    def flops(self, rows: Sequence[R]) -> float:
        """Those that are carried out: what is masked is multiplied all the same."""
        return self.task.flops(rows)

    def after_backward(self, gradients: Tensors) -> None:
        """The task's edits, then the mask."""
        self.task.after_backward(gradients)
        self.pruner.after_backward(gradients)

    def after_step(self, weights: Tensors, step: int) -> None:
        """The task's edits, then the mask's own update."""
        self.task.after_step(weights, step)
        self.pruner.after_step(weights, step)

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The task's figures."""
        return self.task.summary(metrics)

    def state(self) -> dict[str, torch.Tensor]:
        """The task's, and the masks."""
        return {**self.task.state(), **self.pruner.state()}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take up both."""
        self.task.load_state(state)
        self.pruner.load_state(state)


def saliency(
    task: Task[R], passes: Sequence[Sequence[R]], workers: Workers, *, is_second_order: bool
) -> dict[str, torch.Tensor]:
    """SNIP's scores of the matrices on a step's rows, or GraSP's: the same on all workers.

    Raises
    ------
    ValueError
        If the task's loss is of a whole step.
    """
    if task.whole_step:
        raise ValueError("snip and grasp need a loss of single rows; take magnitude, gmp, set or rigl.")
    named = trained_weights(task.models.trained)
    weights = matrices_of(named)
    task.models.trained.to(workers.device)
    # the fused kernels of attention have no second derivative
    backend = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH) if is_second_order else nullcontext()
    with backend:
        gradients = _gradients(task, passes, weights, workers)
        if not is_second_order:
            return snip_scores({name: of.detach() for name, of in weights.items()}, gradients)
        heads = [module for module in task.models.trained.modules() if isinstance(module, LossHead)]
        for head in heads:
            head.holds_logits = True
        products = _products(task, passes, weights, gradients, workers)
        for head in heads:
            head.holds_logits = False
    return grasp_scores({name: of.detach() for name, of in weights.items()}, products)


def _mean_loss(task: Task[R], rows: Sequence[R], n_terms: float, device: torch.device) -> torch.Tensor:
    return task.loss(plainly(task.models), task.collate(rows, device)).losses.sum() / n_terms


def _terms(task: Task[R], passes: Sequence[Sequence[R]], workers: Workers) -> float:
    return float(workers.sum(np.array([float(sum(task.count(row) for rows in passes for row in rows))]))[0])


def _gradients(
    task: Task[R], passes: Sequence[Sequence[R]], weights: Mapping[str, torch.Tensor], workers: Workers
) -> dict[str, torch.Tensor]:
    n, total = _terms(task, passes, workers), {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for rows in passes:
        found = torch.autograd.grad(_mean_loss(task, rows, n, workers.device), list(weights.values()))
        for name, gradient in zip(weights, found, strict=True):
            total[name] += gradient
    return _summed(total, workers)


def _products(
    task: Task[R], passes: Sequence[Sequence[R]], weights: Mapping[str, torch.Tensor],
    gradients: Mapping[str, torch.Tensor], workers: Workers,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """H g: the gradient of (gradient . g), g held."""
    n, total = _terms(task, passes, workers), {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for rows in passes:
        loss = _mean_loss(task, rows, n, workers.device)
        first = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        along = torch.stack([(one * gradients[name]).sum() for name, one in zip(weights, first, strict=True)]).sum()
        for name, product in zip(weights, torch.autograd.grad(along, list(weights.values())), strict=True):
            total[name] += product
    return _summed(total, workers)


def _summed(total: dict[str, torch.Tensor], workers: Workers) -> dict[str, torch.Tensor]:
    workers.average(list(total.values()))
    return {name: value * workers.world for name, value in total.items()}
