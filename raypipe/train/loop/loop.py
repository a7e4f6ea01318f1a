"""The training loop. It knows tasks and engines; it knows no tokens, no files and no Ray."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from raypipe.arrays.hashing import bits_of
from raypipe.runs.signals import Stopped
from raypipe.train.data.loader import Ahead, Batch, Document, Feed
from raypipe.train.engines.engine import Engine
from raypipe.train.loop.checkpoint import Checkpoints, State
from raypipe.train.loop.finite import NotFinite, kept_since, require_finite
from raypipe.train.loop.meter import Meter
from raypipe.train.loop.plan import Plan
from raypipe.train.tasks.task import Task, Terms

Request = Literal["save", "stop"] | None
"""What a worker may be asked between steps: to write a checkpoint, and to end."""


@dataclass
class Sums:
    """Loss by domain, added up over documents, then over workers."""

    domains: tuple[str, ...]
    losses: np.ndarray = field(init=False)  # [domains] float64
    counts: np.ndarray = field(init=False)  # [domains] float64

    def __post_init__(self) -> None:
        """Begin at zero."""
        self.losses, self.counts = np.zeros(len(self.domains)), np.zeros(len(self.domains))
        self._code = {domain: at for at, domain in enumerate(self.domains)}

    def add(self, terms: Terms, documents: Sequence[Document]) -> None:
        """The terms of a pass. Cost: of the domains in it, not of all."""
        here, of_document = np.unique([self._code[document.domain] for document in documents], return_inverse=True)
        owners = torch.from_numpy(of_document).to(terms.owners.device)[terms.owners]
        losses = torch.zeros(len(here), device=terms.losses.device, dtype=torch.float64)
        losses.index_add_(0, owners, terms.losses.detach().double())
        self.losses[here] += losses.cpu().numpy()
        self.counts[here] += torch.bincount(owners, minlength=len(here)).cpu().numpy()

    @property
    def mean(self) -> float:
        """Over all terms; NaN without any."""
        return float(self.losses.sum() / self.counts.sum()) if self.counts.sum() else float("nan")

    def by_domain(self) -> dict[str, float]:
        """The means of the domains that have terms."""
        known = np.flatnonzero(self.counts)
        return {self.domains[at]: float(self.losses[at] / self.counts[at]) for at in known.tolist()}


def train(
    task: Task,
    engine: Engine,
    feed: Feed,
    plan: Plan,
    *,
    checkpoints: Checkpoints,
    meter: Meter,
    asked: Callable[[], Request] = lambda: None,
) -> State:
    """Train from the last checkpoint, or from the start, to the plan's last step.

    Raises
    ------
    Stopped
        After any worker was asked to, once a checkpoint is written.
    NotFinite
        If a loss or a gradient isn't finite, nothing is updated with it; if weights aren't, no checkpoint is written.
    """
    state = checkpoints.restore(engine, task) or State()
    meter.begin(state, plan.n_steps)
    with Ahead(feed, n_steps=plan.n_steps) as ahead:
        while state.step < plan.n_steps:
            with meter.waiting():
                batch = ahead.take(state.step)
            seed_step(plan.seed, state.step, engine.workers.rank)
            sums, request = backward(task, engine, feed, batch, asked())
            check(state, batch, engine, checkpoints, loss=sums.mean)
            task.after_backward()
            norm = engine.gradient_norm()
            check(state, batch, engine, checkpoints, loss=sums.mean, norm=norm)
            factor = plan.schedule.factor(state.step, plan.n_steps)
            engine.step(factor)
            task.after_step()
            state = seen(state, batch)
            is_last, is_best, measured = state.step == plan.n_steps, False, None
            if is_last or (plan.heldout_every and state.step % plan.heldout_every == 0):
                measured = heldout(task, engine, feed)
                check_heldout(state, measured, checkpoints)
                state, is_best = state.measured(measured.mean)
            meter.step(state, batch, sums, heldout=measured, factor=factor, gradient_norm=norm)
            if is_last or is_best or request or state.step % plan.save_every == 0:
                meter.close_segment()
                checkpoints.save(state, engine, task)
            if request == "stop" and not is_last:
                raise Stopped(f"stopped at step {state.step} of {plan.n_steps}; go on with the same command.")
    return state


def backward(task: Task, engine: Engine, feed: Feed, batch: Batch, asked: Request) -> tuple[Sums, Request]:
    """Gradients of the mean loss of a step, whatever its workers and passes; and what any worker was asked to do."""
    sums = Sums(feed.domains)
    scale, passes = len(batch.micro) * engine.workers.world / batch.n_terms, []
    for documents in batch.micro:
        terms = task.loss(engine.module, task.collate(documents, engine.workers.device))
        engine.backward(terms.losses.sum() * scale)
        passes.append((Terms(terms.losses.detach(), terms.owners), documents))
    for terms, documents in passes:  # not before: it waits for the device
        sums.add(terms, documents)
    told = engine.workers.sum(np.concatenate([sums.losses, sums.counts, [asked == "save", asked == "stop"]]))
    sums.losses, sums.counts = np.split(told[:-2], 2)
    return sums, "stop" if told[-1] else "save" if told[-2] else None


@torch.no_grad()
def heldout(task: Task, engine: Engine, feed: Feed) -> Sums:
    """Loss of the held-out documents, by domain."""
    sums = Sums(feed.domains)
    task.module.eval()
    for documents, is_mine in feed.heldout():
        terms = task.loss(engine.module, task.collate(documents, engine.workers.device))
        if is_mine:
            sums.add(terms, documents)
    task.module.train()
    sums.losses, sums.counts = np.split(engine.workers.sum(np.concatenate([sums.losses, sums.counts])), 2)
    return sums


def seen(state: State, batch: Batch) -> State:
    """The state after a step; `order` chains the hashes of all steps."""
    order = hashlib.blake2b(bytes.fromhex(state.order) + batch.digest, digest_size=16).hexdigest()
    return State(state.step + 1, order, state.tokens + batch.n_tokens, best=state.best)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Everything random of a step is a function of its number: no generator's state has to be kept."""
    torch.manual_seed(bits_of(f"{seed}:{step}:{rank}") >> 1)


def check(
    state: State, batch: Batch, engine: Engine, checkpoints: Checkpoints, *, loss: float, norm: float | None = None
) -> None:
    """Stop before the optimiser's step if its loss or gradient isn't finite; every worker sees the same numbers.

    Raises
    ------
    NotFinite
        On every worker.
    """
    if np.isfinite(loss) and (norm is None or np.isfinite(norm)):
        return
    last = max(checkpoints.steps(), default=None)
    is_sound = engine.is_finite()
    require_finite(loss, norm, step=state.step + 1, places=batch.places(), last=last, is_sound=is_sound)


def check_heldout(state: State, measured: Sums, checkpoints: Checkpoints) -> None:
    """Stop if a held-out loss isn't finite: it could neither be shown nor compared.

    Raises
    ------
    NotFinite
        With the domains that it is of.
    """
    bad = [domain for domain, loss in measured.by_domain().items() if not np.isfinite(loss)]
    if bad:
        last = max(checkpoints.steps(), default=None)
        raise NotFinite(
            f"the held-out loss after step {state.step} isn't finite in {', '.join(bad)}; {kept_since(last)}. Look at "
            "these held-out documents, or lower the learning rate."
        )
