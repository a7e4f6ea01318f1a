"""What a change between two runs of the same command does: which shards are redone, or how the stage refuses."""

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from raypipe.corpus import Corpus
from raypipe.run.cluster import Wanted
from raypipe.run.stage import is_complete
from raypipe.runs.card import IdentityChanged

from .fake_op import FakeOp
from .stages import IDENTITY, SIZES, make_stage, stamps, texts_of, write_corpus, write_lines

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(120)]
IDENTITY_NOW = {**IDENTITY, "revision": "r1", "heads": [[0, 1]], "op_version": 1, "max_tokens": 128}


def rewrite_in_place(root: Path) -> None:
    path = root / "corpus/part-1.jsonl"
    before = path.stat()
    path.write_text(path.read_text().replace("apples", "apple5"))  # the same size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


def move_elsewhere(root: Path) -> None:
    shutil.move(root / "corpus", root / "moved")  # the same relative paths, sizes and times


def lose_an_output(root: Path) -> None:
    os.unlink(sorted((root / "run/scores").glob("part-1*.parquet"))[1])


def leave_half_a_file(root: Path) -> None:
    (root / "run/scores/.part-1.tmp-0123").write_bytes(b"PAR1")


@dataclass(frozen=True)
class Change:
    """What is done between two runs, and which files the second may write and remove."""

    name: str
    before: Callable[[Path], object] = lambda root: None
    settings: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    redone: str = ""
    """Prefix of the files that are written; none: "". """
    n_redone: int = 0
    n_removed: int = 0
    moved: bool = False
    refuses: str | None = None


CHANGES = [
    Change("nothing"),
    Change("more workers", settings={"wanted": Wanted(2, 3, gpus_per_worker=0, cpus_per_worker=1)}),
    Change("other resources", settings={"wanted": Wanted(1, 1, gpus_per_worker=0, cpus_per_worker=2)}),
    Change("other address, same files", move_elsewhere, moved=True),
    Change("input rewritten in place", rewrite_in_place, redone="part-1", n_redone=3, n_removed=3),
    Change("input added", lambda root: write_lines(root / "corpus/part-9.jsonl", texts_of(5, start=900)),
           redone="part-9", n_redone=1),
    Change("input deleted", lambda root: os.unlink(root / "corpus/part-1.jsonl"), n_removed=3),
    Change("empty input added", lambda root: (root / "corpus/part-0a.jsonl").touch()),
    Change("output lost", lose_an_output, redone="part-1", n_redone=1),
    Change("half a file of a killed writer", leave_half_a_file),
    Change("model", identity={"model_sha256": "def"}, refuses="model_sha256 was 'abc' and is now 'def'"),
    Change("revision", identity={"revision": "r2"}, refuses="revision was 'r1' and is now 'r2'"),
    Change("heads", identity={"heads": [[0, 1], [1, 2]]}, refuses="heads was [[0, 1]] and is now [[0, 1], [1, 2]]"),
    Change("version of the Op", identity={"op_version": 2}, refuses="op_version was 1 and is now 2"),
    Change("a setting", identity={"max_tokens": 64}, refuses="max_tokens was 128 and is now 64"),
    Change("a new setting", identity={"where": "a > 1"}, refuses="where was None and is now 'a > 1'"),
    Change("two settings", identity={"max_tokens": 64, "revision": "r2"},
           refuses="max_tokens was 128 and is now 64; revision was 'r1' and is now 'r2'"),
    Change("second scorer beside it", settings={"stage": "scores-second", "op": FakeOp(salt=1)},
           identity={"op": "second"}),
    Change("second head set beside it", settings={"stage": "scores-heads-10", "op": FakeOp(salt=2)},
           identity={"heads": [[5, 5]]}),
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """A finished run, to be copied and changed."""
    root = tmp_path_factory.mktemp("finished")
    write_corpus(root / "corpus")
    make_stage(root, identity=IDENTITY_NOW)()
    return root


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_a_change_redoes_what_it_affects_or_is_refused(tmp_path: Path, finished: Path, change: Change) -> None:
    root = tmp_path / "copy"
    shutil.copytree(finished, root)  # with times
    before = stamps(root)
    change.before(root)
    settings = dict(change.settings)
    corpus = Corpus((str(root / ("moved" if change.moved else "corpus")),))
    stage = make_stage(
        root, settings.pop("op", None), corpus=corpus, identity={**IDENTITY_NOW, **change.identity}, **settings
    )
    if change.refuses is not None:
        with pytest.raises(IdentityChanged) as refusal:
            stage()
        assert change.refuses in str(refusal.value)
        assert "--name NEW" in str(refusal.value)
        assert "--restart scores (throws away" in str(refusal.value)
        assert stamps(root) == before
        return
    assert is_complete(stage())
    after = stamps(root)
    written = [name for name, stamp in after.items() if before.get(name) != stamp]
    assert len(written) == change.n_redone
    assert all(name.startswith(change.redone) for name in written)
    assert len(set(before) - set(after)) == change.n_removed
    if stage.stage != "scores":
        assert len(stamps(root, stage.stage)) == len(after)
    assert json.loads((root / "run" / stage.stage / "card.json").read_text())["counts"]["shards"] == len(after)
    assert list((root / "run").rglob("*.tmp-*")) == []


def test_another_size_of_shard_is_another_identity_of_the_files(tmp_path: Path, finished: Path) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    stage = make_stage(tmp_path / "copy", identity=IDENTITY_NOW, sizes=replace(SIZES, shard_bytes=10_000))
    assert is_complete(stage())  # the job puts the size into the identity and refuses; the names alone keep cuts apart
    assert len(stamps(tmp_path / "copy")) == 3


def test_a_finished_stage_reads_no_footer(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(finished, tmp_path / "copy")

    def fail(*_: object) -> None:
        raise AssertionError("a footer was read")

    monkeypatch.setattr("raypipe.run.stage.recount", fail)
    assert is_complete(make_stage(tmp_path / "copy", identity=IDENTITY_NOW)())


def test_a_pool_takes_all_the_workers_it_may_have(tmp_path: Path) -> None:
    (tmp_path / "setups").mkdir()
    write_corpus(tmp_path / "corpus", n_files=9)
    op = FakeOp(batch_s=0.1, setups=str(tmp_path / "setups"))
    make_stage(tmp_path, op, wanted=Wanted(1, 3, gpus_per_worker=0, cpus_per_worker=1))()
    assert len(os.listdir(tmp_path / "setups")) == 3


def ledgers() -> set[int]:
    """Those of this session's Ray, by process number."""
    found = set()
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it is ending
            found |= {one.pid} if "ray::Ledger" in " ".join(one.cmdline()) else set()
    return found


def test_a_stage_that_came_to_its_end_leaves_no_ledger(tmp_path: Path) -> None:
    before = ledgers()
    write_corpus(tmp_path / "corpus")
    assert is_complete(make_stage(tmp_path)())
    for _ in range(300):
        if not ledgers() - before:
            return
        time.sleep(0.1)
    pytest.fail(f"{len(ledgers() - before)} ledgers are left")
