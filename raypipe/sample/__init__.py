"""The embedded sample: 198 real documents of eight domains, and the retrieval heads of the embedded model."""

from pathlib import Path

SAMPLE = "sample"
"""What --corpus and --model say for it."""

_HERE = Path(__file__).parent


def corpus_folder() -> Path:
    """The folder of the sample corpus: one JSON-lines file a domain."""
    return _HERE / "corpus"


def heads_file() -> Path:
    """The retrieval heads of SmolLM2-135M-Instruct, with the record of how they were found."""
    return _HERE / "heads" / "smollm2-135m-instruct.json"
