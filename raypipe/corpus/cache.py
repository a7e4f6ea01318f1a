"""What planning found out about each file, kept so that an unchanged one isn't opened again."""

from dataclasses import dataclass, field

import pyarrow as pa

from raypipe.corpus.lines import batched
from raypipe.storage.folder import Folder

Cut = tuple[int, int, int | None]
"""Start, stop and rows, where they are known."""

_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("fingerprint", pa.string()),
        ("starts", pa.list_(pa.int64())),
        ("stops", pa.list_(pa.int64())),
        ("rows", pa.list_(pa.int64())),
    ]
)
_SETTINGS = b"raypipe.settings"
_AT_ONCE = 10_000
"""Files put into one batch: their lists are many times as large as the batch."""


@dataclass(frozen=True)
class Known:
    """An earlier plan: for each path the fingerprint and the cuts of the file."""

    settings: str = ""
    """What the cuts follow from beside the files; with other settings nothing is known."""
    files: dict[str, tuple[str, tuple[Cut, ...]]] = field(default_factory=dict)


def save(known: Known, folder: Folder, name: str) -> None:
    """Put it into a folder as an Arrow file."""
    schema = _SCHEMA.with_metadata({_SETTINGS: known.settings.encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for files in batched(known.files.items(), _AT_ONCE):
            writer.write_batch(_batch(files, schema))
    folder.write(name, sink.getvalue())


def _batch(files: list[tuple[str, tuple[str, tuple[Cut, ...]]]], schema: pa.Schema) -> pa.RecordBatch:
    cuts = [cuts for _, (_, cuts) in files]
    columns = [
        [path for path, _ in files],
        [fingerprint for _, (fingerprint, _) in files],
        *([[cut[i] for cut in of_file] for of_file in cuts] for i in range(3)),
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def load(folder: Folder, name: str) -> Known:
    """What `save` put there; nothing is known if the file isn't there or isn't whole."""
    try:
        table = pa.ipc.open_file(pa.py_buffer(folder.read(name))).read_all()
    except (FileNotFoundError, pa.ArrowInvalid):
        return Known()
    if not table.schema.equals(_SCHEMA):  # of another version
        return Known()
    paths, fingerprints, *cuts = (column.to_pylist() for column in table.columns)
    files = {
        path: (fingerprint, tuple(zip(*of_file, strict=True)))
        for path, fingerprint, *of_file in zip(paths, fingerprints, *cuts, strict=True)
    }
    return Known((table.schema.metadata or {}).get(_SETTINGS, b"").decode(), files)
