"""Vectors by sentence-transformers itself: python sentence_side.py ASKED.json ANSWERED.json.

ASKED holds model (a folder), texts, threads, batch_sizes, prompt (a string or null). ANSWERED gets the versions, by
batch size the seconds of `encode` by the clock and of the CPU (tokenising and model, no loading), and the vectors of
the last one. Imports nothing of raypipe.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main(asked: Path, answered: Path) -> None:
    """Answer what is asked."""
    import torch
    from sentence_transformers import SentenceTransformer

    given = json.loads(asked.read_text())
    torch.set_num_threads(given["threads"])
    model = SentenceTransformer(given["model"], device="cpu", model_kwargs={"dtype": torch.float32})
    seconds: dict[str, tuple[float, float]] = {}
    vectors: Any = None
    model.encode(given["texts"][:8], prompt=given["prompt"], show_progress_bar=False)
    for size in given["batch_sizes"]:
        start, cpu = time.perf_counter(), time.process_time()
        vectors = model.encode(given["texts"], batch_size=size, prompt=given["prompt"], show_progress_bar=False)
        seconds[str(size)] = (time.perf_counter() - start, time.process_time() - cpu)
    names = ("sentence-transformers", "torch", "transformers", "tokenizers")
    found = {"versions": {name: version(name) for name in names}, "seconds": seconds, "vectors": vectors.tolist()}
    answered.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
