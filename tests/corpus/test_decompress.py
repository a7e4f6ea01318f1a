import bz2
import gzip
import io
import lzma
from itertools import count

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.corpus.decompress import BrokenStream, decompressed

TEXT = b"".join(b"line %d\n" % i for i in range(20_000))
FORMATS = {
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
CHECK = {".gz": -6, ".zst": -1, ".bz2": -3, ".xz": -1}
"""A byte of each that only its check looks at."""


def read(content: bytes, suffix: str) -> tuple[bytes, str | None]:
    """All that comes before a break, and what the break says."""
    out = []
    try:
        for piece in decompressed(pa.PythonFile(io.BytesIO(content), mode="r"), path=f"x{suffix}"):
            out.append(piece)
    except BrokenStream as error:
        return b"".join(out), str(error)
    return b"".join(out), None


@pytest.mark.parametrize("suffix", FORMATS)
@given(st.lists(st.binary(max_size=50), max_size=6))
def test_members_and_frames_are_read_one_after_another(suffix: str, parts: list[bytes]):
    content = b"".join(FORMATS[suffix](part) for part in parts)
    assert read(content, suffix) == (b"".join(parts), None)


@pytest.mark.parametrize("suffix", FORMATS)
@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_a_cut_stream_gives_what_was_before_the_cut(suffix: str, where: int):
    whole = FORMATS[suffix](TEXT)
    content = whole[: where % len(whole)]
    out, message = read(content, suffix)
    assert TEXT.startswith(out)
    assert (message is None) == (not content)


@pytest.mark.parametrize("suffix", FORMATS)
@given(st.integers(0, 10**6))
@settings(max_examples=12)
def test_a_flipped_byte_is_noticed_and_costs_nothing_before_it(suffix: str, where: int):
    good = FORMATS[suffix](TEXT)
    bad = bytearray(good)
    bad[where % len(good)] ^= 0xFF
    out, message = read(good + bytes(bad), suffix)
    assert out.startswith(TEXT)
    if out != 2 * TEXT:  # some bytes of a header mean nothing
        assert message


@pytest.mark.parametrize("suffix", FORMATS)
def test_all_that_a_wrong_check_sum_follows_is_given(suffix: str):
    bad = bytearray(FORMATS[suffix](TEXT))
    bad[CHECK[suffix]] ^= 1
    out, message = read(bytes(bad), suffix)
    assert out == TEXT
    assert message


@pytest.mark.parametrize("suffix", FORMATS)
def test_pieces_stay_small_however_much_the_file_expands(suffix: str):
    content = FORMATS[suffix](bytes(50_000_000))
    assert len(content) < 60_000
    sizes = [len(piece) for piece in decompressed(pa.PythonFile(io.BytesIO(content), mode="r"), path=f"x{suffix}")]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 5_000_000


def test_a_long_window_is_read():
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    content = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    raw = content.compress(TEXT) + content.flush()  # without its size in the header the window is not shrunk
    assert read(raw, ".zst") == (TEXT, None)


def test_few_requests_are_made_of_the_storage():
    class Counted(io.BytesIO):
        reads = count()

        def read(self, n: int | None = -1) -> bytes:
            next(self.reads)
            return super().read(n)

    raw = Counted(FORMATS[".zst"](TEXT))
    assert sum(map(len, decompressed(pa.PythonFile(raw, mode="r"), path="x.zst"))) == len(TEXT)
    assert next(raw.reads) <= 3


@pytest.mark.parametrize(("suffix", "like"), [(".gzip", ".gz"), (".zstd", ".zst"), (".ZST", ".zst")])
def test_a_format_has_several_suffixes(suffix: str, like: str):
    assert read(FORMATS[like](TEXT), suffix) == (TEXT, None)


def test_what_has_no_such_suffix_is_as_it_is():
    assert read(TEXT, ".json") == (TEXT, None)


def test_streams_of_xz_may_be_padded_and_rubbish_behind_one_is_noticed():
    assert read(FORMATS[".xz"](TEXT) + bytes(8) + FORMATS[".xz"](TEXT), ".xz") == (TEXT + TEXT, None)
    for suffix in (".xz", ".bz2"):
        out, message = read(FORMATS[suffix](TEXT) + b"rubbish", suffix)
        assert out == TEXT
        assert message
