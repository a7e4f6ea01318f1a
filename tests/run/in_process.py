"""Stages worked off in this process, without Ray: what they compute and when, not how they bear faults."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from raypipe.corpus import Shard
from raypipe.run.commit import commit, file_name
from raypipe.run.gather import GatherStage
from raypipe.run.links import LinkStage, look_through
from raypipe.run.resume import StageState
from raypipe.run.rows import through
from raypipe.run.stage import Annotate
from raypipe.runs.card import identity_hash


def work(self: Annotate, pending: Sequence[Shard], state: StageState, card: dict[str, Any]) -> None:
    """Every shard through the Op, one after another."""
    self.op.setup(n_threads=1)
    for shard in pending:
        for part, is_last, table in self._reader().parts(shard, self.files.get(shard.key, {})):
            result = through(self.op, self.op.prepare(table), report=lambda *_, **__: None)
            name = file_name(part, is_last=is_last)
            commit(self.folder, name, shard=part, source=table, result=result, identity=identity_hash(card["identity"]))


def folded(self: GatherStage, reader: Any, shards: Sequence[Any]) -> tuple[dict[str, Any], int]:
    """Each shard by itself, then merged one after another."""
    found, n_rows = copy.deepcopy(self.gather), 0
    for shard, files in shards:
        part = copy.deepcopy(self.gather)
        for _, _, table in reader.parts(shard, files):
            part.update(table)
            n_rows += len(table)
        found.merge(found.from_state(part.state()))
    return found.state(), n_rows


def linked(self: LinkStage, reader: Any, shards: Any, folder: Any, names: Sequence[str], left: list[int]) -> None:
    """Each group that is left, one after another."""
    for group in left:
        linker = replace(self.linker, group=group, n_groups=self.n_groups)  # type: ignore[type-var]
        look_through(linker, reader, shards, folder, names[group])


def use_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let annotate and gather stages, and stages of links, work here."""
    monkeypatch.setattr(Annotate, "_work", work)
    monkeypatch.setattr(GatherStage, "_folded", folded)
    monkeypatch.setattr(LinkStage, "_work", linked)
