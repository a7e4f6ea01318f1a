import pytest

from raypipe.run.cluster import Node, Resources, Wanted, places

GPU_BOX = Node(cpus=16, gpus=8)


@pytest.mark.parametrize(
    ("wanted", "nodes", "workers", "gpus", "cpus"),
    [
        (Wanted(), [GPU_BOX], (1, 8), 1.0, 1.0),
        (Wanted(max_workers=3), [GPU_BOX], (1, 3), 1.0, 1.0),
        (Wanted(), [GPU_BOX, GPU_BOX], (1, 16), 1.0, 1.0),
        (Wanted(), [Node(cpus=8, gpus=8)], (1, 7), 1.0, 1.0),  # a CPU is left for a reader
        (Wanted(), [Node(cpus=8, gpus=8), Node(cpus=2)], (1, 8), 1.0, 1.0),  # it reads on the other
        (Wanted(gpus_per_worker=0.5), [Node(cpus=9, gpus=2)], (1, 4), 0.5, 1.0),
        (Wanted(gpus_per_worker=0, cpus_per_worker=2, max_workers=9), [Node(5), Node(5)], (1, 4), 0.0, 2.0),
        (Wanted(cpus_per_worker=4, max_workers=9), [Node(6), Node(6)], (1, 2), 0.0, 4.0),  # 12 CPUs, but 4 + 2 twice
        (Wanted(cpus_per_worker=0.25, max_workers=99), [Node(2)], (1, 6), 0.0, 0.25),
        (Wanted(min_workers=2, cpus_per_worker=1), [Node(3)], (2, 2), 0.0, 1.0),
    ],
)
def test_workers_fit_machine_by_machine_with_room_for_a_reader(
    wanted: Wanted, nodes: list[Node], workers: tuple[int, int], gpus: float, cpus: float
) -> None:
    pool = wanted.fit(Resources(tuple(nodes)))
    assert ((pool.min_workers, pool.max_workers), pool.num_gpus, pool.num_cpus) == (workers, gpus, cpus)


@pytest.mark.parametrize(
    ("wanted", "nodes"),
    [
        (Wanted(gpus_per_worker=1), [Node(8)]),  # no GPU where one is asked for
        (Wanted(min_workers=9), [GPU_BOX]),
        (Wanted(cpus_per_worker=8), [Node(4), Node(4)]),  # 8 CPUs, but on no machine
        (Wanted(cpus_per_worker=2), [Node(2)]),  # the worker would leave nothing to read with
        (Wanted(min_workers=2, cpus_per_worker=1), [Node(2)]),
    ],
)
def test_readers_or_workers_without_room_are_found_before_anything_starts(wanted: Wanted, nodes: list[Node]) -> None:
    with pytest.raises(ValueError, match=r"min_workers \d+ of cpus_per_worker .* must fit on the machines"):
        wanted.fit(Resources(tuple(nodes)))


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 1), (16, 8, 2), (20, 10, 2), (128, 8, 16)]
)
def test_the_default_fills_a_machine_of_any_size(cores: int, workers: int, threads: int) -> None:
    pool = Wanted().fit(Resources((Node(cores + 2.0),)))  # as connect() starts a local Ray
    assert (pool.max_workers, pool.num_cpus, pool.n_threads) == (workers, threads, threads)


def test_the_default_fills_each_machine_of_a_cluster() -> None:
    assert Wanted().fit(Resources((Node(66.0), Node(66.0)))).max_workers == 16


@pytest.mark.parametrize(("memory", "workers", "threads"), [(100e9, 8, 2), (40e9, 4, 4), (9e9, 1, 16)])
def test_few_workers_share_a_machine_of_little_memory(memory: float, workers: int, threads: int) -> None:
    wanted = Wanted(worker_bytes=lambda: 10e9)
    pool = wanted.fit(Resources((Node(18.0, memory=memory),)))
    assert (pool.max_workers, pool.n_threads) == (workers, threads)


def test_a_job_names_the_machines_that_its_workers_may_be_on() -> None:
    machines = [Node(16, 8, address="a"), Node(8, 4, address="b"), Node(32, address="c")]
    resources = Resources(tuple(machines))
    pool = Wanted().fit(resources)
    said = "1 to 12 workers of 1 CPUs and 1 GPUs; room for 8 on a, 4 on b; c only read."
    assert places(pool, resources) == said
    assert places(Wanted().fit(Resources((GPU_BOX,))), Resources((GPU_BOX,))) is None


def test_of_many_machines_a_few_are_named() -> None:
    resources = Resources(tuple(Node(3, address=f"m{number}") for number in range(40)))
    said = places(Wanted(1, 40, cpus_per_worker=2, gpus_per_worker=0).fit(resources), resources)
    assert said == (
        "1 to 40 workers of 2 CPUs; room for 1 on m0, 1 on m1, 1 on m2, 1 on m3, 1 on m4, 1 on m5, 1 on m6, 1 on m7 "
        "and 32 more."
    )
