"""A synthetic run folder: three domains, two tiny ones, copies, skipped rows, scores without a model."""

import json
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe import columns

SCORES = pa.schema(
    [
        *columns.KEYS,
        *columns.DOCUMENT,
        ("loss", pa.float32()),
        ("loss_masked", pa.float32()),
        ("influence", pa.float32()),
        *columns.OUTCOME,
    ]
)


def text_hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def document(number: int, domain: str, rng: np.random.Generator) -> dict:
    n_tokens_total = int(rng.lognormal(5, 1)) + 2
    loss = np.float32(rng.uniform(0.5, 4))
    loss_masked = np.float32(loss * (1 + rng.exponential(0.3)))
    return {
        "id": f"{domain}:{number}",
        "text_hash": text_hash(f"{domain} text {number}"),
        "domain": domain,
        "n_tokens": min(n_tokens_total, 256),
        "n_tokens_total": n_tokens_total,
        "n_bytes": 4 * n_tokens_total,
        "zlib_ratio": np.float32(rng.uniform(1, 4)),
        "repeated_lines": 0.0,
        "truncated": n_tokens_total > 256,
        "loss": loss,
        "loss_masked": loss_masked,
        "influence": np.float32((loss_masked - loss) / loss),
        "status": "scored",
        "reason": None,
    }


def skipped(number: int, domain: str) -> dict:
    empty = dict.fromkeys(SCORES.names)
    return {**empty, "id": f"{domain}:skipped{number}", "domain": domain, "status": "skipped", "reason": "empty"}


def corpus(*, seed: int = 0, sizes: dict[str, int] | None = None) -> list[list[dict]]:
    """Rows by file: each domain in files of 150 rows, every 20th a copy of an earlier row, every 30th skipped."""
    rng = np.random.default_rng(seed)
    files: list[list[dict]] = []
    for domain, size in (sizes or {"code": 600, "web": 700, "math": 300, "tiny": 12, "small": 30}).items():
        rows: list[dict] = []
        for number in range(size):
            if number % 30 == 29:
                rows.append(skipped(number, domain))
            elif number % 20 == 19:
                rows.append({**rows[number // 2], "id": f"{domain}:copy{number}"})
            else:
                rows.append(document(number, domain, rng))
        files += [rows[start : start + 150] for start in range(0, size, 150)]
    return files


def write_run(folder: Path, files: list[list[dict]], *, status: str = "finished") -> str:
    """Write OUT/scores and return OUT."""
    scores = folder / "scores"
    scores.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(files):
        record = {"raypipe.source_path": f"part-{number}.parquet", "raypipe.start": "0"}
        table = pa.Table.from_pylist(rows, schema=SCORES.with_metadata(record))
        pq.write_table(table, scores / f"part-{number:03}.parquet")
    n_rows = sum(map(len, files))
    card = {"stage": "scores", "status": status, "identity": {"model": "m", "seed": 0}, "counts": {"rows": n_rows}}
    (scores / "card.json").write_text(json.dumps(card))
    return str(folder)


def read_arm(run: str, arm: str = "selection") -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((Path(run) / arm).glob("*.parquet")))


@pytest.fixture
def run(tmp_path: Path) -> str:
    return write_run(tmp_path / "run", corpus())


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
