"""The bytes of a file as it was before it was compressed, in bounded pieces, up to the place where it breaks."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol

import pyarrow as pa
import zstandard

MAX_OUT = 2**20
_BLOCK = 2**22
_GZIP_PIECE = 2**16
_ZSTD_PIECE = 2**7  # one call gives back all that its input holds: 4 MB where a file is one letter for long
_MAX_XZ_MEMORY = 2**30
_MAX_WINDOW = 2**31  # what `zstd --long=31` writes, as some large public corpora do


class BrokenStream(Exception):
    """A compressed stream ends early or is corrupt; the reader makes a row of it."""


class _Decoder(Protocol):
    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Compressed bytes as they come -> what they unpack to."""
        ...

    def at_end(self) -> bool:
        """Whether the stream may end here."""
        ...


class _Gzip:
    """Gzip members one after another; zeros may follow the last, as tapes pad with them."""

    def __init__(self) -> None:
        self._member, self._is_fresh, self._is_first = zlib.decompressobj(wbits=31), True, True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Compressed bytes as they come -> what they unpack to."""
        while piece:
            if self._is_fresh and not self._is_first and not (piece := piece.lstrip(b"\0")):
                return
            self._is_fresh = False
            yield self._member.decompress(piece, MAX_OUT)
            piece = self._member.unconsumed_tail
            if self._member.eof:
                piece = self._member.unused_data
                self._member, self._is_fresh, self._is_first = zlib.decompressobj(wbits=31), True, False

    def at_end(self) -> bool:
        """Whether the stream may end here."""
        return self._is_fresh


class _Zstd:
    """Zstd frames one after another, skippable ones too."""

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._frame, self._is_fresh = self._context.decompressobj(), True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Compressed bytes as they come -> what they unpack to."""
        while piece:
            self._is_fresh = False
            yield self._frame.decompress(piece)
            piece = b""
            if self._frame.eof:
                piece = self._frame.unused_data
                self._frame, self._is_fresh = self._context.decompressobj(), True

    def at_end(self) -> bool:
        """Whether the stream may end here."""
        return self._is_fresh


class _Whole:
    """Streams of bzip2 or xz one after another; zeros may follow the last, as xz pads with them."""

    def __init__(self, make: Callable[[], "bz2.BZ2Decompressor | lzma.LZMADecompressor"]) -> None:
        self._make, self._stream, self._is_fresh, self._is_first = make, make(), True, True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Compressed bytes as they come -> what they unpack to."""
        while True:
            if self._is_fresh and not self._is_first:
                piece = piece.lstrip(b"\0")
            if not piece and self._stream.needs_input:
                return
            self._is_fresh = False
            try:
                out = self._stream.decompress(piece, MAX_OUT)
            except (OSError, lzma.LZMAError) as error:
                raise BrokenStream(str(error)) from error
            yield out
            piece = b""
            if self._stream.eof:
                piece = self._stream.unused_data
                self._stream, self._is_fresh, self._is_first = self._make(), True, False

    def at_end(self) -> bool:
        """Whether the stream may end here."""
        return self._is_fresh


def _lzma() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)


_FORMATS: dict[str, tuple[Callable[[], _Decoder], int]] = {
    ".gz": (_Gzip, _GZIP_PIECE),
    ".gzip": (_Gzip, _GZIP_PIECE),
    ".zst": (_Zstd, _ZSTD_PIECE),
    ".zstd": (_Zstd, _ZSTD_PIECE),
    ".bz2": (lambda: _Whole(bz2.BZ2Decompressor), _GZIP_PIECE),
    ".xz": (lambda: _Whole(_lzma), _GZIP_PIECE),
}
COMPRESSIONS = tuple(_FORMATS)
"""Suffixes of streams that can be read."""

_BROKEN = (zlib.error, zstandard.ZstdError, BrokenStream)


def decompressed(file: pa.NativeFile, *, path: str) -> Iterator[bytes]:
    """Pieces of the stream; the suffix of the path says how it is compressed, if it is.

    Raises
    ------
    BrokenStream
        Where it ends early or is corrupt, after all that could be read before.
    """
    suffix = next((end for end in COMPRESSIONS if path.lower().endswith(end)), None)
    if suffix is None:
        yield from _pieces(file, _BLOCK)
        return
    make, size = _FORMATS[suffix]
    decoder = make()
    position = n_out = 0
    for piece in _pieces(file, size):
        try:
            for out in decoder.feed(piece):
                n_out += len(out)
                yield out
        except _BROKEN as error:
            file.seek(0)
            single_bytes = (piece[i : i + 1] for i in range(len(piece)))
            yield from _withheld(make(), chain(_pieces(file, size, stop=position), single_bytes), n_out)
            raise BrokenStream(str(error)) from error
        position += len(piece)
    if not decoder.at_end():
        raise BrokenStream("the stream ends early")


def _pieces(file: pa.NativeFile, size: int, *, stop: int | None = None) -> Iterator[bytes]:
    position = 0
    while position != stop and (block := file.read(_BLOCK)):  # a read is a request where the file is remote
        block = block if stop is None else block[: stop - position]
        yield from (block[i : i + size] for i in range(0, len(block), size))
        position += len(block)


def _withheld(decoder: _Decoder, pieces: Iterable[bytes], n_out: int) -> Iterator[bytes]:
    """What a decoder kept back in the call that failed: the stream once more, its last piece byte by byte."""
    try:
        for out in (out for piece in pieces for out in decoder.feed(piece)):
            yield out[n_out:]
            n_out = max(0, n_out - len(out))
    except _BROKEN:
        return
