"""Figures of a run for whoever watches the cluster: series that Ray's nodes show to Prometheus, each under ray_NAME.

`cluster/grafana.json` draws them. Without a Ray, or with nobody who asks, they cost nothing worth mentioning.
"""

import re
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

SERIES = {
    "raypipe_documents": "documents that were scored or skipped since the job started",
    "raypipe_documents_failed": "of them, those that made the scorer fail",
    "raypipe_tokens": "tokens that were scored since the job started",
    "raypipe_cost_per_s": "tokens, or what the stage counts, a second in which workers worked",
    "raypipe_padding_fraction": "share of the positions computed that held no token",
    "raypipe_shards_done": "shards committed since the job started",
    "raypipe_shards_waiting": "shards still to be done",
    "raypipe_shards_set_aside": "shards that can't be finished by trying again",
    "raypipe_workers": "workers at work",
    "raypipe_training_step": "steps done",
    "raypipe_training_loss": "mean loss of the last step",
    "raypipe_training_size_per_s": "tokens, or what the training counts, a second in the last step",
    "raypipe_training_mfu": "share of the device's measured speed that the last step reached",
    "raypipe_trials": "trials of a sweep by their status",
}
"""Name -> what it is. All are gauges with the tags of TAGS."""
TAGS = ("run", "stage", "status")
"""The run folder's last two names, the stage, and of trials their status; empty where there is none."""


def show(figures: Mapping[str, float | None], *, run: str, stage: str, status: str = "") -> None:
    """Set series by their name without `raypipe_`; nothing for None, or where this process has joined no Ray."""
    ray = sys.modules.get("ray")  # who hasn't imported it has joined none
    if ray is None or not ray.is_initialized():
        return
    tags = {"run": short(run), "stage": stage, "status": status}
    for name, value in figures.items():
        if value is not None:
            gauge(f"raypipe_{name}").set(float(value), tags=tags)


@cache
def gauge(name: str) -> Any:
    """Ray's gauge of that name; one for the process."""
    from ray.util.metrics import Gauge

    return Gauge(name, description=SERIES[name], tag_keys=TAGS)


def short(uri: str) -> str:
    """The last two names of a URI: enough to tell runs apart, and nothing that a store's address could give away."""
    return "/".join(re.sub(r"^\w+://", "", uri).strip("/").split("/")[-2:])
