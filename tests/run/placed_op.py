"""The fake Op where it says on which node of a cluster it read and scored; run as a script, on a cluster of its own."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tests.run.fake_op import FakeOp


@dataclass
class PlacedOp(FakeOp):
    """Leaves a file `read-NODE` or `scored-NODE` in a folder."""

    nodes: str = ""

    def prepare(self, table: pa.Table) -> pa.Table:
        self._note("read")
        return super().prepare(table)

    def setup(self, *, n_threads: int) -> None:
        self._note("scored")
        super().setup(n_threads=n_threads)

    def _note(self, what: str) -> None:
        import ray

        (Path(self.nodes) / f"{what}-{ray.get_runtime_context().get_node_id()}").touch()


def main(root: Path) -> None:
    """Score ROOT/corpus on two nodes with CPUs and one that also has (made-up) GPUs; say which node is which."""
    import ray
    from ray.cluster_utils import Cluster

    from raypipe.run.cluster import Wanted
    from tests.run.stages import make_stage

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    kinds = {cluster.head_node.node_id: "cpu", cluster.add_node(num_cpus=2).node_id: "cpu"}
    kinds[cluster.add_node(num_cpus=2, num_gpus=2).node_id] = "gpu"
    cluster.connect()
    wanted = Wanted()
    make_stage(root, PlacedOp(nodes=str(root / "nodes")), wanted=wanted)()
    print(json.dumps({"kinds": kinds, "placing": wanted.placing()}))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
