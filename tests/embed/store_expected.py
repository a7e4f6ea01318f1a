"""What sentence-transformers gives for the tiny encoders and for `mini`: python -m tests.embed.store_expected PYTHON.

PYTHON is one of an environment with sentence-transformers. Writes stored/sentence_transformers.json.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from jobs.benchmark.embedding import sentence_transformers_vectors
from raypipe.models.causal import open_model
from tests.embed.tiny_encoders import TEXTS, TINY, save

STORED = Path(__file__).parent / "stored/sentence_transformers.json"


def main(python: str, mini: str = "mini") -> None:
    found: dict[str, Any] = {"texts": TEXTS, "vectors": {}}
    for name, tiny in TINY.items():
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder), name)
            for kind in ("", *tiny.prompts):
                said = sentence_transformers_vectors(python, folder, TEXTS, prompt=tiny.prompts.get(kind))
                found["vectors"][f"{name} {kind}".strip()] = rounded(said["vectors"])
    said = sentence_transformers_vectors(python, str(open_model(mini).folder), TEXTS[:4])
    found["vectors"]["mini"] = rounded(said["vectors"])
    found["versions"] = said["versions"]
    STORED.write_text(json.dumps(found))


def rounded(vectors: list[list[float]]) -> list[list[float]]:
    return [[round(number, 6) for number in vector] for vector in vectors]


if __name__ == "__main__":
    main(*sys.argv[1:])
