"""Sparse training: thirteen ways to leave weights out of a small network, at 98 % and 99 %, and 2 of every 4.

Digits, a network of 64-300-100-10, 1,500 steps of 64 by SGD (momentum .9, rate .05) for every way; the one-shot ways
train a dense network for half of them first, and tune for the other half. Bars are the dossier's (section f), at
98 %: RigL 3 points above SET, SET 10 above static ERK, SNIP 15 above random ERK, gradual pruning within 2 of dense.
Rivals: one-shot magnitude, a rewound ticket. Ablations: uniform layers, no tuning. Controls: GraSP with the wrong sign,
a ticket's mask on other first weights. Units are dropped and taken out: multiplications beside those of masks, which
save no time in dense kernels (see jobs/benchmark/RESULTS.md).
"""

import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from raypipe.evaluate.claims import Claim
from raypipe.fitting.masks import (
    Masks,
    drop_share,
    erk_budgets,
    exchanged,
    gradual_sparsity,
    grasp_scores,
    largest_of_all,
    n_kept,
    n_of_m,
    random_masks,
    share_dropped,
    shrunk,
    snip_scores,
    uniform_budgets,
    unit_masks,
)
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import images, split
from .study import Study

HIDDEN, BATCH, RATE, MOMENTUM = (300, 100), 64, 0.05, 0.9
EVERY, EXCHANGE, EXCHANGE_UNTIL = 100, 0.3, 0.75
GRADUAL = (0.15, 0.65)
TEMPERATURE = 200.0
"""GraSP's, of the logits."""
PER_CLASS = 10
"""Rows of each class that SNIP and GraSP look at."""
Rows = tuple[torch.Tensor, torch.Tensor]


class ThinNetwork(nn.Module):
    """Three layers; the masks hold weights, gradients and momenta of their matrices at 0."""

    def __init__(self, n_inputs: int, n_classes: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = (n_inputs, *HIDDEN, n_classes)
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.masks: Masks = {}

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Logits [m, k]."""
        for layer in list(self.layers)[:-1]:
            X = torch.relu(layer(X))
        found: torch.Tensor = self.layers[-1](X)
        return found

    @property
    def linears(self) -> list[nn.Linear]:
        """The layers, in their order."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def matrices(self) -> dict[str, torch.Tensor]:
        """What is thinned out."""
        return {name: weight for name, weight in self.named_parameters() if weight.ndim == 2}

    @torch.no_grad()
    def hold(self, optimiser: torch.optim.Optimizer | None = None) -> None:
        """Masked weights are 0, and so is what the optimiser remembers of them."""
        for name, weight in self.matrices().items():
            if name in self.masks:
                weight.mul_(self.masks[name])
                if optimiser is not None and "momentum_buffer" in (state := optimiser.state[weight]):
                    state["momentum_buffer"].mul_(self.masks[name])


def fit(
    network: ThinNetwork, rows: Rows, n_steps: int, seed: int,
    update: Callable[[int, dict[str, torch.Tensor]], Masks | None] = lambda step, gradients: None,
) -> ThinNetwork:  # fmt: skip
    """The network after so many steps; `update` gives new masks after a step, from the dense gradients."""
    X, y = rows
    rng = np.random.default_rng([seed, 31])
    optimiser = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)
    for step in range(1, n_steps + 1):
        at = torch.from_numpy(rng.integers(0, len(y), BATCH))
        optimiser.zero_grad()
        F.cross_entropy(network(X[at]), y[at]).backward()
        matrices = network.matrices()
        dense = {name: weight.grad.clone() for name, weight in matrices.items() if weight.grad is not None}
        for name, mask in network.masks.items():
            gradient = matrices[name].grad
            assert gradient is not None
            gradient.mul_(mask)
        optimiser.step()
        if (new := update(step, dense)) is not None:
            before, network.masks = network.masks, new
            with torch.no_grad():
                for name, weight in matrices.items():
                    weight.mul_(before[name] & new[name])  # grown ones begin at 0
                    optimiser.state[weight]["momentum_buffer"].mul_(before[name] & new[name])
        network.hold(optimiser)
    return network


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy, the sparsity that there is, whether it is exact, multiplications left of a dense network's."""
    train, (tests, truth) = _rows(settings["data"], seed, settings["n_test"])
    network = WAYS[settings["way"]](train, settings, seed)
    with torch.no_grad():
        accuracy = float((network(tests).argmax(dim=1) == truth).double().mean())
    weights = network.matrices()
    dropped = share_dropped({name: weight != 0 for name, weight in weights.items()})
    asked = settings["sparsity"]
    is_exact = 1.0
    if settings["way"] not in ("dense", "2:4", "units") and network.masks:
        n = sum(int(mask.sum()) for mask in network.masks.values())
        is_exact = float(n == n_kept({name: of.numel() for name, of in weights.items()}, asked))
    return {
        "accuracy": accuracy,
        "dropped": dropped,
        "is_exact": is_exact,
        "flops_left": _flops_left(network, tests.shape[1]),
    }


def _flops_left(network: ThinNetwork, n_inputs: int) -> float:
    """Multiplications that aren't by 0, as a share of those of the network as it was."""
    dense = ThinNetwork(n_inputs, network.linears[-1].out_features, 0).matrices().values()
    return sum(int((of != 0).sum()) for of in network.matrices().values()) / sum(of.numel() for of in dense)


@lru_cache(maxsize=2)
def _rows(data: str, seed: int, n_test: int) -> tuple[Rows, Rows]:
    X, y = images(data)
    train, test = split(len(y), (1257, n_test), seed + 3100)
    found = (torch.from_numpy(np.asarray(X, np.float32)), torch.from_numpy(y))
    return (found[0][train], found[1][train]), (found[0][test], found[1][test])


def _new(rows: Rows, seed: int) -> ThinNetwork:
    return ThinNetwork(rows[0].shape[1], int(rows[1].max()) + 1, seed)


def _dense(rows: Rows, settings: dict[str, Any], seed: int) -> ThinNetwork:
    return fit(_new(rows, seed), rows, settings["n_steps"], seed)


def _held(network: ThinNetwork, masks: Masks) -> ThinNetwork:
    network.masks = masks
    network.hold()
    return network


def _static(first: Callable[[ThinNetwork, Rows, float, int], Masks]) -> Callable[..., ThinNetwork]:
    """A mask that is chosen before training."""

    def way(rows: Rows, settings: dict[str, Any], seed: int) -> ThinNetwork:
        network = _new(rows, seed)
        masks = first(network, rows, settings["sparsity"], seed)
        return fit(_held(network, masks), rows, settings["n_steps"], seed)

    return way


def _random(budgets: Callable[..., dict[str, int]]) -> Callable[[ThinNetwork, Rows, float, int], Masks]:
    return lambda network, rows, sparsity, seed: random_masks(
        network.matrices(), budgets(network.matrices(), sparsity), seed
    )


def _some(rows: Rows, seed: int) -> Rows:
    """PER_CLASS rows of each class."""
    rng = np.random.default_rng([seed, 32])
    of_class = [np.flatnonzero(rows[1].numpy() == k) for k in range(int(rows[1].max()) + 1)]
    at = torch.from_numpy(np.concatenate([rng.permutation(of)[:PER_CLASS] for of in of_class]))
    return rows[0][at], rows[1][at]


def _snip(network: ThinNetwork, rows: Rows, sparsity: float, seed: int) -> Masks:
    weights, (X, y) = network.matrices(), _some(rows, seed)
    gradients = torch.autograd.grad(F.cross_entropy(network(X), y), list(weights.values()))
    scores = snip_scores({n: of.detach() for n, of in weights.items()}, dict(zip(weights, gradients, strict=True)))
    return largest_of_all(scores, n_kept({name: of.numel() for name, of in weights.items()}, sparsity))


def _grasp(sign: float) -> Callable[[ThinNetwork, Rows, float, int], Masks]:
    def first(network: ThinNetwork, rows: Rows, sparsity: float, seed: int) -> Masks:
        weights, (X, y) = network.matrices(), _some(rows, seed)
        loss = F.cross_entropy(network(X) / TEMPERATURE, y)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        along = torch.stack([(one * one.detach()).sum() for one in gradients]).sum()
        products = torch.autograd.grad(along, list(weights.values()))
        scores = grasp_scores({n: of.detach() for n, of in weights.items()}, dict(zip(weights, products, strict=True)))
        kept = n_kept({name: of.numel() for name, of in weights.items()}, sparsity)
        return largest_of_all({name: sign * score for name, score in scores.items()}, kept)

    return first


def _gmp(rows: Rows, settings: dict[str, Any], seed: int) -> ThinNetwork:
    network, n_steps = _new(rows, seed), settings["n_steps"]
    first, last = (int(share * n_steps) for share in GRADUAL)
    network.masks = {name: torch.ones_like(of, dtype=torch.bool) for name, of in network.matrices().items()}
    sizes = {name: of.numel() for name, of in network.matrices().items()}

    def update(step: int, gradients: dict[str, torch.Tensor]) -> Masks | None:
        if not (first < step <= last and ((step - first) % 20 == 0 or step == last)):
            return None
        now = {name: of.detach() for name, of in network.matrices().items()}
        return shrunk(now, network.masks, n_kept(sizes, gradual_sparsity(step, first, last, settings["sparsity"])))

    return fit(network, rows, n_steps, seed, update)


def _dynamic(*, is_random: bool) -> Callable[..., ThinNetwork]:
    """SET or RigL."""

    def way(rows: Rows, settings: dict[str, Any], seed: int) -> ThinNetwork:
        network, n_steps = _new(rows, seed), settings["n_steps"]
        _held(network, _random(erk_budgets)(network, rows, settings["sparsity"], seed))
        drawn = torch.Generator().manual_seed(seed + 1)

        def update(step: int, gradients: dict[str, torch.Tensor]) -> Masks | None:
            if step % EVERY or step >= EXCHANGE_UNTIL * n_steps:
                return None
            share = drop_share(step, EXCHANGE_UNTIL * n_steps, EXCHANGE)
            growth = {
                name: torch.rand(of.shape, generator=drawn) if is_random else of.abs() for name, of in gradients.items()
            }
            weights = network.matrices()
            return {
                name: exchanged(weights[name].detach(), mask, share, growth[name])
                for name, mask in network.masks.items()
            }

        return fit(network, rows, n_steps, seed, update)

    return way


def _by_magnitude(network: ThinNetwork, sparsity: float) -> Masks:
    weights = network.matrices()
    kept = n_kept({name: of.numel() for name, of in weights.items()}, sparsity)
    return largest_of_all({name: of.detach().abs() for name, of in weights.items()}, kept)


def _one_shot(masks: Callable[[ThinNetwork, float], Masks], *, tune: bool) -> Callable[..., ThinNetwork]:
    """A dense network, a mask by its weights, and the other half of the steps under that."""

    def way(rows: Rows, settings: dict[str, Any], seed: int) -> ThinNetwork:
        half = settings["n_steps"] // 2
        network = fit(_new(rows, seed), rows, half if tune else settings["n_steps"], seed)
        _held(network, masks(network, settings["sparsity"]))
        return fit(network, rows, half, seed + 1) if tune else network

    return way


def _ticket(*, is_rewound: bool) -> Callable[..., ThinNetwork]:
    """The mask of a trained network on its own first weights, or on others."""

    def way(rows: Rows, settings: dict[str, Any], seed: int) -> ThinNetwork:
        half = settings["n_steps"] // 2
        masks = _by_magnitude(fit(_new(rows, seed), rows, half, seed), settings["sparsity"])
        return fit(_held(_new(rows, seed if is_rewound else seed + 1000), masks), rows, half, seed + 1)

    return way


def _two_of_four(network: ThinNetwork, sparsity: float) -> Masks:
    return {name: n_of_m(of.detach(), 2, 4) for name, of in network.matrices().items()}


def _without_units(rows: Rows, settings: dict[str, Any], seed: int) -> ThinNetwork:
    """Half of the units of both hidden layers, taken out of the matrices, not masked."""
    half = settings["n_steps"] // 2
    network = fit(_new(rows, seed), rows, half, seed)
    weights = {name: of.detach() for name, of in network.matrices().items()}
    names = list(weights)
    stays = [
        unit_masks(weights, [(names[at], 0), (names[at + 1], 1)], 0.5)[names[at]][:, 0] for at in range(len(HIDDEN))
    ]
    small = _new(rows, seed)
    with torch.no_grad():
        for at, layer in enumerate(network.linears):
            into = stays[at - 1] if at else torch.ones(layer.in_features, dtype=torch.bool)
            out = stays[at] if at < len(stays) else torch.ones(layer.out_features, dtype=torch.bool)
            small.layers[at] = left = nn.Linear(int(into.sum()), int(out.sum()))
            left.weight.copy_(layer.weight[out][:, into])
            left.bias.copy_(layer.bias[out])
    return fit(small, rows, half, seed + 1)


WAYS: dict[str, Callable[..., ThinNetwork]] = {
    "dense": _dense, "uniform": _static(_random(uniform_budgets)), "erk": _static(_random(erk_budgets)),
    "snip": _static(_snip), "grasp": _static(_grasp(1.0)), "grasp, wrong sign": _static(_grasp(-1.0)),
    "set": _dynamic(is_random=True), "rigl": _dynamic(is_random=False), "gmp": _gmp,
    "magnitude": _one_shot(_by_magnitude, tune=True), "magnitude untuned": _one_shot(_by_magnitude, tune=False),
    "ticket": _ticket(is_rewound=True), "ticket, other weights": _ticket(is_rewound=False),
    "2:4": _one_shot(_two_of_four, tune=True),
    "units": _without_units,
}  # fmt: skip
DENSE, WRONG, GRASP_90, WRONG_90 = "dense", "grasp, wrong sign", "grasp at 90 %", "grasp at 90 %, wrong sign"
PATTERN, UNITS = "2:4", "units"
THINNED = ("uniform", "erk", "snip", "grasp", "set", "rigl", "gmp", "magnitude", "magnitude untuned", "ticket",
           "ticket, other weights")  # fmt: skip
STUDY = Study(
    source="S. Liu, Z. Wang, Ten Lessons, arXiv 2302.02596, and the methods it names; dossier f, checks 1, 3 and 4",
    trial=trial,
    arms={
        **{way: {"way": way, "sparsity": 0.98} for way in (DENSE, *THINNED)},
        "rigl at 99 %": {"way": "rigl", "sparsity": 0.99},
        "set at 99 %": {"way": "set", "sparsity": 0.99},
        GRASP_90: {"way": "grasp", "sparsity": 0.9},
        WRONG_90: {"way": WRONG, "sparsity": 0.9},
        PATTERN: {"way": "2:4", "sparsity": 0.5},
        UNITS: {"way": "units", "sparsity": 0.5},
    },
    control=WRONG_90,
    data=("digits",),
    settings={"n_steps": 1500, "n_test": 540},
    quick={"n_steps": 20, "n_test": 100},
    seeds=3,
    claims=(
        Claim(sentence="At 98 % RigL is 3 points above SET", metric="accuracy", of="rigl", over="set", at_least=0.03),
        Claim(sentence="At 98 % SET is 10 points above static ERK", metric="accuracy", of="set", over="erk",
              at_least=0.1),
        Claim(sentence="At 98 % SNIP is 15 points above random ERK", metric="accuracy", of="snip", over="erk",
              at_least=0.15),
        Claim(sentence="At 98 % SNIP is above GraSP", metric="accuracy", of="snip", over="grasp"),
        Claim(sentence="At 98 % RigL is above SNIP", metric="accuracy", of="rigl", over="snip"),
        Claim(sentence="At 98 % ERK is above uniform layers", metric="accuracy", of="erk", over="uniform"),
        Claim(sentence="At 98 % gradual pruning is within 2 points of dense", metric="accuracy", of="gmp", over=DENSE,
              within=0.02),
        Claim(sentence="At 98 % gradual pruning is no worse than RigL, less a point", metric="accuracy", of="gmp",
              over="rigl", at_least=-0.01),
        Claim(sentence="At 98 % magnitude in one shot needs tuning: 30 points", metric="accuracy", of="magnitude",
              over="magnitude untuned", at_least=0.3),
        Claim(sentence="At 99 % RigL is 20 points above SET", metric="accuracy", of="rigl at 99 %", over="set at 99 %",
              at_least=0.2),
        Claim(sentence="A ticket's first weights matter: above the same mask on others", metric="accuracy", of="ticket",
              over="ticket, other weights"),
        Claim(sentence="GraSP's sign: 10 points above the wrong one already at 90 %", metric="accuracy", of=GRASP_90,
              over=WRONG_90, at_least=0.1),
        Claim(sentence="2 of every 4, tuned: within half a point of dense", metric="accuracy", of=PATTERN, over=DENSE,
              within=0.005),
        Claim(sentence="Half of the units taken out: fewer multiplications than 2 of every 4", metric="flops_left",
              of=UNITS, over=PATTERN, lower_is_better=True),
        Claim(sentence="Half of the units taken out is within 2 points of dense", metric="accuracy", of=UNITS,
              over=DENSE, within=0.02),
    ),
)  # fmt: skip
