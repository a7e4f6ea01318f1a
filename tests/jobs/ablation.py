"""A run with scores and tokens of the same rows, small enough that an ablation of it takes seconds."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.models.tokenizer import open_vocabulary
from raypipe.storage.folder import Folder
from tests.select.conftest import SCORES
from tests.train.synthetic import finished, write_tokens


def write_scored_run(
    run: Path, tokenizer: str, *, n_rows: int = 60, scores: str = "scores", model: str = "m"
) -> Folder:
    """Tokens by the rule of tests.train.synthetic and scores of them: the longer, the more influence."""
    tokens = Folder(str(run / "tokens"))
    if not tokens.exists("card.json"):
        tokens = write_tokens(run / "tokens", n_rows=n_rows)
        vocabulary = open_vocabulary(tokenizer)
        identity = {"tokenizer_sha256": vocabulary.sha256, "vocabulary_size": vocabulary.size}
        tokens.write("card.json", finished(identity))
    (run / scores).mkdir(parents=True)
    rng, count = np.random.default_rng(len(model)), 0
    for entry in (entry for entry in tokens.files() if entry.path.endswith(".parquet")):
        with tokens.open(entry.path) as source:
            parquet = pq.ParquetFile(source)
            record, rows = parquet.metadata.metadata, parquet.read().to_pylist()
        table = pa.Table.from_pylist([_scored(row, rng) for row in rows], schema=SCORES)
        kept = {key: record[key] for key in (b"raypipe.source_path", b"raypipe.start")}
        pq.write_table(table.replace_schema_metadata(kept), run / scores / entry.path)
        count += len(rows)
    card = finished({"model_sha256": model, "heads": [[0, 1]], "max_tokens": 64})
    (run / scores / "card.json").write_bytes(card.replace(b'"identity"', b'"counts": {"rows": %d}, "identity"' % count))
    return Folder(str(run))


def write_classes(run: Path) -> None:
    """A stage of classify_corpus --good beside the scores."""
    rng = np.random.default_rng(5)
    (run / "classes").mkdir()
    for path in sorted((run / "scores").glob("*.parquet")):
        scores = pq.read_table(path)
        quality = pa.array(rng.uniform(size=len(scores)), mask=scores["influence"].is_null().to_numpy())
        table = scores.select(["id", "text_hash", "domain", "status", "reason", "n_bytes"])
        table = table.append_column("quality", quality).append_column("n_words", scores["n_tokens"])
        pq.write_table(table.replace_schema_metadata(pq.read_schema(path).metadata), run / "classes" / path.name)
    told = {"column": "quality", "label": "probability of good", "unit": "", "higher_is_better": True}
    card = json.loads((run / "scores/card.json").read_bytes()) | {"identity": {}, "score": [told]}
    (run / "classes/card.json").write_text(json.dumps(card))


def _scored(row: dict, rng: np.random.Generator) -> dict:
    base = {name: row[name] for name in ("id", "text_hash", "domain", "status", "reason")}
    if row["status"] != "scored":
        return {**dict.fromkeys(SCORES.names), **base}
    loss = np.float32(rng.uniform(1, 3))
    influence = np.float32(row["n_tokens"] / 40 + rng.uniform(0, 0.2))
    sizes = {"n_tokens": row["n_tokens"], "n_tokens_total": row["n_tokens"], "n_bytes": row["n_tokens"]}
    return {
        **base, **sizes, "zlib_ratio": 1.0, "repeated_lines": 0.0, "truncated": False, "loss": loss,
        "loss_masked": loss * (1 + influence), "influence": influence,
    }  # fmt: skip
