"""Which formats there are, told by the suffix of a file's name."""

from typing import Literal

from raypipe.corpus.decompress import COMPRESSIONS

Format = Literal["parquet", "json", "csv", "tsv", "arrow", "warc"]
SUFFIXES: dict[Format, tuple[str, ...]] = {
    "parquet": (".parquet", ".parq", ".pq"),
    "json": (".jsonl", ".json", ".ndjson"),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "arrow": (".arrow", ".arrows", ".feather"),
    "warc": (".warc", ".wet"),
}
BESIDE: tuple[Format, ...] = ("csv", "tsv", "arrow", "warc")
"""Formats that are left out of a folder or a glob that has files of the others too: they mostly hold something else."""
WHOLE: tuple[Format, ...] = ("parquet", "arrow")
"""Formats that compress what they hold themselves: a compressed file of theirs is none."""
KNOWN = (
    f"known are {', '.join(end for ends in SUFFIXES.values() for end in ends)}, but for those of "
    f"{' and '.join(WHOLE)} also with {', '.join(COMPRESSIONS)}"
)


def format_of(path: str) -> Format | None:
    """The format of a file of this name, compressed or not; None if it is none that can be read."""
    name = uncompressed(path)
    return next((one for one, ends in SUFFIXES.items() if name.endswith(ends)), None)


def uncompressed(path: str) -> str:
    """The name in lower case, without the suffix of a compression."""
    lower = path.lower()
    return next((lower.removesuffix(end) for end in COMPRESSIONS if lower.endswith(end)), lower)
