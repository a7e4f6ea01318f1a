"""The training loop. It knows tasks and engines; it knows no tokens, no files and no Ray."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, cast

import numpy as np
import torch

from raypipe.arrays.hashing import bits_of
from raypipe.contracts.rows import Row
from raypipe.contracts.task import RowLosses, Task, WholeStepTask
from raypipe.runs.signals import Stopped
from raypipe.train.data.loader import Batch, DataLoader, Prefetch
from raypipe.train.engines.engine import Engine
from raypipe.train.loop.checkpoint import Checkpoints, State
from raypipe.train.loop.finite import NotFinite, kept_since, require_finite
from raypipe.train.loop.meter import Meter
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.sums import Metrics, Sums
from raypipe.train.loop.whole_step import backward_whole, measure_whole

R = TypeVar("R", bound=Row)
Request = Literal["save", "stop"] | None
"""What a worker may be asked between steps: to write a checkpoint, and to end."""


def train(
    task: Task[R],
    engine: Engine,
    loader: DataLoader[R],
    plan: TrainingPlan,
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
    meter.begin(state, plan.n_steps, loader.unit)
    with Prefetch(loader, n_steps=plan.n_steps) as prefetch:
        while state.step < plan.n_steps:
            with meter.waiting():
                batch = prefetch.take(state.step)
            seed_step(plan.seed, state.step, engine.workers.rank)
            sums, request = backward(task, engine, loader, batch, asked())
            check(state, batch, engine, checkpoints, loss=sums.mean)
            engine.exchange()
            task.after_backward(engine.gradients)
            norm = engine.gradient_norm()
            check(state, batch, engine, checkpoints, loss=sums.mean, norm=norm)
            factor = plan.schedule.factor(state.step, plan.n_steps)
            engine.step(factor)
            task.after_step(engine.weights, state.step + 1)
            engine.average()
            state = seen(state, batch)
            is_last, is_best, measured = state.step == plan.n_steps, False, None
            if is_last or (plan.heldout_every and state.step % plan.heldout_every == 0):
                measured = heldout(task, engine, loader, batch)
                check_heldout(state, measured, checkpoints)
                state, is_best = state.measured(measured.mean, measured.figures, by=checkpoints.best_by)
            meter.step(state, batch, sums, heldout=measured, factor=factor, gradient_norm=norm)
            if is_last or is_best or request or state.step % plan.save_every == 0:
                meter.close_segment()
                checkpoints.save(state, engine, task)
            if request == "stop" and not is_last:
                raise Stopped(f"stopped at step {state.step} of {plan.n_steps}; go on with the same command.")
    return state


def backward(
    task: Task[R], engine: Engine, loader: DataLoader[R], batch: Batch[R], asked: Request
) -> tuple[Sums, Request]:
    """Gradients of the mean loss of a step, whatever its workers and passes; and what any worker was asked to do."""
    sums = Sums(loader.domains)
    passes: list[tuple[RowLosses, Sequence[R]]] = []
    if task.whole_step:
        passes.append(backward_whole(cast(WholeStepTask[R], task), engine, batch.micro))
    else:
        scale = len(batch.micro) * engine.workers.world / batch.n_terms
        for rows in batch.micro:
            terms = task.loss(engine.models, task.collate(rows, engine.workers.device))
            engine.backward(terms.losses.sum() * scale)
            passes.append((RowLosses(terms.losses.detach(), terms.owners), rows))
    for terms, rows in passes:  # not before: it waits for the device
        sums.add(terms, rows)
    save, stop = sums.together(engine.workers, asked == "save", asked == "stop")
    return sums, "stop" if stop else "save" if save else None


@torch.no_grad()
def heldout(task: Task[R], engine: Engine, loader: DataLoader[R], batch: Batch[R]) -> Sums:
    """Loss of the held-out rows, by domain, and the task's figures, of the model that is exported.

    A whole-step loss is taken over as many rows at a time as the step of `batch` has.
    """
    sums, trained = Sums(loader.domains), task.models.trained
    trained.eval()
    if task.whole_step:
        n_rows = sum(len(rows) for rows in batch.micro) * engine.workers.world
        whole, lists = cast(WholeStepTask[R], task), list(loader.heldout())
        passes, metrics = measure_whole(whole, engine.measured, engine.workers, lists, n_rows=n_rows)
        for terms, own in passes:
            sums.add(terms, own)
    else:
        found = Metrics()
        for rows, is_mine in loader.heldout():
            terms = task.loss(engine.measured, task.collate(rows, engine.workers.device))
            if is_mine:
                sums.add(terms, rows)
                found.add(terms.metrics)
        metrics = found.together(engine.workers)
    trained.train()
    sums.together(engine.workers)
    sums.figures = task.summary(metrics) if metrics else {}
    return sums


def seen(state: State, batch: Batch[Row]) -> State:
    """The state after a step; `order` chains the hashes of all steps."""
    order = hashlib.blake2b(bytes.fromhex(state.order) + batch.digest, digest_size=16).hexdigest()
    return State(state.step + 1, order, state.size + batch.size, best=state.best)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Everything random of a step is a function of its number: no generator's state has to be kept."""
    torch.manual_seed(bits_of(f"{seed}:{step}:{rank}") >> 1)


def check(
    state: State, batch: Batch[Row], engine: Engine, checkpoints: Checkpoints, *, loss: float, norm: float | None = None
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
