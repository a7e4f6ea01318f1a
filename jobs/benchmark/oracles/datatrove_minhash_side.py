"""Near copies by datatrove's MinHash itself: python datatrove_minhash_side.py ASKED.json ANSWERED.json.

Runs in an environment that has datatrove and spaCy, and needs nothing of this project. ASKED holds data (a folder of
JSON lines), scratch (a folder), ngram, bands, rows. ANSWERED gets the versions, the seconds of each step by the clock
and of the CPU, and the pairs of rows that share a bucket, as (file, row, file, row), files in the order of their names.
"""

import json
import struct
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from datatrove.data import Document  # type: ignore[import-not-found]
from datatrove.pipeline.dedup.minhash import (  # type: ignore[import-not-found]
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupSignature,
)
from datatrove.utils.hashing import HashConfig  # type: ignore[import-not-found]


def documents(path: Path) -> Iterator[Document]:
    """The rows of a file."""
    with path.open() as lines:
        for line in lines:
            row = json.loads(line)
            yield Document(text=row["text"], id=row["id"])


def main(asked: Path, answered: Path) -> None:
    """Answer what is asked."""
    given = json.loads(asked.read_text())
    config = MinhashConfig(
        n_grams=given["ngram"], num_buckets=given["bands"], hashes_per_bucket=given["rows"],
        hash_config=HashConfig(precision=64),
    )  # fmt: skip
    scratch, files, seconds = given["scratch"], sorted(Path(given["data"]).glob("*.jsonl")), {}
    signature = MinhashDedupSignature(f"{scratch}/signatures", config=config)

    def sign() -> None:
        """Signatures of each file in turn."""
        for rank, path in enumerate(files):
            signature.run(documents(path), rank, len(files))

    def bucket() -> None:
        """Each bucket in turn."""
        step = MinhashDedupBuckets(f"{scratch}/signatures", f"{scratch}/buckets", config=config)
        for rank in range(given["bands"]):
            step.run(None, rank, given["bands"])

    def cluster() -> None:
        """What is to be removed."""
        MinhashDedupCluster(f"{scratch}/buckets", f"{scratch}/remove", config=config).run(None, 0, 1)

    for name, step in (("signatures", sign), ("buckets", bucket), ("clusters", cluster)):
        start, cpu = time.perf_counter(), time.process_time()
        step()
        seconds[name] = (time.perf_counter() - start, time.process_time() - cpu)
    pairs = set()
    for path in Path(f"{scratch}/buckets").glob("*.dups"):
        pairs |= set(struct.iter_unpack("<4I", path.read_bytes()))
    versions = {name: version(name) for name in ("datatrove", "spacy", "numpy")}
    answered.write_text(json.dumps({"versions": versions, "seconds": seconds, "pairs": sorted(pairs)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
