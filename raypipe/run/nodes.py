"""Nodes that are about to be taken away: spot instances with a notice, nodes that an autoscaler or a user drains."""

from collections.abc import Iterable, Mapping
from typing import Any

import ray
from ray._private.state import state


def leaving() -> frozenset[str]:
    """Ids of the nodes that Ray was told to drain and that are still there."""
    return frozenset(state.get_draining_nodes() or {})


def is_last(going: frozenset[str]) -> bool:
    """Whether a job can't go on without them: its driver is on one, or all that have CPUs are among them."""
    return bool(going) and ends_job(going, ray.nodes(), here=ray.get_runtime_context().get_node_id())


def ends_job(going: frozenset[str], known: Iterable[Mapping[str, Any]], *, here: str) -> bool:
    """`is_last`, from what Ray says of its nodes; `here` is the driver's."""
    staying = [node for node in known if node["Alive"] and node["NodeID"] not in going]
    return here in going or not any(node["Resources"].get("CPU", 0) for node in staying)
