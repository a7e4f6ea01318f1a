"""Shards through Ray Data: readers on CPUs run ahead, a pool of workers follows, outcomes come back one by one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import ray.data
from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy
from ray.data._internal.execution import streaming_executor_state

from raypipe.contracts.op import Op, Pool
from raypipe.corpus import Shard
from raypipe.corpus.lines import batched
from raypipe.corpus.stages import Files, Joined
from raypipe.run.cluster import READER_CPUS
from raypipe.run.ledger import MAX_DEATHS
from raypipe.run.worker import Reader, Worker
from raypipe.storage.folder import Folder

WAVE, WAVE_PER_WORKER = 5_000, 100
"""Shards handed to Ray Data at once, in all at least and for each worker: its driver keeps some 10 kB a shard, and each
wave starts its workers anew, which load the model again."""

LOOK_EVERY_S = 0.01
"""Ray Data's loop waits until all tasks in flight are done, or for so long, by itself 0.1 s. With many workers it waits
this long each turn, and a worker gets its next shard after two or three turns."""

BLOCK = 20


def outcomes(
    op: Op,
    inputs: Joined,
    shards: Sequence[Shard],
    *,
    folder: Folder,
    pool: Pool,
    ledger: Any,
    done: Mapping[str, Sequence[int]],
    files: Mapping[str, Files],
    identity: str = "",
) -> Iterator[dict[str, Any]]:
    """Take the shards through the Op, wave after wave, and yield what became of each: a row of worker.OUTCOMES.

    `done` maps the key of a compressed stream to the starts of its parts that are committed, `files` that of a shard to
    the files of other stages that are read beside it.
    """
    context = _context()
    _look_often()
    for wave in batched(shards, _wave(pool)):
        rows = [_row(shard, done.get(shard.key, []), files.get(shard.key, {})) for shard in wave]
        with DataContext.current(context):
            source = ray.data.from_items(rows, override_num_blocks=_n_blocks(len(rows), pool))
            prepared = source.map_batches(
                Reader(op, inputs, ledger).__call__,
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=READER_CPUS,
                compute=TaskPoolStrategy(size=min(_n_readers(pool), _n_blocks(len(rows), pool))),
            )
            finished = prepared.map_batches(
                Worker,
                batch_size=1,
                batch_format="pyarrow",
                fn_constructor_args=(op, folder, ledger, pool.n_threads, identity),
                num_cpus=pool.num_cpus,
                num_gpus=pool.num_gpus or None,
                compute=ActorPoolStrategy(
                    min_size=pool.min_workers,
                    max_size=pool.max_workers,
                    initial_size=max(pool.min_workers, min(pool.max_workers, len(wave))),
                    max_tasks_in_flight_per_actor=1,  # a slow worker must not hoard shards that others could do
                ),
            )
            for batch in finished.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                yield from batch.to_pylist()


def _row(shard: Shard, done: Sequence[int], files: Files) -> dict[str, Any]:
    return {"shard": json.dumps(asdict(shard)), "done": list(done), "files": json.dumps(files)}


def _wave(pool: Pool) -> int:
    """Shards of a wave: however many workers there are, to start them anew must cost little of what they then do."""
    return max(WAVE, WAVE_PER_WORKER * pool.max_workers)


def _n_readers(pool: Pool) -> int:
    """Two for each device; a worker on CPUs is slower than any reader, and one that starts takes its time."""
    return max(2, pool.max_workers * (2 if pool.num_gpus else 1))


def _n_blocks(n_shards: int, pool: Pool) -> int:
    """Blocks of BLOCK shards, smaller ones where that would leave readers idle."""
    return max(-(-n_shards // BLOCK), min(n_shards, 4 * pool.max_workers))


def _look_often() -> None:
    """Shorten the wait of Ray Data's loop, for which it has no setting; a Ray without this constant is only slower."""
    if hasattr(streaming_executor_state, "WAIT_FOR_TASK_COMPLETION_TIMEOUT_S"):
        streaming_executor_state.WAIT_FOR_TASK_COMPLETION_TIMEOUT_S = LOOK_EVERY_S


def _context() -> DataContext:
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # each shard is a block of its own: it is scored as soon as it is read
    context.execution_options.preserve_order = False
    context.execution_no_progress_timeout_s = -1  # our watchdog knows what a shard takes; a fixed limit doesn't
    context.max_consecutive_actor_init_deaths = MAX_DEATHS  # one that is killed while it loads is replaced as well
    context.print_on_execution_start = False
    context.memory_usage_poll_interval_s = None  # or each task starts a thread to watch its memory
    # with one shard in flight each, workers are never more than all busy: by default a pool wouldn't grow, nor last
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
    return context
