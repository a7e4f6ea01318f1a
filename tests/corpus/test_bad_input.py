"""Whatever lies in a corpus becomes rows with reasons or a clear error, and its neighbours are read."""

import bz2
import gzip
import json
import lzma
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from raypipe.corpus import Corpus
from tests.corpus.reading import read_all

MAX_LINE = 100_000
DEEP = "[" * 90_000
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Case:
    name: str
    file: str
    content: bytes | Callable[[Path], object]
    texts: list[str | None] = field(default_factory=list)
    """Of the rows of the file, in order."""
    reasons: list[str | None] | None = None
    """None: no row has one."""
    ids: list[str] | None = None
    domains: list[str] | None = None
    options: dict = field(default_factory=dict)
    """Of the corpus."""


def line(text: object, **more: object) -> bytes:
    return json.dumps({"text": text, **more}).encode() + b"\n"


def skipped(name: str, content: bytes, reason: str, *, file: str = "x.jsonl", **options: object) -> Case:
    """A line between two good ones that is skipped."""
    return Case(name, file, line("a") + content + line("b"), ["a", None, "b"], [None, reason, None], options=options)


def kept(name: str, text: str, *, file: str = "x.jsonl") -> Case:
    """A text between two others that is kept as it is."""
    return Case(name, file, line("a") + line(text) + line("b"), ["a", text, "b"])


def parquet(table: pa.Table, **options: object) -> Callable[[Path], object]:
    return lambda path: pq.write_table(table, path, **options)


def uuids(*numbers: int | None) -> pa.Array:
    values = [None if number is None else number.to_bytes(16, "big") for number in numbers]
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(values, pa.binary(16)))


def texts_table(*texts: object, kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"text": pa.array(texts, kind)})


def one_string_is_not_utf8(path: Path) -> None:
    raw = pa.array([b"a", b"\xff\xfe", b"b"], pa.binary())
    pq.write_table(pa.table({"text": raw.view(pa.string())}), path)


def zst(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def flipped(content: bytes, position: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 0xFF
    return bytes(changed)


def without(content: bytes, n: int) -> bytes:
    return content[:-n]


AB = line("a") + line("b")
BROKEN_AB = [None, None, f"stream broken at byte {len(AB)}"]
SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc"
FIVE = line("a") + line("b") + line("c") + line("d") + line("e")

NO_END = "array broken at byte 24"
ARRAY_REASONS = [None, *["unparsable"] * 4, "null text"]

LINES = [
    Case("good lines", "x.jsonl", AB, ["a", "b"]),
    Case("an empty file", "x.jsonl", b""),
    Case("an array", "x.json", b'[{"text":"a"},\n{"text":"b"}]', ["a", "b"], ids=["x.json:0", "x.json:1"]),
    Case("an empty array", "x.json", b" [ ] "),
    Case("an array called lines", "x.jsonl", BOM + b'[\n  {"text": "a"},\n  {"text": "b"}\n]\n', ["a", "b"]),
    Case("an array of much else", "x.json", b'[{"text":"a"},1,"x",null,[],{}]', ["a", *[None] * 5], ARRAY_REASONS),
    Case(
        "an array without an end", "x.json", b'[{"text":"a"},{"text":"b', ["a", None], [None, "array broken at byte 24"]
    ),
    Case("an array and more", "x.json", b'[{"text":"a"}] and more', ["a", None], [None, "unparsable"]),
    Case("lines of arrays", "x.jsonl", b'[{"text":"a"}]\n[{"text":"b"}]\n', [None, None], ["unparsable"] * 2),
    Case(
        "a long element",
        "x.json",
        b"[" + line("x" * 3_000_000) + b"," + line("b") + b"]",
        [None, "b"],
        [f"line over {MAX_LINE} bytes", None],
    ),
    Case("only blank lines", "x.jsonl", b"\n \n\t\r\n\n"),
    Case("no newline at the end", "x.jsonl", AB.rstrip(b"\n"), ["a", "b"]),
    Case("newlines of Windows", "x.jsonl", AB.replace(b"\n", b"\r\n"), ["a", "b"]),
    Case("mixed newlines", "x.jsonl", b'{"text":"a"}\r\n\r\n{"text":"b"}\n\n\n{"text":"c"}\r', ["a", "b", "c"]),
    Case("newlines of old Macs only", "x.jsonl", b'{"text":"a"}\r{"text":"b"}\r', [None], ["unparsable"]),
    skipped("a raw carriage return in a string", b'{"text":"x\ry"}\n', "unparsable"),
    kept("an escaped carriage return", "x\ry"),
    kept("line separators that only splitlines() knows", "x\u2028y\u0085z\x0bq\x0c\x1c"),
    Case("a byte order mark", "x.jsonl", BOM + AB, ["a", "b"]),
    Case("nothing but a byte order mark", "x.jsonl", BOM),
    skipped("a byte order mark in the middle", BOM + line("x"), "unparsable"),
    skipped("a raw NUL byte", b'{"text":"x\0y"}\n', "unparsable"),
    skipped("a line of NUL bytes", bytes(50) + b"\n", "unparsable"),
    kept("an escaped NUL", "x\0y"),
    skipped("a lone surrogate", b'{"text":"x\\ud800y"}\n', "not UTF-8"),
    Case("a pair of surrogates", "x.jsonl", b'{"text":"\\ud83d\\ude00"}\n', ["\N{GRINNING FACE}"]),
    skipped("a surrogate as raw bytes", b'{"text":"\xed\xa0\x80"}\n', "not UTF-8"),
    skipped("Latin-1", b'{"text":"caf\xe9"}\n', "not UTF-8"),
    skipped("an overlong encoding", b'{"text":"\xc0\xaf"}\n', "not UTF-8"),
    skipped("random bytes", bytes(set(range(128, 256)) - {10}) + b"\n", "not UTF-8"),
    skipped("a list", b'["text"]\n', "unparsable"),
    skipped("a number", b"17\n", "unparsable"),
    skipped("a string", b'"text"\n', "unparsable"),
    skipped("a null", b"null\n", "unparsable"),
    skipped("half an object", b'{"text":"x\n', "unparsable"),
    skipped("two objects in a line", b'{"text":"x"}{"text":"y"}\n', "unparsable"),
    skipped("a comma too many", b'{"text":"x",}\n', "unparsable"),
    skipped("a comment", b"// text\n", "unparsable"),
    skipped("single quotes", b"{'text':'x'}\n", "unparsable"),
    skipped("deep nesting", DEEP.encode() + b"\n", "unparsable"),
    skipped("deep nesting in a key that nobody reads", b'{"text":"x","y":' + DEEP.encode() + b"}\n", "unparsable"),
    skipped("a number of 5000 digits", b'{"text":"x","y":' + b"1" * 5000 + b"}\n", "unparsable"),
    Case("pretty-printed JSON", "x.json", b'{\n "text": "x"\n}\n', [None] * 3, ["unparsable"] * 3),
    Case("a file of UTF-16", "x.jsonl", '{"text":"a"}'.encode("utf-16"), [None], ["not UTF-8"]),
    skipped("null text", line(None), "null text"),
    skipped("no text key", b'{"txt":"x"}\n', "null text"),
    skipped("an empty object", b"{}\n", "null text"),
    skipped("a number for text", line(3.5), "not a string"),
    skipped("a list for text", line(["x"]), "not a string"),
    skipped("an object for text", line({"x": "y"}), "not a string"),
    skipped("a boolean for text", line(True), "not a string"),
    skipped("empty text", line(""), "empty"),
    skipped("blank text", line(" \t\r\n"), "empty"),
    skipped("text of Unicode's blanks", line("\u00a0\u3000\u2003"), "empty"),
    Case("NaN and Infinity beside the text", "x.jsonl", b'{"text":"a","y":NaN,"z":-Infinity}\n', ["a"]),
    Case("a key twice", "x.jsonl", b'{"text":"a","text":"b"}\n', ["b"]),
    kept("one letter", "x"),
    kept("a control string of a tokenizer", "<|endoftext|></s><|im_start|>system"),
    kept("markup", "</script><script>alert(1)</script><!--"),
    kept("escape sequences and right-to-left marks", "\x1b[31m\x07\u202e\u2066x"),
    kept("a zero-width text", "\u200b"),
    Case("a line as long as allowed", "x.jsonl", line("x" * (MAX_LINE - 12)), ["x" * (MAX_LINE - 12)]),
    skipped("a line one byte too long", line("x" * (MAX_LINE - 11)), f"line over {MAX_LINE} bytes"),
    skipped("a line of 3 MB", line("x" * 3_000_000), f"line over {MAX_LINE} bytes"),
    Case(
        "a last line too long",
        "x.jsonl",
        AB + b"x" * 3_000_000,
        ["a", "b", None],
        [None, None, f"line over {MAX_LINE} bytes"],
    ),
    Case(
        "10 MB of one letter", "x.jsonl", line("x" * 10_000_000), ["x" * 10_000_000], options={"max_line_bytes": 2**24}
    ),
]

COLUMNS = [
    Case(
        "duplicate ids",
        "x.jsonl",
        line("a", id="1") + line("b", id="1"),
        ["a", "b"],
        ids=["1", "1"],
        options={"id_column": "id"},
    ),
    Case(
        "ids with slashes and dots",
        "x.jsonl",
        line("a", id="../../x") + line("b", id="/etc/y"),
        ["a", "b"],
        ids=["../../x", "/etc/y"],
        options={"id_column": "id"},
    ),
    Case(
        "ids of all types",
        "x.jsonl",
        line("a", id=1) + line("b", id=1.5) + line("c", id=None) + line("d", id=[1]),
        list("abcd"),
        ids=["1", "1.5", "x.jsonl:@48", "[1]"],
        options={"id_column": "id"},
    ),
    Case(
        "an id with a lone surrogate",
        "x.jsonl",
        b'{"text":"a","id":"\\udfff"}\n',
        ["a"],
        ids=["\\udfff"],
        options={"id_column": "id"},
    ),
    Case(
        "domains of all types",
        "x.jsonl",
        line("a", m={"d": 1}) + line("b", m="web") + line("c", m={"d": None}) + line("d", m={"d": True}),
        list("abcd"),
        domains=["1", "unknown", "unknown", "True"],
        options={"domain_column": "m.d"},
    ),
    Case(
        "a domain with a lone surrogate",
        "x.jsonl",
        b'{"text":"a","d":"\\ud800x"}\n',
        ["a"],
        domains=["\\ud800x"],
        options={"domain_column": "d"},
    ),
    Case(
        "a key with a dot in it",
        "x.jsonl",
        line("a", **{"m.d": "web"}),
        ["a"],
        domains=["web"],
        options={"domain_column": "m.d"},
    ),
    Case(
        "a nested text",
        "x.jsonl",
        b'{"m":{"text":"a"}}\n{"m":3}\n',
        ["a", None],
        [None, "null text"],
        options={"text_column": "m.text"},
    ),
    Case(
        "ids in Parquet",
        "x.parquet",
        parquet(pa.table({"text": ["a", "b"], "id": [7, None]})),
        ["a", "b"],
        ids=["7", "x.parquet:1"],
        options={"id_column": "id"},
    ),
    Case(
        "UUIDs as ids",
        "x.parquet",
        parquet(pa.table({"text": ["a", "b"], "id": uuids(1, None), "d": uuids(2, 2**127)})),
        ["a", "b"],
        ids=["00000000-0000-0000-0000-000000000001", "x.parquet:1"],
        domains=["00000000-0000-0000-0000-000000000002", "80000000-0000-0000-0000-000000000000"],
        options={
            "id_column": "id",
            "domain_column": "d",
            "where": f"d IS NULL OR d <> '{UUID(int=9)}'",
        },
    ),
    Case(
        "UUIDs as DuckDB exports them",
        "x.parquet",
        lambda path: duckdb.sql(
            f"COPY (SELECT 'a' AS text, UUID '47183823-2574-4bfd-b411-99ed177d3e43' AS id) TO '{path}' (FORMAT parquet)"
        ),
        ["a"],
        ids=["47183823-2574-4bfd-b411-99ed177d3e43"],
        options={"id_column": "id"},
    ),
    Case(
        "digests as ids",
        "x.parquet",
        parquet(pa.table({"text": ["a", "b"], "id": pa.array([b"\0\1\2\xff", b"name"], pa.binary(4))})),
        ["a", "b"],
        ids=["000102ff", "name"],
        options={"id_column": "id"},
    ),
    Case(
        "decimals as ids and booleans of 8 bits as domains",
        "x.parquet",
        parquet(
            pa.table(
                {
                    "text": ["a", "b"],
                    "id": [Decimal("1.50"), None],
                    "d": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1], pa.int8())),
                }
            )
        ),
        ["a", "b"],
        ids=["1.50", "x.parquet:1"],
        domains=["False", "True"],
        options={"id_column": "id", "domain_column": "d"},
    ),
    Case(
        "JSON as an id",
        "x.parquet",
        parquet(pa.table({"text": ["a"], "id": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"n":1}']))})),
        ["a"],
        ids=['{"n":1}'],
        options={"id_column": "id"},
    ),
    Case(
        "string views in a condition",
        "x.parquet",
        parquet(pa.table({"text": ["a", "b"], "d": pa.array(["x", "y"], pa.string_view())})),
        ["a", None],
        [None, "filtered"],
        options={"where": "d IS NULL OR d <> 'y'"},
    ),
    Case(
        "ids that are not UTF-8",
        "x.parquet",
        parquet(pa.table({"text": ["a"], "id": pa.array([b"\xff"], pa.binary()).view(pa.string())})),
        ["a"],
        ids=["\\xff"],
        options={"id_column": "id"},
    ),
    Case(
        "times in nanoseconds as ids",
        "x.parquet",
        parquet(pa.table({"text": ["a"], "id": pa.array([1], pa.timestamp("ns"))})),
        ["a"],
        ids=["1970-01-01 00:00:00.000000001"],
        options={"id_column": "id"},
    ),
    Case(
        "a nested domain in Parquet",
        "x.parquet",
        parquet(pa.table({"text": ["a", "b", "c"], "m": [{"d": "web"}, {"d": None}, None]})),
        ["a", "b", "c"],
        domains=["web", "unknown", "unknown"],
        options={"domain_column": "m.d"},
    ),
    Case(
        "domains in a dictionary",
        "x.parquet",
        parquet(pa.table({"text": ["a", "b"], "d": pa.array(["web", None]).dictionary_encode()})),
        ["a", "b"],
        domains=["web", "unknown"],
        options={"domain_column": "d"},
    ),
]

STREAMS = [
    Case("gzip", "x.jsonl.gz", gzip.compress(AB), ["a", "b"]),
    Case(
        "gzip of several members",
        "x.jsonl.gz",
        b"".join(gzip.compress(AB[i : i + 5]) for i in range(0, len(AB), 5)),
        ["a", "b"],
    ),
    Case("gzip without a newline at the end", "x.ndjson.gz", gzip.compress(AB.rstrip(b"\n")), ["a", "b"]),
    Case("gzip of nothing", "x.jsonl.gz", gzip.compress(b"")),
    Case("gzip of blank lines", "x.jsonl.gz", gzip.compress(b"\n\n \n")),
    Case("a gzip file of no bytes", "x.jsonl.gz", b""),
    Case("gzip padded with zeros", "x.jsonl.gz", gzip.compress(AB) + bytes(512), ["a", "b"]),
    Case("gzip with something behind it", "x.jsonl.gz", gzip.compress(AB) + b"rubbish", ["a", "b", None], BROKEN_AB),
    Case("gzip cut in its last check", "x.jsonl.gz", without(gzip.compress(AB), 3), ["a", "b", None], BROKEN_AB),
    Case("gzip with a wrong check", "x.jsonl.gz", flipped(gzip.compress(AB), -8), ["a", "b", None], BROKEN_AB),
    Case(
        "gzip whose second member is corrupt",
        "x.jsonl.gz",
        gzip.compress(AB) + flipped(gzip.compress(AB), 10),
        ["a", "b", None],
        BROKEN_AB,
    ),
    Case("gzip cut in its header", "x.jsonl.gz", gzip.compress(AB)[:7], [None], ["stream broken at byte 0"]),
    Case("lines that are not gzip", "x.jsonl.gz", AB, [None], ["stream broken at byte 0"]),
    Case(
        "a bad line in gzip",
        "x.jsonl.gz",
        gzip.compress(line("a") + b"rubbish\n" + line("b")),
        ["a", None, "b"],
        [None, "unparsable", None],
    ),
    Case(
        "a long line in gzip",
        "x.jsonl.gz",
        gzip.compress(line("a") + line("x" * 3_000_000) + line("b")),
        ["a", None, "b"],
        [None, f"line over {MAX_LINE} bytes", None],
    ),
    Case("an array in gzip", "x.json.gz", gzip.compress(b'[{"text":"a"},{"text":"b"}]'), ["a", "b"]),
    Case(
        "an array in gzip that breaks",
        "x.json.gz",
        without(gzip.compress(b'[{"text":"a"},{"text":"b"}]'), 3),
        ["a", "b", None],
        [None, None, "stream broken at byte 27"],
    ),
    Case("zstd", "x.jsonl.zst", zst(AB), ["a", "b"]),
    Case(
        "zstd of several frames", "x.jsonl.zst", b"".join(zst(AB[i : i + 5]) for i in range(0, len(AB), 5)), ["a", "b"]
    ),
    Case("zstd with skippable frames", "x.jsonl.zst", SKIPPABLE + zst(AB) + SKIPPABLE, ["a", "b"]),
    Case("a zstd file of no bytes", "x.json.zst", b""),
    Case("zstd cut in its last check", "x.jsonl.zst", without(zst(AB), 3), ["a", "b", None], BROKEN_AB),
    Case("zstd with a wrong check", "x.jsonl.zst", flipped(zst(AB), -1), ["a", "b", None], BROKEN_AB),
    Case("zstd with something behind it", "x.jsonl.zst", zst(AB) + b"rubbish", ["a", "b", None], BROKEN_AB),
    Case("lines that are not zstd", "x.jsonl.zst", AB, [None], ["stream broken at byte 0"]),
    Case(
        "a long line in zstd",
        "x.jsonl.zst",
        zst(line("a") + line("x" * 3_000_000) + line("b")),
        ["a", None, "b"],
        [None, f"line over {MAX_LINE} bytes", None],
    ),
]

PARQUET = [
    Case("no rows", "x.parquet", parquet(texts_table(kind=pa.string()))),
    Case("no rows and no columns", "x.parquet", parquet(pa.table({}))),
    Case(
        "null text in Parquet",
        "x.parquet",
        parquet(texts_table("a", None, "b")),
        ["a", None, "b"],
        [None, "null text", None],
    ),
    Case(
        "nothing but null text",
        "x.parquet",
        parquet(texts_table(None, None, kind=pa.null())),
        [None] * 2,
        ["null text"] * 2,
    ),
    Case(
        "empty and blank text",
        "x.parquet",
        parquet(texts_table("a", "", "\u3000\n")),
        ["a", None, None],
        [None, "empty", "empty"],
    ),
    Case(
        "text in a dictionary",
        "x.parquet",
        parquet(pa.table({"text": pa.array(["a", None, "a", "b"]).dictionary_encode()})),
        ["a", None, "a", "b"],
        [None, "null text", None, None],
    ),
    Case("large strings", "x.parquet", parquet(texts_table("a", "b", kind=pa.large_string())), ["a", "b"]),
    Case("string views", "x.parquet", parquet(texts_table("a", "b" * 50, kind=pa.string_view())), ["a", "b" * 50]),
    Case(
        "bytes",
        "x.parquet",
        parquet(texts_table(b"a", b"\xff", "\u00e9".encode(), kind=pa.binary())),
        ["a", None, "\u00e9"],
        [None, "not UTF-8", None],
    ),
    Case(
        "large bytes",
        "x.parquet",
        parquet(texts_table(b"a", b"\xff", kind=pa.large_binary())),
        ["a", None],
        [None, "not UTF-8"],
    ),
    Case(
        "bytes of one length",
        "x.parquet",
        parquet(texts_table(b"ab", b"\xff\xff", kind=pa.binary(2))),
        ["ab", None],
        [None, "not UTF-8"],
    ),
    Case(
        "a string that is not UTF-8", "x.parquet", one_string_is_not_utf8, ["a", None, "b"], [None, "not UTF-8", None]
    ),
    Case(
        "a nested text in Parquet",
        "x.parquet",
        parquet(pa.table({"m": [{"text": "a"}, None, {"text": None}]})),
        ["a", None, None],
        [None, "null text", "null text"],
        options={"text_column": "m.text"},
    ),
    Case(
        "a column with a dot in it",
        "x.parquet",
        parquet(pa.table({"m.text": ["a"]})),
        ["a"],
        options={"text_column": "m.text"},
    ),
    Case(
        "one huge row group",
        "x.parquet",
        parquet(texts_table(*(f"{i} {'x' * 100}" for i in range(5000)))),
        [f"{i} {'x' * 100}" for i in range(5000)],
    ),
    Case(
        "a row group for each row",
        "x.parquet",
        parquet(texts_table(*map(str, range(50))), row_group_size=1),
        [str(i) for i in range(50)],
    ),
    Case(
        "a text of 3 MB among short ones",
        "x.parquet",
        parquet(texts_table("a", "x" * 3_000_000, "b")),
        ["a", "x" * 3_000_000, "b"],
    ),
    Case(
        "control characters and NUL",
        "x.parquet",
        parquet(texts_table("\0\x1b[31m", "</script>")),
        ["\0\x1b[31m", "</script>"],
    ),
    Case(
        "other columns of odd types",
        "x.parquet",
        parquet(pa.table({"text": ["a"], "m": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "l": [[[1]]]})),
        ["a"],
    ),
]

NAMES = [
    Case("blanks and unicode in a name", "a b\u00e9 \u4e2d\N{GRINNING FACE}.jsonl", AB, ["a", "b"]),
    Case("signs of URIs in a name", "a%20b#c&d=e+f;g.jsonl", AB, ["a", "b"]),
    Case("wildcards in a name", "a[1]*?.jsonl", AB, ["a", "b"]),
    Case("a backslash and quotes in a name", "a\\b'c\"d.parquet", parquet(texts_table("a")), ["a"]),
    Case("a newline in a name", "a\nb.jsonl", AB, ["a", "b"]),
    Case("capitals in a suffix", "X.JSONL", AB, ["a", "b"]),
    Case("zstd by its long name", "x.jsonl.zstd", zst(AB), ["a", "b"]),
    Case("gzip by its long name", "x.json.gzip", gzip.compress(AB), ["a", "b"]),
    Case("bzip2", "x.jsonl.bz2", bz2.compress(AB), ["a", "b"]),
    Case("xz", "x.ndjson.xz", lzma.compress(AB), ["a", "b"]),
    Case("Parquet by a short name", "x.parq", parquet(texts_table("a")), ["a"]),
    Case("Parquet by a shorter name", "x.pq", parquet(texts_table("a")), ["a"]),
    Case("a name of 250 bytes", "x" * 244 + ".jsonl", AB, ["a", "b"]),
    Case("dots in a name", "..a..jsonl", AB),
    Case("a hidden file", "_x.jsonl", b"rubbish"),
    Case("a file in a hidden folder", ".git/x.jsonl", b"rubbish"),
    Case("a file of another format", "x.csv", b"text\na\n"),
    Case("a file of no format", "x.txt", b"text\na\n"),
]

CASES = [*LINES, *COLUMNS, *STREAMS, *PARQUET, *NAMES]


def write(folder: Path, case: Case) -> None:
    path = folder / case.file
    path.parent.mkdir(exist_ok=True)
    if isinstance(case.content, bytes):
        path.write_bytes(case.content)
    else:
        case.content(path)


def add_neighbours(folder: Path, column: str) -> None:
    """One file before and one behind in corpus order, of another format each."""
    record: dict = {"neighbour": 1}
    record |= {"m": {"text": "before"}, column: "before"} if "." in column else {column: "before"}
    (folder / "0.jsonl").write_text(json.dumps({**record, "id": "0", "d": "d", "m.d": "d"}) + "\n")
    (folder / "~.jsonl.gz").write_bytes(gzip.compress(json.dumps({column: "behind"}).encode()))


def test_there_are_enough_cases_and_each_has_its_name():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_becomes_rows_with_reasons_and_neighbours_are_read(case: Case, tmp_path: Path):
    options = {"max_line_bytes": MAX_LINE, **case.options}
    add_neighbours(tmp_path, options.get("text_column", "text"))
    write(tmp_path, case)
    rows = read_all(Corpus((str(tmp_path),), **options))
    own = [row for row in rows if row["path"] == case.file]
    assert [row["text"] for row in (rows[0], rows[-1])] == ["before", "behind"]
    assert len(rows) == len(own) + 2
    assert [row["text"] for row in own] == case.texts
    assert [row["reason"] for row in own] == (case.reasons or [None] * len(case.texts))
    assert case.ids is None or [row["id"] for row in own] == case.ids
    assert case.domains is None or [row["domain"] for row in own] == case.domains
    assert [row["n_bytes"] for row in own] == [len((text or "").encode()) for text in case.texts]


BROKEN_FILES = {
    "a footer that is cut off": lambda path: path.write_bytes(without(parquet_bytes(), 6)),
    "a footer of rubbish": lambda path: path.write_bytes(parquet_bytes()[:-200] + b"\xff" * 192 + parquet_bytes()[-8:]),
    "half a file": lambda path: path.write_bytes(parquet_bytes()[:40]),
    "a file of no bytes": lambda path: path.write_bytes(b""),
    "lines called Parquet": lambda path: path.write_bytes(AB),
    "an encrypted footer": lambda path: path.write_bytes(without(parquet_bytes(), 4) + b"PARE"),
    "a corrupt page": lambda path: path.write_bytes(flipped(parquet_bytes(), 60)),
}


def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(texts_table(*(f"text {i}" for i in range(20))), sink, write_page_checksum=True)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_parquet_file_that_cannot_be_read_says_so_and_neighbours_are_read(name: str, tmp_path: Path):
    add_neighbours(tmp_path, "text")
    BROKEN_FILES[name](tmp_path / "x.parquet")
    rows = read_all(Corpus((str(tmp_path),)))
    assert [row.get("text") for row in rows] == ["before", None, "behind"]
    assert "x.parquet" in rows[1]["error"]
    assert "can't be read" in rows[1]["error"]


def test_no_flipped_byte_of_a_parquet_file_gives_wrong_rows(tmp_path: Path):
    whole = parquet_bytes()
    outcomes = set()
    for position in range(0, len(whole), 3):
        (tmp_path / "x.parquet").write_bytes(flipped(whole, position))
        try:
            rows = read_all(Corpus((str(tmp_path),)))
        except KeyError:  # the flip renamed the column
            continue
        outcomes.add("error" if "error" in rows[0] else tuple(row["text"] for row in rows))
    assert outcomes == {"error", tuple(f"text {i}" for i in range(20))}


ERRORS: dict[str, tuple[str, bytes | Callable[[Path], object], dict, type[Exception], str]] = {
    "a column of numbers": (
        "x.parquet",
        parquet(pa.table({"text": [1], "body": ["a"]})),
        {},
        ValueError,
        r"'text' has type int64, not string; columns of strings: 'body'",
    ),
    "a column of lists": (
        "x.parquet",
        parquet(pa.table({"text": [["a"]]})),
        {},
        ValueError,
        r"type list<.*columns of strings: none",
    ),
    "a column of UUIDs": (
        "x.parquet",
        parquet(pa.table({"text": uuids(1)})),
        {},
        ValueError,
        r"'text' has type .*uuid.*, not string",
    ),
    "a struct": ("x.parquet", parquet(pa.table({"text": [{"a": "b"}]})), {}, ValueError, r"type struct<"),
    "a dictionary of numbers": (
        "x.parquet",
        parquet(pa.table({"text": pa.array([1]).dictionary_encode()})),
        {},
        ValueError,
        r"type int64, not string",
    ),
    "a missing column": (
        "x.parquet",
        parquet(pa.table({"txt": ["a"]})),
        {},
        KeyError,
        r"x.parquet has no column 'text'; its columns are \['txt'\]; did you mean 'txt'",
    ),
    "a missing id": ("x.parquet", parquet(texts_table("a")), {"id_column": "id"}, KeyError, "no column 'id'"),
    "a missing domain": (
        "x.parquet",
        parquet(texts_table("a")),
        {"domain_column": "m.d"},
        KeyError,
        r"no column 'm\.d'",
    ),
    "a domain that is a struct": (
        "x.parquet",
        parquet(pa.table({"text": ["a"], "m": [{"d": "x"}]})),
        {"domain_column": "m"},
        ValueError,
        r"'m' has type struct.*name a field",
    ),
    "a column twice": (
        "x.parquet",
        parquet(pa.table([pa.array(["a"]), pa.array(["b"])], ["text", "text"])),
        {},
        ValueError,
        "2 columns named 'text'",
    ),
    "a condition on a missing column": (
        "x.parquet",
        parquet(texts_table("a")),
        {"where": "lang = 'en'"},
        ValueError,
        r"\"lang\" not found.*x.parquet has the columns \['text'\]",
    ),
    "a condition on a wrong type": (
        "x.parquet",
        parquet(texts_table("a")),
        {"where": "text > 3"},
        ValueError,
        "Cannot compare|cast",
    ),
    "a key that no row has": (
        "x.jsonl",
        AB,
        {"text_column": "body"},
        KeyError,
        r"none of the first 4 rows .*'body'; their keys are \[",
    ),
    "compressed Parquet": (
        "x.parquet.gz",
        b"",
        {},
        ValueError,
        "x.parquet.gz: a compressed Parquet file can't be read; decompress",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_wrong_with_a_whole_file_is_said_at_planning(name: str, tmp_path: Path):
    file, content, options, kind, message = ERRORS[name]
    add_neighbours(tmp_path, "text")
    write(tmp_path, Case(name, file, content))
    with pytest.raises(kind, match=message):
        read_all(Corpus((str(tmp_path),), **options))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_of_200_mb_is_one_row_and_never_held(tmp_path: Path, suffix: str):
    import tracemalloc

    content = line("a") + b'{"text":"' + b"x" * 200_000_000 + b'"}\n' + line("b")
    compressed = {"": content, ".gz": gzip.compress(content, 1), ".zst": zst(content)}[suffix]
    (tmp_path / f"x.jsonl{suffix}").write_bytes(compressed)
    del content, compressed
    tracemalloc.start()
    rows = read_all(Corpus((str(tmp_path),)), shard_bytes=10**9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["reason"] for row in rows] == [None, f"line over {64 * 2**20} bytes", None]
    assert peak < 150_000_000
