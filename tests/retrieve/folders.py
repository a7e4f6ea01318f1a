"""Retrieval test sets as files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]
ANIMALS = ("cats", "dogs", "owls", "bees", "ants", "bats")


def write_set(
    folder: Path, *, corpus: Rows | None = None, queries: Rows | None = None,
    qrels: Sequence[tuple[str, str, object]] | None = None, split: str = "test",
) -> str:  # fmt: skip
    """Who likes which animal: a document a person, a query an animal."""
    corpus = corpus or [
        {"_id": f"d{at}", "title": f"Person {at}", "text": f"likes {one}."} for at, one in enumerate(ANIMALS)
    ]
    queries = queries or [{"_id": f"q{at}", "text": f"Who likes {one}?"} for at, one in enumerate(ANIMALS)]
    qrels = qrels or [(f"q{at}", f"d{at}", 1) for at in range(len(ANIMALS))]
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in qrels)]
    (folder / f"qrels/{split}.tsv").write_text("\n".join(lines) + "\n")
    return str(folder)
