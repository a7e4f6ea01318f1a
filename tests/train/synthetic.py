"""Small tokens folders, selections and models for the tests of training."""

import json
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import columns
from raypipe.runs.card import FORMAT
from raypipe.runs.files import file_identity
from raypipe.storage.folder import Folder
from raypipe.train.data.tokenise import TOKENS

VOCABULARY = 64


def text_hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def write_tokens(folder: Path, *, n_files: int = 3, n_rows: int = 20, seed: int = 0, longest: int = 40) -> Folder:
    """Files of documents with a rule that a model can learn (counting up from a start), every seventh row skipped."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for file in range(n_files):
        rows = [_row(file, row, rng, longest) for row in range(n_rows)]
        schema = pa.schema([*columns.KEYS, *TOKENS, *columns.OUTCOME])
        table = pa.Table.from_pylist(rows, schema=schema)
        path = f"part{file // 2}.jsonl"  # two files a source: rows of the second go on counting
        table = table.replace_schema_metadata({"raypipe.source_path": path, "raypipe.start": str(1000 * (file % 2))})
        pq.write_table(table, folder / f"part{file // 2}-abc-{1000 * (file % 2):015d}.parquet")
    return Folder(str(folder))


def _row(file: int, row: int, rng: np.random.Generator, longest: int) -> dict:
    base = {"id": f"{file}:{row}", "text_hash": text_hash(f"{file}:{row}"), "domain": "ab"[row % 2]}
    if row % 7 == 3:
        return {**base, "status": "skipped", "reason": "empty"}
    n = int(rng.integers(2, longest))
    ids = (int(rng.integers(VOCABULARY)) + np.arange(n) * (1 + row % 2)) % VOCABULARY
    return {**base, "tokens": ids.tolist(), "n_tokens": n, "status": "scored"}


def finished(identity: dict) -> bytes:
    """The card of a stage that is finished."""
    return json.dumps({"status": "finished", "format": FORMAT, "identity": identity}).encode()


def write_selection(
    folder: Path, tokens: Folder, *, weight, heldout=lambda number: False, identity: dict | None = None
) -> Folder:
    """A selection cut otherwise than the tokens: one file a source; `weight(row number in the source)`.

    With an `identity` it is finished: it has a card, which its files belong to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_path: dict[str, list[dict]] = {}
    for entry in (entry for entry in tokens.files() if entry.path.endswith(".parquet")):
        with tokens.open(entry.path) as source:
            parquet = pq.ParquetFile(source)
            path = parquet.metadata.metadata[b"raypipe.source_path"].decode()
            by_path.setdefault(path, []).extend(parquet.read().to_pylist())
    for path, rows in by_path.items():
        chosen = [
            {
                "id": row["id"], "text_hash": row["text_hash"], "domain": row["domain"],
                "split": "heldout" if heldout(number) else "train", "selected": weight(number) > 0,
                "weight": weight(number),
            }
            for number, row in enumerate(rows)
        ]  # fmt: skip
        table = pa.Table.from_pylist(chosen, schema=columns.SELECTION)
        table = table.replace_schema_metadata({b"raypipe.source_path": path, **file_identity(identity or {})})
        pq.write_table(table, folder / f"{path}-xyz-000000000000000.parquet")
    if identity is not None:
        (folder / "card.json").write_bytes(finished(identity))
    return Folder(str(folder))
