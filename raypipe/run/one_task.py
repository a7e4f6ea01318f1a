"""A function called once on a worker's resources, for what isn't worth a stage."""

from collections.abc import Callable
from typing import Any, TypeVar

from raypipe.contracts.op import Pool
from raypipe.run.exits import end_in_time

R = TypeVar("R")
LOOK_EVERY_S = 1.0


class Interrupted(RuntimeError):
    """The function was not waited for to its end."""


def on_a_worker(
    pool: Pool, function: Callable[..., R], *arguments: Any, is_stopping: Callable[[], bool] = lambda: False
) -> R:
    """What the function returns, run where a worker of the pool could.

    Raises
    ------
    Interrupted
        Once `is_stopping` says so.
    """
    import ray

    remote = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus, max_retries=1)(_run)
    running = remote.remote(function, *arguments)
    while not ray.wait([running], timeout=LOOK_EVERY_S)[0]:
        if is_stopping():
            ray.cancel(running)
            raise Interrupted("stopped before it was done; go on with the same command.")
    result: R = ray.get(running)
    return result


def _run(function: Callable[..., R], *arguments: Any) -> R:
    end_in_time()
    return function(*arguments)
