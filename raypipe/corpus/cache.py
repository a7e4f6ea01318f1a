"""What planning found out about each file, kept so that an unchanged one isn't opened again."""

from dataclasses import dataclass, field

import pyarrow as pa

from raypipe.storage import Folder

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


@dataclass(frozen=True)
class Known:
    """An earlier plan: for each path the fingerprint and the cuts of the file."""

    settings: str = ""
    """What the cuts follow from beside the files; with other settings nothing is known."""
    files: dict[str, tuple[str, tuple[Cut, ...]]] = field(default_factory=dict)


def save(known: Known, folder: Folder, name: str) -> None:
    """Put it into a folder as an Arrow file."""
    cuts = [cuts for _, cuts in known.files.values()]
    columns = [
        list(known.files),
        [fingerprint for fingerprint, _ in known.files.values()],
        *([[cut[i] for cut in of_file] for of_file in cuts] for i in range(3)),
    ]
    schema = _SCHEMA.with_metadata({_SETTINGS: known.settings.encode()})
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    folder.write(name, sink.getvalue())


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
