"""Small corpora, stages over them with the fake Op, and what their output must be."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.corpus import Corpus
from raypipe.corpus.rows import text_hash
from raypipe.run.cluster import Wanted
from raypipe.run.inputs import Sizes
from raypipe.run.patience import Patience
from raypipe.run.stage import Annotate
from raypipe.storage.folder import Folder

from .fake_op import FakeOp, FaultyFolder, score

QUICK = Patience(batch_s=60.0, setup_s=120.0, nothing_s=240.0)
SIZES = Sizes(shard_bytes=400, part_rows=5)
IDENTITY = {"op": "fake", "salt": 0, "model_sha256": "abc"}


def texts_of(n_rows: int, *, start: int = 0) -> list[str]:
    """Different short texts."""
    return [f"document {row} has {row % 7} apples and some pears" for row in range(start, start + n_rows)]


def write_lines(path: Path, texts: Sequence[str]) -> None:
    """A file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def write_corpus(folder: Path, *, n_files: int = 3, n_rows: int = 20) -> list[str]:
    """Some files of JSON lines; returns all texts in corpus order."""
    found = []
    for number in range(n_files):
        texts = texts_of(n_rows, start=number * n_rows)
        write_lines(folder / f"part-{number}.jsonl", texts)
        found += texts
    return found


def make_stage(root: Path | str, op: FakeOp | None = None, *, stage: str = "scores", **changes: Any) -> Annotate:
    """A stage from ROOT/corpus into ROOT/run, on two workers; ROOT is a path or a URI."""
    settings: dict[str, Any] = {
        "corpus": Corpus((f"{root}/corpus",)),
        "wanted": Wanted(1, 2, gpus_per_worker=0, cpus_per_worker=1),
        "sizes": SIZES,
        "identity": IDENTITY,
        "patience": QUICK,
    }
    made = Annotate(Folder(f"{root}/run"), stage, op or FakeOp(), **{**settings, **changes})
    if isinstance(op, FakeOp) and op.once is not None:
        made.folder = FaultyFolder(made.folder.uri, op.once)
    return made


def fault(root: Path, *kinds: str) -> str:
    """A folder of faults to commit once."""
    folder = root / "faults"
    folder.mkdir(exist_ok=True)
    for kind in kinds:
        (folder / kind).touch()
    return str(folder)


def output(root: Path, stage: str = "scores") -> pa.Table:
    """All rows of a stage, in corpus order."""
    files = sorted((root / "run" / stage).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file).replace_schema_metadata(None) for file in files])


def assert_scored(root: Path, texts: Sequence[str], *, skipped: dict[str, str] | None = None, salt: int = 0) -> None:
    """Every text has its row in order, once, with its score, but for the skipped (text -> reason); no orphans."""
    skipped, table = skipped or {}, output(root)
    assert table["text_hash"].to_pylist() == [text_hash(text.encode()) for text in texts]
    reasons = dict(zip(texts, table["reason"].to_pylist(), strict=True))
    assert {text: reason for text, reason in reasons.items() if reason is not None} == skipped
    wanted = [None if text in skipped else score(text_hash(text.encode()), salt) for text in texts]
    assert table["score"].to_pylist() == wanted
    assert [str(path) for path in (root / "run").rglob("*") if ".tmp-" in path.name] == []


def stamps(root: Path, stage: str = "scores") -> dict[str, int]:
    """Committed files and when each was put."""
    return {path.name: path.stat().st_mtime_ns for path in (root / "run" / stage).glob("*.parquet")}
