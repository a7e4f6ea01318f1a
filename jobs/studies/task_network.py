"""A network of one hidden layer, for all tasks or one for each, under a linear layer of every task's answers."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from raypipe.train.choices.question import Question

HIDDEN, BATCH, RATE, DECAY = 64, 16, 3e-3, 1e-2
"""Hidden units; examples of each task in a step; AdamW's learning rate and weight decay."""


@dataclass(frozen=True)
class Examples:
    """What is learnt of `t` tasks, with `k` answers in all."""

    X: torch.Tensor
    """[n, d] float32."""
    y: torch.Tensor
    """[n] int64, into `answers`."""
    rows: list[torch.Tensor]
    """By task, its examples [m] int64."""
    tasks: list[str]
    answers: list[tuple[str, str]]
    """Task and answer [k]."""

    @classmethod
    def of(cls, questions: Sequence[Question], X: np.ndarray, learnt: Sequence[str]) -> "Examples":
        """Questions, what is read of each [n, d], and the answers that are learnt."""
        choices = {question.task: question.choices for question in questions}
        tasks = sorted(choices)
        answers = [(task, choice) for task in tasks for choice in choices[task]]
        number = {answer: at for at, answer in enumerate(answers)}
        pairs = [(question.task, answer) for question, answer in zip(questions, learnt, strict=True)]
        of_task = np.array([task for task, _ in pairs])
        return cls(
            X=torch.from_numpy(np.array(X, np.float32)), y=torch.tensor([number[pair] for pair in pairs]),
            rows=[torch.from_numpy(np.flatnonzero(of_task == task)) for task in tasks], tasks=tasks, answers=answers,
        )  # fmt: skip


class TaskNetwork(nn.Module):
    """Random until it is fitted; the same seed, the same weights."""

    def __init__(self, examples: Examples, *, is_shared: bool, seed: int) -> None:
        super().__init__()
        self.examples, d, k = examples, examples.X.shape[1], len(examples.answers)
        n_layers = 1 if is_shared else len(examples.tasks)
        generator = torch.Generator().manual_seed(seed)
        self.inner = nn.Parameter(torch.randn(1, d, HIDDEN, generator=generator).repeat(n_layers, 1, 1) * d**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_layers, 1, HIDDEN))
        self.outer = nn.Parameter(torch.randn(HIDDEN, k, generator=generator) * HIDDEN**-0.5)
        self.shift = nn.Parameter(torch.zeros(k))
        self.is_choice = torch.tensor([[task == own for own, _ in examples.answers] for task in examples.tasks])

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Logits of `b` examples of each task, [t, b, d] -> [t, b, k]; -inf for the answers of other tasks."""
        hidden = torch.relu(X @ self.inner + self.bias)  # a shared layer is broadcast over tasks
        return (hidden @ self.outer + self.shift).masked_fill(~self.is_choice[:, None, :], -torch.inf)

    def one_a_task(self) -> "TaskNetwork":
        """The same network, of a hidden layer for each task from here on."""
        found, n_tasks = copy.deepcopy(self), len(self.examples.tasks)
        found.inner = nn.Parameter(self.inner.detach().repeat(n_tasks, 1, 1))
        found.bias = nn.Parameter(self.bias.detach().repeat(n_tasks, 1, 1))
        return found

    @torch.no_grad()
    def answers(self, asked: Sequence[Question], X: np.ndarray) -> list[str]:
        """The likeliest answer to each question, of which X [n, d] is read."""
        read = torch.from_numpy(np.array(X, np.float32))
        every = self(read.expand(len(self.examples.tasks), -1, -1)).argmax(dim=-1)  # [t, n]
        of = [self.examples.tasks.index(question.task) for question in asked]
        return [self.examples.answers[every[task, row]][1] for row, task in enumerate(of)]


def fit(network: TaskNetwork, n_steps: int, *, seed: int) -> TaskNetwork:
    """The network itself after so many steps, each of as many random examples of every task."""
    examples, rng = network.examples, np.random.default_rng([seed, 2])
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(n_steps):
        drawn = torch.stack([rows[torch.from_numpy(rng.integers(0, len(rows), BATCH))] for rows in examples.rows])
        optimiser.zero_grad()
        logits = network(examples.X[drawn])
        nn.functional.cross_entropy(logits.flatten(0, 1), examples.y[drawn].flatten()).backward()
        optimiser.step()
    return network
