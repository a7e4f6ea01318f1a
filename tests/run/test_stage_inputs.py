"""A stage that reads stages: right after kills, and redone where, and only where, what it reads has changed."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raypipe.columns import REASON
from raypipe.contracts.op import ROWS
from raypipe.corpus.stages import Mismatch
from raypipe.run.event_loop import StageFailed
from raypipe.run.stage import Annotate, is_complete
from raypipe.runs.card import IdentityChanged

from .fake_op import FakeOp, commit_fault, crash, score
from .stages import SIZES, fault, make_stage, output, stamps, texts_of, write_corpus, write_lines

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(180)]


@dataclass
class Doubled:
    """Twice the score of stage scores, and what else it was told to read, as text."""

    also: tuple[str, ...] = ()
    once: str | None = None
    crash_at: float | None = None
    """The score of a row that kills its process."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = ROWS
    padding: int = field(default=0, init=False)
    adds: ClassVar[pa.Schema] = pa.schema([("double", pa.float32()), ("seen", pa.string())])

    @property
    def reads(self) -> tuple[str, ...]:
        return ("scores.score", *self.also)

    def prepare(self, table: pa.Table) -> pa.Table:
        commit_fault(self.once, "kill-prepare")
        assert set(table.column_names) == {"id", "text_hash", REASON, *self.reads}
        return table

    def setup(self, *, n_threads: int) -> None: ...

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        return np.array_split(np.flatnonzero(pc.is_null(prepared[REASON]).to_numpy()), 2)

    def cost(self, prepared: pa.Table) -> int:
        return len(prepared)

    def limits(self) -> dict[str, int]:
        return {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        commit_fault(self.once, "kill-forward")
        scores = batch["scores.score"].to_pylist()
        if self.crash_at in scores:
            crash()
        seen = [json.dumps([row[name] for name in self.also]) for row in batch.to_pylist()]
        return pa.table({"double": pa.array([2 * value for value in scores], pa.float32()), "seen": seen})


def doubles(root: Path, op: Doubled | None = None, **changes: Any) -> Annotate:
    return make_stage(
        root, op or Doubled(), stage="doubles", **{"stages": ("scores",), "identity": {"op": "double"}, **changes}
    )  # type: ignore[arg-type]


def assert_doubled(root: Path, *, skipped: dict[int, str] | None = None, salt: int = 0) -> None:
    scores, found = output(root), output(root, "doubles")
    assert found["text_hash"].equals(scores["text_hash"])
    assert found["id"].equals(scores["id"])
    wanted = [None if value is None else 2 * value for value in scores["score"].to_pylist()]
    reasons = scores["reason"].to_pylist()
    for row, reason in (skipped or {}).items():
        wanted[row], reasons[row] = None, reason
    assert found["double"].to_pylist() == wanted
    assert found["reason"].to_pylist() == reasons
    assert [str(path) for path in (root / "run").rglob("*") if ".tmp-" in path.name] == []


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """A corpus of plain lines and a stream, with rows that are skipped, and its scores."""
    root = tmp_path_factory.mktemp("scored")
    write_corpus(root / "corpus", n_files=2)
    write_lines(root / "corpus/part-2.jsonl", [*texts_of(8, start=200), "", "  "])
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts_of(13, start=300))
    (root / "corpus/part-3.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    make_stage(root)()
    return root


@pytest.fixture
def root(tmp_path: Path, scored: Path) -> Path:
    shutil.copytree(scored, tmp_path / "copy")  # with times
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def doubled_once(tmp_path_factory: pytest.TempPathFactory, scored: Path) -> Path:
    """The same with stage doubles, made once."""
    root = tmp_path_factory.mktemp("doubled") / "copy"
    shutil.copytree(scored, root)
    assert is_complete(doubles(root)())
    return root


@pytest.fixture
def doubled(tmp_path: Path, doubled_once: Path) -> Path:
    """A copy of that."""
    shutil.copytree(doubled_once, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("also", [(), ("scores.n_tokens", "text", "domain")], ids=["stages alone", "with the source"])
def test_it_is_right_after_its_processes_were_killed(root: Path, tmp_path: Path, also: tuple[str, ...]) -> None:
    once = fault(tmp_path, "kill-prepare", "kill-forward")
    assert is_complete(doubles(root, Doubled(also, once=once))())
    assert os.listdir(once) == []
    assert_doubled(root)
    if also:
        seen = [json.loads(row) for row in output(root, "doubles")["seen"].to_pylist() if row]
        assert seen[0] == [len(texts_of(1)[0].split()), texts_of(1)[0], "all"]
        assert seen[-1][1] == texts_of(13, start=300)[-1]


def test_a_row_that_kills_its_process_is_found_and_its_neighbours_are_done(root: Path) -> None:
    worst = output(root)["score"].to_pylist()[7]
    assert is_complete(doubles(root, Doubled(crash_at=worst))())
    assert_doubled(root, skipped={7: "crashed the scorer (signal 11)"})


def rewrite_a_source(root: Path) -> None:
    path = root / "corpus/part-1.jsonl"
    path.write_text(path.read_text().replace("apples", "apple5"))


def score_again(root: Path) -> None:
    assert is_complete(make_stage(root)())


def lose_a_score_file(root: Path) -> None:
    os.unlink(sorted((root / "run/scores").glob("part-1*.parquet"))[1])


def lose_a_part(root: Path) -> None:
    os.unlink(sorted((root / "run/scores").glob("part-3*.parquet"))[1])


def lose_an_own_file(root: Path) -> None:
    os.unlink(sorted((root / "run/doubles").glob("part-1*.parquet"))[1])


@pytest.mark.parametrize(
    ("changes", "redone", "n_redone"),
    [
        ((), "", 0),
        ((lose_an_own_file,), "part-1", 1),
        ((rewrite_a_source, score_again), "part-1", 3),
        ((lose_a_score_file, score_again), "part-1", 1),
        ((lose_a_part, score_again), "part-3", 3),
    ],
    ids=lambda value: "+".join(one.__name__ for one in value) if isinstance(value, tuple) else None,
)
def test_what_changed_is_redone_and_nothing_else(
    doubled: Path, changes: tuple[Callable[[Path], None], ...], redone: str, n_redone: int
) -> None:
    root = doubled
    before = stamps(root, "doubles")
    for change in changes:
        change(root)
    assert is_complete(doubles(root)())
    after = stamps(root, "doubles")
    written = [name for name, stamp in after.items() if before.get(name) != stamp]
    assert (len(written), all(name.startswith(redone) for name in written)) == (n_redone, True)
    assert len(after) == len(before)
    assert_doubled(root)


def test_a_source_that_changed_since_must_be_scored_first(root: Path) -> None:
    rewrite_a_source(root)
    with pytest.raises(Mismatch, match=r"stage 'scores' was made before part-1\.jsonl changed or came; give"):
        doubles(root)()
    assert not (root / "run/doubles/card.json").exists()


def test_another_identity_of_what_it_reads_is_one_of_its_own(doubled: Path) -> None:
    root = doubled
    for path in (root / "run/scores").iterdir():
        path.unlink()
    make_stage(root, FakeOp(salt=5), identity={"op": "fake", "salt": 5})()
    with pytest.raises(IdentityChanged, match=r"stage scores was '[0-9a-f]{16}' and is now '[0-9a-f]{16}'"):
        doubles(root)()
    assert is_complete(doubles(root, redo=True)())
    assert_doubled(root)
    assert output(root, "doubles")["double"][0].as_py() == 2 * score(output(root)["text_hash"][0].as_py(), 5)


def test_the_first_difference_between_rows_stops_it(root: Path) -> None:
    import pyarrow.parquet as pq

    path = sorted((root / "run/scores").glob("part-1*.parquet"))[0]
    table = pq.read_table(path)
    hashes = [*table["text_hash"].to_pylist()[:2], 7, *table["text_hash"].to_pylist()[3:]]
    column = table.schema.get_field_index("text_hash")
    pq.write_table(table.set_column(column, "text_hash", pa.array(hashes, pa.int64())), path)
    with pytest.raises(
        StageFailed, match=r"mismatch: part-1\.jsonl from 0: row 2 has text_hash \S+ in the corpus, 7 in"
    ):
        doubles(root, Doubled(("text",)))()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"stages": ("skores",)}, FileNotFoundError, "no stage 'skores'.*nearest is 'scores'"),
        ({"stages": ()}, KeyError, r"no column 'scores\.score' of the corpus"),
        ({"op": Doubled(("scores.n_token",))}, KeyError, "did you mean 'scores.n_tokens'"),
        ({"op": FakeOp()}, ValueError, "nothing is read of stage 'scores'; leave it out"),
        ({"sizes": replace(SIZES, shard_bytes=999)}, Mismatch, "made of another corpus or cut otherwise"),
    ],
    ids=["stage", "no stage", "column", "unread", "cut"],
)
def test_what_it_cannot_read_is_refused_before_anything_starts(
    root: Path, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        doubles(root, **changes)()
    assert not (root / "run/doubles/card.json").exists()


def test_a_stage_that_is_not_finished_is_not_read(root: Path) -> None:
    card = json.loads((root / "run/scores/card.json").read_text())
    (root / "run/scores/card.json").write_text(json.dumps({**card, "status": "incomplete"}))
    with pytest.raises(ValueError, match="must be finished before it is read, but is 'incomplete'"):
        doubles(root)()


def test_a_stage_may_read_a_stage_that_reads_a_stage(doubled: Path) -> None:
    root = doubled
    again = make_stage(root, Doubled(("doubles.double",)), stage="third", stages=("scores", "doubles"), identity={})
    assert is_complete(again())
    seen = [json.loads(row)[0] for row in output(root, "third")["seen"].to_pylist() if row]
    assert seen == [value for value in output(root, "doubles")["double"].to_pylist() if value is not None]
    lose_a_score_file(root)
    score_again(root)
    before = stamps(root, "third")
    with pytest.raises(
        Mismatch, match=r"'doubles' was made before files of scores of part-1\.jsonl were written again"
    ):
        again()
    doubles(root)()
    assert is_complete(again())
    assert sum(before.get(name) != stamp for name, stamp in stamps(root, "third").items()) == 1
