"""One loss over all rows of a step, of all workers: embeddings first, gradients of embeddings, then those of weights.

    1. each pass of each worker is embedded without a graph (the activations of one pass are all that is held),
    2. the loss is taken over the embeddings of the whole step, gathered from all workers, on each of them alike,
    3. each pass is embedded again, and the gradients of its embeddings are carried into the weights.

Exact: the gradient of the mean loss is the sum over passes of (its gradient by their embeddings) x (theirs by weights).
What is random in a pass is drawn alike in both rounds. Source of the scheme: L. Gao et al., Scaling Deep Contrastive
Learning Batch Size under Memory Limited Setup, RepL4NLP 2021, section 3 (gradient cache).
Departures: over workers the loss is taken on each instead of by parts: no second exchange, and the same on all.
Cost: one more forward pass, none where a step is a single pass; memory of all embeddings and the loss's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch

from raypipe.contracts.rows import Row
from raypipe.contracts.task import Placed, RowLosses, WholeStepTask
from raypipe.train.engines.engine import Engine
from raypipe.train.engines.workers import Workers

R = TypeVar("R", bound=Row)
Embeddings = dict[str, torch.Tensor]


def backward_whole(task: WholeStepTask[R], engine: Engine, micro: Sequence[Sequence[R]]) -> tuple[RowLosses, list[R]]:
    """Gradients of the mean of the loss's terms over the whole step; the terms of this worker's rows, and these."""
    collated = [task.collate(rows, engine.workers.device) for rows in micro]
    seed, is_single = torch.initial_seed(), len(micro) == 1
    passes = []
    for number, tensors in enumerate(collated):
        with torch.set_grad_enabled(is_single):
            passes.append(embedded(task, engine.models, tensors, seed=seed + number))
    sizes = [len(next(iter(one.values()))) for one in passes]
    whole, own = gathered(passes, sizes, engine.workers)
    leaves = {name: value.detach().requires_grad_(value.is_floating_point()) for name, value in whole.items()}
    terms = task.loss(without_trained(engine.models), dict(leaves))
    gradients = gradients_of(terms.losses.mean(), leaves)
    # what the engine minimises is the mean over passes and workers; this is the sum
    scale, start = len(micro) * engine.workers.world, 0
    for number, (tensors, size) in enumerate(zip(collated, sizes, strict=True)):
        again = passes[0] if is_single else embedded(task, engine.models, tensors, seed=seed + number)
        at = own[start : start + size]
        engine.backward(carried(again, {name: gradient[at] for name, gradient in gradients.items()}) * scale)
        start += size
    return terms_of(terms, own), [row for rows in micro for row in rows]


def measure_whole(
    task: WholeStepTask[R],
    models: Placed,
    workers: Workers,
    lists: Sequence[tuple[Sequence[R], bool]],
    *,
    n_rows: int,
) -> tuple[list[tuple[RowLosses, list[R]]], dict[str, np.ndarray]]:
    """Terms of this worker's held-out rows, and the metrics of all: a loss for each `n_rows` of them, as in a step."""
    passes = [embedded(task, models, task.collate(rows, workers.device), seed=None) for rows, _ in lists]
    sizes = [len(rows) if is_mine else 0 for rows, is_mine in lists]
    cut = [{name: value[:size] for name, value in one.items()} for one, size in zip(passes, sizes, strict=True)]
    if not passes:
        return [], {}
    whole, own = gathered(cut, sizes, workers)
    mine = [row for rows, is_mine in lists if is_mine for row in rows]
    n = len(next(iter(whole.values())))
    found: list[tuple[RowLosses, list[R]]] = []
    metrics = []
    for start in range(0, n, n_rows):
        part = {name: value[start : start + n_rows] for name, value in whole.items()}
        terms = task.loss(without_trained(models), part)
        here = (own >= start) & (own < start + n_rows)
        rows = [mine[at] for at in np.flatnonzero(here)]
        if rows:
            found.append((terms_of(terms, own[here] - start), rows))
        metrics.append({name: value.detach().float().cpu().numpy() for name, value in terms.metrics.items()})
    return found, {name: np.concatenate([one[name] for one in metrics]) for name in metrics[0]}


def embedded(task: WholeStepTask[Any], models: Placed, tensors: dict[str, Any], *, seed: int | None) -> Embeddings:
    """The embeddings of a pass; what is random in it is the seed's."""
    if seed is not None:
        torch.manual_seed(seed & ((1 << 63) - 1))
    return task.embed(models, tensors)


def gathered(passes: Sequence[Embeddings], sizes: Sequence[int], workers: Workers) -> tuple[Embeddings, np.ndarray]:
    """The embeddings of all workers, pass by pass (of a pass: worker by worker), and where this worker's are [m]."""
    by_rank = np.array(workers.gather(list(sizes)))  # [workers, passes]
    cuts = np.concatenate([[0], np.cumsum(by_rank.T.reshape(-1))]).reshape(-1)
    own = [np.arange(cuts[n * workers.world + workers.rank], cuts[n * workers.world + workers.rank + 1])
           for n in range(len(sizes))]  # fmt: skip
    whole = {}
    for name in passes[0]:
        parts = workers.gather_tensors(torch.cat([one[name].detach() for one in passes]), by_rank.sum(axis=1).tolist())
        split = [part.split(row.tolist()) for part, row in zip(parts, by_rank, strict=True)]
        whole[name] = torch.cat([split[rank][n] for n in range(len(sizes)) for rank in range(workers.world)])
    return whole, np.concatenate(own)


def gradients_of(loss: torch.Tensor, leaves: Mapping[str, torch.Tensor]) -> Embeddings:
    """The gradients of the leaves that the loss depends on."""
    learnt = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    found = torch.autograd.grad(loss, list(learnt.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(learnt, found, strict=True) if gradient is not None}


def carried(embeddings: Embeddings, gradients: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A number whose gradient by the weights is that of the loss through these embeddings."""
    parts = [(embeddings[name] * gradient).sum() for name, gradient in gradients.items()
             if embeddings[name].requires_grad]  # fmt: skip
    if not parts:
        raise ValueError("a whole-step loss must depend on what its task embeds with the trained model, got none.")
    return torch.stack(parts).sum()


def terms_of(terms: RowLosses, own: np.ndarray) -> RowLosses:
    """The terms of this worker's rows, which are rows `own` of the whole; owners count this worker's rows."""
    at = torch.from_numpy(own).to(terms.owners.device)
    place = torch.full((int(max(terms.owners.max(), at.max() if len(at) else 0)) + 1,), -1, device=at.device)
    place[at] = torch.arange(len(at), device=at.device)
    owners = place[terms.owners]
    return RowLosses(terms.losses.detach()[owners >= 0], owners[owners >= 0])


def without_trained(models: Placed) -> Placed:
    """The models for a loss over embeddings: weights used there would get no gradient."""
    return replace(models, trained=_refused)


def _refused(*_: Any) -> NoReturn:
    raise TypeError("a whole-step loss sees embeddings only; what it needs of the trained model, `embed` hands on.")
