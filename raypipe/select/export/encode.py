"""The rows of a mix as the content of a file, in each format that it can be written in: the same rows, the same bytes.

WebDataset: a tar of samples, in which the files of one key stand together: KEY.txt, the text, and KEY.json, the other
columns. A key is the file's number and the row's, so that no two samples of a mix share one. Owner, mode and time of
every member are fixed.
Source: github.com/webdataset/webdataset, "The WebDataset Format"; members are those of POSIX.1-1988 (ustar).
"""

import io
import json
import tarfile
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Format = Literal["none", "parquet", "jsonl.zst", "webdataset", "huggingface"]
FORMATS: tuple[Format, ...] = get_args(Format)
_FOLDER = {"huggingface": "data/"}
_ENDING = {"huggingface": "parquet", "webdataset": "tar"}


def file_name(number: int, place: int, corpus_format: Format) -> str:
    """The name of a file of the mix: of a group by its number, and of the files of a group by its place."""
    ending = _ENDING.get(corpus_format, corpus_format)
    return f"{_FOLDER.get(corpus_format, '')}part-{number:06}-{place:04}.{ending}"


def is_part(name: str) -> bool:
    """Whether a file of this name holds rows of a mix."""
    return name.rpartition("/")[2].startswith("part-")


def encode(table: pa.Table, corpus_format: Format, *, name: str) -> bytes | pa.Buffer:
    """The rows as the content of the file of that name."""
    if corpus_format == "webdataset":
        return _tar(table, prefix=name.removesuffix(".tar").removeprefix("part-"))
    return _json_lines(table) if corpus_format == "jsonl.zst" else _parquet(table)


def _parquet(table: pa.Table) -> pa.Buffer:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", row_group_size=10_000)
    return buffer.getvalue()


def _json_lines(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with zstandard.ZstdCompressor(level=3).stream_writer(sink, closefd=False) as stream:
        for batch in table.to_batches(max_chunksize=1000):
            lines = [json.dumps(row, ensure_ascii=False) for row in batch.to_pylist()]
            stream.write("".join(f"{line}\n" for line in lines).encode())
    return sink.getvalue()


def _tar(table: pa.Table, *, prefix: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        number = 0
        for batch in table.to_batches(max_chunksize=1000):
            for row in batch.to_pylist():
                text, key = row.pop("text"), f"{prefix}-{number:08}"
                _add(tar, f"{key}.txt", text.encode())
                _add(tar, f"{key}.json", json.dumps(row, ensure_ascii=False).encode())
                number += 1
    return sink.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # mode 0644, owner 0, time 0
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
