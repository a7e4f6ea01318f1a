"""Ask what isn't asked yet, and put the figures together; a file of items a benchmark is the only state."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.storage.folder import Folder

from .model import EvaluatedModel
from .read import Asked
from .suite import Json, Suite, figures_of

DOCUMENTS = "documents.parquet"


def measure(asked: Asked, model: EvaluatedModel, folder: Folder) -> Json:
    """The figures; benchmarks whose items are there are not asked again."""
    found: Json = {"model": model.settings.model, "benchmarks": {}, "corpus": None}
    for suite in asked.suites:
        found["benchmarks"][suite.name] = figures_of(suite, _items(suite, model, folder))
    if (documents := asked.documents) is not None:
        if not folder.exists(DOCUMENTS):
            print(f"corpus: {len(documents):,} documents", file=sys.stderr)
            _write(folder, DOCUMENTS, documents.ask(model))
        found["corpus"] = documents.figures(_read(folder, DOCUMENTS))
    return found


def _items(suite: Suite, model: EvaluatedModel, folder: Folder) -> pa.Table:
    file = f"items-{suite.name}.parquet"
    if not folder.exists(file):
        print(f"{suite.name}: {suite.kind}, {len(suite) or 'all'} questions", file=sys.stderr)
        _write(folder, file, suite.ask(model))
    return _read(folder, file)


def _write(folder: Folder, file: str, items: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(items, sink, compression="zstd")
    folder.write(file, sink.getvalue())


def _read(folder: Folder, file: str) -> pa.Table:
    with folder.open(file) as source:
        return pq.read_table(source)
