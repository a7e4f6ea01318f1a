"""A small network that tells the noise in a noised row, given how noised it is and the row's class; and its training.

Source: J. Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020, equation 14 and algorithm 1, linear betas.
Departures: residual layers of units instead of a U-net, since rows are vectors; no class is left out in training.
Cost: O(d h + b h^2) a row and step, for b blocks of h units.
"""

import math

import numpy as np
import torch
from torch import nn

N_TIMES = 1000


def signal_shares() -> np.ndarray:
    """abar: the share of a row's variance that is left at each time [N_TIMES], falling; float64, exact near its end."""
    found: np.ndarray = np.cumprod(1 - np.linspace(1e-4, 0.02, N_TIMES))
    return found


class Denoiser(nn.Module):
    """Noise from a noised row [n, d], its time [n] and its class [n]."""

    def __init__(self, *, d: int, k: int, width: int, n_blocks: int) -> None:
        super().__init__()
        self.into = nn.Linear(d, width)
        self.of_time = nn.Linear(64, width)
        self.of_class = nn.Embedding(k, width)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(),
                                                  nn.Linear(width, width)) for _ in range(n_blocks))  # fmt: skip
        self.out = nn.Linear(width, d)

    def forward(self, rows: torch.Tensor, times: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """The noise: [n, d]."""
        rates = torch.exp(-math.log(N_TIMES) * torch.arange(32) / 32)
        angles = times[:, None] * rates
        given = self.of_time(torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)) + self.of_class(classes)
        hidden = self.into(rows) + given
        for block in self.blocks:
            hidden = hidden + block(hidden + given)
        found: torch.Tensor = self.out(nn.functional.silu(hidden))
        return found


def trained(
    X: np.ndarray, at: np.ndarray, *, k: int, width: int, n_blocks: int, n_steps: int, batch: int,
    learning_rate: float, seed: int,
) -> Denoiser:  # fmt: skip
    """A denoiser taught on rows [n, d] of classes [n]; weights are averaged over the second half of the steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Denoiser(d=X.shape[1], k=k, width=width, n_blocks=n_blocks)
    draw = torch.Generator().manual_seed(seed)
    rows, classes = torch.from_numpy(X.astype(np.float32)), torch.from_numpy(at)
    left = torch.from_numpy(signal_shares()).float()
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    mean = torch.optim.swa_utils.AveragedModel(model)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, n_steps)
    for step in range(n_steps):
        chosen = torch.randint(len(rows), (min(batch, len(rows)),), generator=draw)
        times = torch.randint(N_TIMES, (len(chosen),), generator=draw)
        noise = torch.randn((len(chosen), X.shape[1]), generator=draw)
        share = left[times, None]
        said = model(share.sqrt() * rows[chosen] + (1 - share).sqrt() * noise, times, classes[chosen])
        optimiser.zero_grad()
        ((said - noise) ** 2).mean().backward()
        optimiser.step()
        falling.step()
        if step >= n_steps // 2:
            mean.update_parameters(model)
    found = mean.module
    assert isinstance(found, Denoiser)
    return found.eval()
