"""How much of the time a device waits, by its own record of what ran when."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def busy_share(work: Callable[[], object], device: torch.device) -> dict[str, Any]:
    """{"waiting": share of the time in [0, 1]}, from the first kernel to the last; None and why if it isn't recorded.

    Recording slows the host a little, so that a device which waits for the host waits somewhat longer than without.
    """
    on_gpu = device.type == "cuda"
    try:
        with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as recorded:
            work()
            if on_gpu:
                torch.cuda.synchronize(device)
        kind = "CUDA" if on_gpu else "CPU"
        seen = [event for event in recorded.events() or [] if event.device_type.name == kind]
        ranges = [(event.time_range.start, event.time_range.end) for event in seen]
        return {"waiting": 1 - covered(ranges)}
    except Exception as error:  # a figure less, not a contender less
        return {"waiting": None, "why_no_waiting": f"{type(error).__name__}: {error}"[:300]}


def covered(ranges: Iterable[tuple[float, float]]) -> float:
    """Share of the span from the first start to the last end that lies in any of the ranges.

    Raises
    ------
    ValueError
        If there are none.
    """
    ordered = sorted(ranges)
    if not ordered:
        raise ValueError("there must be a record of at least one kernel, got none.")
    busy, reached = 0.0, ordered[0][0]
    for start, end in ordered:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return busy / max(reached - ordered[0][0], 1e-9)
