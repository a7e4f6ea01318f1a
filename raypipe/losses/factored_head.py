"""An output layer of any number of classes, trained exactly at a cost that doesn't grow with their number.

The weights W [D, d] are held as W = V U + 1 w', with V [D, d], U [d, d] and w [d], and beside them Q = W' W and the sum
of W's rows. A loss that sees the outputs o = W h only through the targets' ones, the sum of their squares and their sum
(the Z-loss, squared error, ...) then needs no other output, and a step of gradient descent on all of W

    G = Y H' + 2 W P + 1 (H s)'     P = H diag(p) H';   Y, p, s: the loss by targets' outputs, squares and sums

changes U, w, Q and the sums by d x d products, and V in the targets' rows alone.

Source: P. Vincent, A. de Brebisson, X. Bouthillier, Efficient Exact Gradient Update for training Deep Networks with
Very Large Sparse Targets, NIPS 2015 (arXiv 1412.7091), algorithm 1 and section 3.5; longer arXiv 1606.08061.
Departures: products over the rows of a step come first (P, and the targets' rows of Y H'), so nothing is of rows x rows
however many there are; U is inverted anew at each step instead of by Woodbury's formula, so its inverse can't drift; Q,
U and sums are float64 whatever V is. Numbers of U outside [1/2, 2] are moved into V every 100 steps, as in the source.
Cost: O(m d^2 + d^3 + K d) for a step of m rows with K targets; O(D d) once where numbers of U are moved. Plain gradient
descent is all that can be had: neither momentum nor Adam. Outputs of all classes cost O(D d) a row, as ever.
"""

from typing import NamedTuple

import torch

STABLE_EVERY = 100
"""Steps between looks at U."""
BOUNDS = (0.5, 2.0)
"""Singular values of U beyond these are moved into V."""


class OutputSums(NamedTuple):
    """What the loss sees of the outputs, float64; gradients of a loss by them have the same names."""

    target: torch.Tensor
    """[k] the targets' outputs."""
    squares: torch.Tensor
    """[m] sums of all squared outputs."""
    sums: torch.Tensor
    """[m] sums of all outputs."""


class FactoredHead:
    """Weights [D, d] that learn by exact gradient descent, a step at a time.

    >>> import torch
    >>> W, H = torch.arange(10.0).reshape(5, 2), torch.tensor([[1.0, 0.0], [1.0, -1.0]])
    >>> sums = FactoredHead(W).seen(H, targets=torch.tensor([4, 0]))  # no other output is computed
    >>> [part.tolist() for part in sums]
    [[8.0, -1.0], [120.0, 5.0], [20.0, -5.0]]
    >>> (H @ W.T).square().sum(dim=1).tolist()
    [120.0, 5.0]
    """

    def __init__(self, weight: torch.Tensor) -> None:
        """From the first weights [D, d], which are copied; V stays in their number format.

        Raises
        ------
        ValueError
            If they aren't a matrix of two outputs at least.
        """
        if weight.ndim != 2 or len(weight) < 2 or weight.shape[1] < 1:
            raise ValueError(f"weights must be [at least 2 outputs, at least 1 input], got {list(weight.shape)}.")
        self.V = weight.detach().clone()
        self.U = torch.eye(weight.shape[1], dtype=torch.float64, device=weight.device)
        self.w = torch.zeros(weight.shape[1], dtype=torch.float64, device=weight.device)
        self.Q, self.sums = _moments(self.V)
        self.step = 0

    @property
    def n_outputs(self) -> int:
        """D."""
        return len(self.V)

    def seen(self, H: torch.Tensor, targets: torch.Tensor, owners: torch.Tensor | None = None) -> OutputSums:
        """What a loss may see: H [m, d], targets [k], the row of each (None: one a row) -> see OutputSums.

        Differentiable by H: the gradient is that through all D outputs.
        """
        H = H.double()
        moved = H @ self.U.T
        of = slice(None) if owners is None else owners
        target = (self.V[targets].double() * moved[of]).sum(dim=1) + (H @ self.w)[of]
        return OutputSums(target, ((H @ self.Q) * H).sum(dim=1), H @ self.sums)

    @torch.no_grad()
    def update(
        self, H: torch.Tensor, targets: torch.Tensor, by: OutputSums, *, learning_rate: float,
        owners: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        """W <- W - learning rate x gradient, of the loss whose gradients by what it saw are `by`."""
        H = H.double()
        rows, at = targets.unique(return_inverse=True)
        of = slice(None) if owners is None else owners
        Y = torch.zeros(len(rows), H.shape[1], dtype=torch.float64, device=H.device)
        Y.index_add_(0, at, by.target.double()[:, None] * H[of])  # rows of Y H' that aren't 0: a target's own add up
        P, s, y = H.T @ (by.squares.double()[:, None] * H), H.T @ by.sums.double(), Y.sum(dim=0)
        VY = self.U.T @ (self.V[rows].double().T @ Y) + torch.outer(self.w, y)  # W' Y H'
        WG = VY + 2 * self.Q @ P + torch.outer(self.sums, s)  # W' G
        twice = 2 * P @ (VY + torch.outer(self.sums, s)) + torch.outer(y, s)
        GG = 4 * P @ self.Q @ P + Y.T @ Y + self.n_outputs * torch.outer(s, s) + twice + twice.T  # G' G
        self.Q = self.Q - learning_rate * (WG + WG.T) + learning_rate**2 * GG
        self.sums = self.sums - learning_rate * (y + 2 * P @ self.sums + self.n_outputs * s)
        self.w = self.w - learning_rate * (2 * P @ self.w + s)
        self.U = self.U - 2 * learning_rate * self.U @ P
        moved = torch.linalg.solve(self.U, Y, left=False)  # Y H' U^-1
        self.V.index_add_(0, rows, (-learning_rate * moved).to(self.V.dtype))
        self.step += 1
        if self.step % STABLE_EVERY == 0:
            self.steady()

    @torch.no_grad()
    def steady(self) -> None:
        """Move into V what of U is far from 1; W stays what it is."""
        left, values, _ = torch.linalg.svd(self.U)
        far = (values < BOUNDS[0]) | (values > BOUNDS[1])
        if not far.any():
            return
        axes, factors = left[:, far], values[far]
        self.U = self.U + axes @ ((1 / factors - 1)[:, None] * (axes.T @ self.U))
        dtype = self.V.dtype
        self.V += (self.V @ axes.to(dtype)) @ ((factors - 1)[:, None] * axes.T).to(dtype)

    @torch.no_grad()
    def outputs(self, H: torch.Tensor) -> torch.Tensor:
        """All outputs of rows H [m, d] -> [m, D], in V's number format."""
        H = H.double()
        return (H @ self.U.T).to(self.V.dtype) @ self.V.T + (H @ self.w)[:, None].to(self.V.dtype)

    @torch.no_grad()
    def weight(self) -> torch.Tensor:
        """W [D, d] as one matrix."""
        return self.V @ self.U.to(self.V.dtype) + self.w.to(self.V.dtype)

    def to(self, device: torch.device) -> None:
        """Move everything to a device."""
        if self.V.device != device:
            for name in ("V", "U", "w", "Q", "sums"):
                setattr(self, name, getattr(self, name).to(device))

    def state(self) -> dict[str, torch.Tensor]:
        """All that it has learnt."""
        return {"V": self.V, "U": self.U, "w": self.w, "Q": self.Q, "sums": self.sums, "step": torch.tensor(self.step)}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take up a state.

        Raises
        ------
        ValueError
            If it is of a head of another size.
        """
        if state["V"].shape != self.V.shape:
            raise ValueError(f"a head of {list(self.V.shape)} weights can't take up one of {list(state['V'].shape)}.")
        device = self.V.device
        self.V, self.U, self.w, self.Q, self.sums = (state[n].to(device) for n in ("V", "U", "w", "Q", "sums"))
        self.step = int(state["step"])


def _moments(V: torch.Tensor, chunk: int = 1 << 14) -> tuple[torch.Tensor, torch.Tensor]:
    """V' V and the sum of V's rows in float64, without a float64 copy of V."""
    Q = torch.zeros(V.shape[1], V.shape[1], dtype=torch.float64, device=V.device)
    sums = torch.zeros(V.shape[1], dtype=torch.float64, device=V.device)
    for part in V.split(chunk):
        Q += part.double().T @ part.double()
        sums += part.double().sum(dim=0)
    return Q, sums
