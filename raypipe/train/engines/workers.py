"""The processes that train together: what they tell one another."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist

R = TypeVar("R")


@dataclass(frozen=True)
class Workers:
    """This process among them. Without a process group it is alone."""

    rank: int
    world: int
    local_rank: int
    device: torch.device

    @classmethod
    def of_this_process(cls) -> "Workers":
        """As the process group and the launcher's environment say."""
        is_grouped = dist.is_initialized()
        local_rank = int(os.environ.get("LOCAL_RANK", "0")) if is_grouped else 0
        device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
        if not is_grouped:
            return cls(0, 1, local_rank, device)
        return cls(dist.get_rank(), dist.get_world_size(), local_rank, device)

    @property
    def node(self) -> str:
        """The machine that this worker is on."""
        return socket.gethostname()

    def sum(self, values: np.ndarray) -> np.ndarray:
        """float64 [n], added up over all workers."""
        if self.world == 1:
            return values
        total = torch.from_numpy(values.astype(np.float64)).to(self.device)
        dist.all_reduce(total)
        return np.asarray(total.cpu().numpy())

    def gather(self, value: Any) -> list[Any]:
        """Every worker's value, by rank; also a barrier."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def gather_tensors(self, tensor: torch.Tensor, sizes: list[int]) -> list[torch.Tensor]:
        """Every worker's tensor, by rank, on this one's device; `sizes` are the lengths of their first axis."""
        if self.world == 1:
            return [tensor]
        padded = tensor.new_zeros(max(sizes), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        whole = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(whole, padded)
        return [one[:size] for one, size in zip(whole, sizes, strict=True)]

    def together(self, action: Callable[[], R]) -> R:
        """What an action gives on this worker; every worker calls it, and what fails on one is raised on all.

        Without it the others would wait, in their next exchange, for one who is gone.

        Raises
        ------
        ValueError
            If the action raised an OSError, ValueError or KeyError on some worker.
        """
        result, failure = None, ""
        try:
            result = action()
        except (OSError, ValueError, KeyError) as error:
            if self.world == 1:
                raise
            failure = f"worker {self.rank} on {self.node}: {error.args[0] if isinstance(error, KeyError) else error}"
        if lost := [one for one in self.gather(failure) if one]:
            raise ValueError(lost[0])
        return cast(R, result)

    def from_first(self, action: Callable[[], R]) -> R:
        """What an action gives on the first worker, on every worker; a failure there is raised on all.

        Raises
        ------
        ValueError
            As `together` does.
        """
        return cast(R, self.gather(self.together(lambda: action() if self.rank == 0 else None))[0])

    def average(self, tensors: list[torch.Tensor], *, bucket_bytes: int = 64 << 20) -> None:
        """Replace tensors by their mean over all workers, a bucket of them at a time."""
        if self.world == 1:
            return
        for bucket in _buckets(tensors, bucket_bytes):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            flat /= self.world
            for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))


def _buckets(tensors: list[torch.Tensor], size_bytes: int) -> list[list[torch.Tensor]]:
    buckets: list[list[torch.Tensor]] = []
    filled = size_bytes
    for tensor in tensors:
        n_bytes = tensor.numel() * tensor.element_size()
        if filled + n_bytes > size_bytes or buckets[-1][0].dtype != tensor.dtype:
            buckets.append([])
            filled = 0
        buckets[-1].append(tensor)
        filled += n_bytes
    return buckets
