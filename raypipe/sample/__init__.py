"""The embedded sample: documents of eight domains, descriptions of packages with a class, heads of the model."""

from pathlib import Path

SAMPLE = "sample"
"""What --corpus and --model say for it."""

_HERE = Path(__file__).parent


def corpus_folder() -> Path:
    """The folder of the sample corpus: one JSON-lines file a domain."""
    return _HERE / "corpus"


def debtags_file() -> Path:
    """986 descriptions of Debian packages with a class each, what its debtags say it works with: for labelling."""
    return _HERE / "debtags" / "packages.parquet"


def heads_file() -> Path:
    """The retrieval heads of SmolLM2-135M-Instruct, with the record of how they were found."""
    return _HERE / "heads" / "smollm2-135m-instruct.json"
