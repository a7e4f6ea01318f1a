"""A function called once on a worker's resources, for what isn't worth a stage."""

from collections.abc import Callable
from typing import Any, TypeVar

import ray

from raypipe.run.op import Pool

R = TypeVar("R")


def on_a_worker(pool: Pool, function: Callable[..., R], *arguments: Any) -> R:
    """What the function returns, run where a worker of the pool could."""
    remote = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus, max_retries=1)(function)
    result: R = ray.get(remote.remote(*arguments))
    return result
