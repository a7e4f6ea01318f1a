"""What is left of a plan, from the names of the output files alone: no output file is opened.

A name holds the path, the fingerprint and the cut of its shard, so a rewritten input is another shard and the file of
the old one is stale.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from raypipe.corpus import Shard
from raypipe.corpus.shards import LAST, output_name
from raypipe.run.commit import SUFFIX, file_name


@dataclass
class StageState:
    """What a listing of the outputs says about a plan."""

    pending: list[Shard] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    """Names of committed files that belong to the plan."""
    stale: list[str] = field(default_factory=list)
    """Names that don't: their inputs were rewritten or are gone."""
    parts_done: dict[str, list[int]] = field(default_factory=dict)
    """Key of each unfinished stream -> starts of its committed parts."""


def compare(shards: Sequence[Shard], names: Iterable[str]) -> StageState:
    """Which shards are left, which files are finished, and which are stale.

    Raises
    ------
    ValueError
        If there is a Parquet file that no stage has written: it would be counted, or deleted as stale.
    """
    there = {name: name for name in names}
    if foreign := sorted(name for name in there if output_name(name) is None):
        raise ValueError(f"a stage's folder must hold its own files only, got {foreign[0]!r}; move it elsewhere.")
    streams: dict[tuple[str, ...], list[str]] = {_stream(shard.key): [] for shard in shards if shard.cut == "part"}
    for name in there if streams else ():
        if (of_stream := streams.get(_stream(name.removesuffix(LAST).removesuffix(SUFFIX)))) is not None:
            of_stream.append(name)
    state = StageState()
    for shard in shards:
        if shard.cut == "part":
            _compare_stream(shard, streams[_stream(shard.key)], state)
        elif (name := file_name(shard, is_last=True)) in there:
            state.finished.add(there[name])  # not a second copy of each name
        else:
            state.pending.append(shard)
    state.stale = sorted(there.keys() - state.finished)
    return state


def planned_key(shard: Shard) -> str:
    """The key that a shard, or the stream of a part, has in a plan."""
    return replace(shard, start=0).key if shard.cut == "part" else shard.key


def _compare_stream(shard: Shard, names: list[str], state: StageState) -> None:
    found = [one for one in map(output_name, names) if one is not None]
    starts = sorted(one.start for one in found)
    last = [one.start for one in found if one.is_last]
    is_whole = bool(last) and len(starts) == last[0] // shard.size + 1
    state.finished.update(names)
    if not is_whole:
        state.pending.append(shard)
        state.parts_done[shard.key] = starts


def _stream(key: str) -> tuple[str, ...]:
    """What the parts of a stream share."""
    found = output_name(key + SUFFIX)
    return (found.path, found.cut_from, found.inputs) if found else ()
