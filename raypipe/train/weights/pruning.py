"""Training with fewer weights: a mask by any of nine ways, held by a task's hooks wherever an engine keeps the weights.

Gradients are masked at each step, so that masked weights and their moments stay 0 by themselves; weights and moments
are edited at a mask's own updates alone. The mask is the task's state: it is in checkpoints, the same on all workers.

Source: see raypipe/fitting/masks.py.
Departures: SNIP, GraSP, magnitude and patterns look at matrices of decoder layers; embeddings, norms and the head stay
dense. RigL grows by the gradient of the step before its update, not by one of a batch of its own.
Cost: a byte a weight; with ZeRO each masked gradient is gathered at each step. RigL holds a dense gradient at updates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from raypipe.settings.identity import counts_as

if TYPE_CHECKING:
    import torch

    from raypipe.contracts.task import Tensors

Method = Literal["none", "random", "snip", "grasp", "magnitude", "ticket", "gmp", "set", "rigl", "pattern", "units"]
GRADIENT_METHODS = ("snip", "grasp")
"""Those whose first mask needs gradients of a batch."""


@dataclass(frozen=True)
class Pruning:
    """Which weights are left out, and when that is decided."""

    prune: Method = "none"
    """Before training: random (ERK), snip, grasp, magnitude (of what training starts from), ticket (of the model
    --ticket, whose start is trained again), pattern (--pattern), units (of feed-forward layers). In training: gmp (from
    dense to sparse), set, rigl (weights are dropped, others grown)."""
    sparsity: float = 0.9
    """Share of the weights of decoder layers' matrices that are 0 in the end."""
    pattern: str = "2:4"
    """N:M of `pattern`: N of every M consecutive inputs stay."""
    ticket: str | None = None
    """Model whose smallest weights `ticket` drops: a training from this same start, the seed included."""
    prune_every: int = 100
    """Steps between updates of gmp, set and rigl."""
    exchange: float = 0.3
    """Share of a layer's weights that set and rigl drop and grow at first; it falls to 0 by a cosine."""
    prune_from: float = 0.15
    """Share of training at which gmp begins."""
    prune_until: float = 0.65
    """Share of training at which gmp has reached the sparsity."""
    exchange_until: float = 0.75
    """Share of training at which set and rigl end."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        ValueError
            With the field.
        """
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity must be in [0, 1), got {self.sparsity}: with 1 no weight is left to train.")
        if self.prune_every < 1:
            raise ValueError(f"prune_every must be at least 1, got {self.prune_every}.")
        for name in ("exchange", "prune_from", "prune_until", "exchange_until"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}.")
        if self.prune_from >= self.prune_until:
            raise ValueError(f"prune_from must be below prune_until, got {self.prune_from} and {self.prune_until}.")
        n, m = self.n_of_m
        if not 1 <= n < m:
            raise ValueError(f"pattern must be N:M with 1 <= N < M, got {self.pattern!r}.")

    @property
    def n_of_m(self) -> tuple[int, int]:
        """N and M of the pattern.

        Raises
        ------
        ValueError
            If it isn't two numbers.
        """
        n, _, m = self.pattern.partition(":")
        if not (n.isdigit() and m.isdigit()):
            raise ValueError(f"pattern must be N:M, such as 2:4, got {self.pattern!r}.")
        return int(n), int(m)

    @property
    def used(self) -> tuple[str, ...]:
        """The settings that its way of pruning looks at, beside `prune`."""
        own = {
            "none": (), "pattern": ("pattern",), "ticket": ("sparsity", "ticket"),
            "gmp": ("sparsity", "prune_every", "prune_from", "prune_until"),
            "set": ("sparsity", "prune_every", "exchange", "exchange_until"),
        }  # fmt: skip
        return own["set"] if self.prune == "rigl" else own.get(self.prune, ("sparsity",))


def _of_pruning(pruning: Pruning) -> Mapping[str, object]:
    """Nothing where nothing is pruned, so that older cards stay what they are; a ticket counts by its content."""
    names = () if pruning.prune == "none" else ("prune", *pruning.used)
    return {name: getattr(pruning, name) for name in names if name != "ticket"}


PRUNING = counts_as(_of_pruning)
"""Metadata of a field that holds one."""


class Pruner:
    """The masks of a training, from the first to the last."""

    def __init__(self, pruning: Pruning, *, n_steps: int, seed: int) -> None:
        self._pruning, self._n_steps, self._seed = pruning, n_steps, seed
        self.masks: dict[str, torch.Tensor] = {}
        self.step = 0
        self._growth: dict[str, torch.Tensor] = {}

    def begin(self, weights: "Mapping[str, torch.Tensor]", scores: "Mapping[str, torch.Tensor] | None" = None) -> None:
        """The first masks of these matrices, which aren't changed; by `scores`, where a method has them.

        Raises
        ------
        ValueError
            If there is no matrix, or none of the pattern, or the sparsity leaves nothing.
        """
        if not weights:
            raise ValueError("pruning must have matrices of decoder layers to thin out, the model has none.")
        self.masks = _first(self._pruning, weights, scores, seed=self._seed)

    def hold(self, weights: "Tensors") -> None:
        """Set masked weights to 0."""
        import torch

        for name, mask in self.masks.items():
            weights.write(name, torch.where(mask.to((now := weights.read(name)).device), now, 0.0))

    def after_backward(self, gradients: "Tensors") -> None:
        """Mask the gradients; what RigL grows by is kept from before that."""
        import torch

        is_needed = self._pruning.prune == "rigl" and self._is_due(self.step + 1)
        for name, mask in self.masks.items():
            found = gradients.read(name)
            if is_needed:
                self._growth[name] = found.abs()
            gradients.write(name, torch.where(mask.to(found.device), found, 0.0))

    def after_step(self, weights: "Tensors", step: int) -> None:
        """The masks of this step, on weights and on the optimiser's moments."""
        import torch

        self.step = step
        if not self._is_due(step):
            return
        now = {name: weights.read(name) for name in self.masks}
        before, self.masks = self.masks, self._updated(now, step)
        self._growth = {}
        for name, mask in self.masks.items():
            mask, old = (one.to(now[name].device) for one in (mask, before[name]))
            if not torch.equal(mask, old):
                weights.write(name, torch.where(mask & old, now[name], 0.0))
                weights.forget(name, ~(mask & old))

    def state(self) -> "dict[str, torch.Tensor]":
        """The masks, and how far training is."""
        import torch

        return {
            "pruned/step": torch.tensor(self.step),
            **{f"pruned/{n}": mask.cpu().contiguous() for n, mask in self.masks.items()},
        }

    def load_state(self, state: "Mapping[str, torch.Tensor]") -> None:
        """Take up masks."""
        self.step = int(state["pruned/step"])
        self.masks = {name: state[f"pruned/{name}"].to(mask.device) for name, mask in self.masks.items()}

    def _is_due(self, step: int) -> bool:
        of, every = self._pruning, self._pruning.prune_every
        if of.prune == "gmp":
            first, last = self._span()
            return first < step <= last and ((step - first) % every == 0 or step == last)
        return of.prune in ("set", "rigl") and step % every == 0 and step < of.exchange_until * self._n_steps

    def _span(self) -> tuple[int, int]:
        """Steps between which gmp works."""
        return int(self._pruning.prune_from * self._n_steps), max(1, int(self._pruning.prune_until * self._n_steps))

    def _updated(self, now: "Mapping[str, torch.Tensor]", step: int) -> "dict[str, torch.Tensor]":
        import torch

        from raypipe.fitting.masks import drop_share, exchanged, gradual_sparsity, n_kept, shrunk

        of = self._pruning
        if of.prune == "gmp":
            sizes = {name: weight.numel() for name, weight in now.items()}
            return shrunk(now, self.masks, n_kept(sizes, gradual_sparsity(step, *self._span(), of.sparsity)))
        share = drop_share(step, of.exchange_until * self._n_steps, of.exchange)
        growth: Mapping[str, torch.Tensor] = self._growth
        if of.prune == "set":
            drawn = torch.Generator().manual_seed(self._seed + step)
            growth = {name: torch.rand(weight.shape, generator=drawn) for name, weight in now.items()}
        return {
            name: exchanged(weight, self.masks[name].to(weight.device), share, growth[name].to(weight.device))
            for name, weight in now.items()
        }


def _first(
    pruning: Pruning, weights: "Mapping[str, torch.Tensor]", scores: "Mapping[str, torch.Tensor] | None", *, seed: int
) -> "dict[str, torch.Tensor]":
    import torch

    from raypipe.fitting.masks import erk_budgets, largest_of_all, n_kept, n_of_m, random_masks

    if pruning.prune in ("none", "gmp"):
        return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    if pruning.prune == "pattern":
        return {name: n_of_m(weight, *pruning.n_of_m) for name, weight in weights.items()}
    if pruning.prune == "units":
        return _units(weights, pruning.sparsity)
    if pruning.prune in ("random", "set", "rigl"):
        return random_masks(weights, erk_budgets(weights, pruning.sparsity), seed)
    if pruning.prune == "magnitude":
        scores = {name: weight.abs() for name, weight in weights.items()}
    if scores is None:
        raise ValueError(f"prune {pruning.prune!r} must be given scores of the weights, got none.")
    kept = n_kept({name: weight.numel() for name, weight in weights.items()}, pruning.sparsity)
    return largest_of_all(scores, kept)


UNITS = ("mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight")
"""A feed-forward layer's matrices: units are outputs of the first two and inputs of the third."""


def _units(weights: "Mapping[str, torch.Tensor]", sparsity: float) -> "dict[str, torch.Tensor]":
    from raypipe.fitting.masks import unit_masks

    masks: dict[str, torch.Tensor] = {}
    for name in [name for name in weights if name.endswith(UNITS[0])]:
        layer = name.removesuffix(UNITS[0])
        unit = [(layer + matrix, axis) for matrix, axis in zip(UNITS, (0, 0, 1), strict=True)]
        if all(one in weights for one, _ in unit):
            masks |= unit_masks(weights, unit, sparsity)
    if not masks:
        raise ValueError("prune 'units' must have feed-forward layers with gate, up and down projections, got none.")
    return masks


def matrices_of(weights: "Mapping[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Those that are thinned out: matrices of decoder layers."""
    return {name: weight for name, weight in weights.items() if weight.ndim == 2 and ".layers." in name}


def sparsity_of(weights: "Mapping[str, torch.Tensor]") -> dict[str, float]:
    """What a card says of weights that are 0: their share of the decoder layers' matrices, and of all weights."""
    inner = matrices_of(weights)
    zeros = {name: int((weight == 0).sum()) for name, weight in weights.items()}
    n = {name: weight.numel() for name, weight in weights.items()}
    return {
        "of_matrices": sum(zeros[name] for name in inner) / max(1, sum(n[name] for name in inner)),
        "of_all": sum(zeros.values()) / max(1, sum(n.values())),
    }
