"""CSV, TSV, Arrow and WARC: good rows, and whatever else may stand there, as rows with reasons."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pytest

from raypipe.corpus import Corpus, plan_shards
from raypipe.corpus.records import read_records
from raypipe.corpus.warc_rows import MAX_DEPTH
from tests.corpus.reading import read_all, tables_of
from tests.corpus.test_bad_input import LINES, MAX_LINE, Case, add_neighbours, flipped, write

TEXTS = [
    text
    for case in LINES
    for text in case.texts
    if text is not None and case.content and len(text) < MAX_LINE and "surrogate" not in case.name
]
"""Every text that a line of JSON may hold, however odd."""


def arrow(table: pa.Table, *, is_stream: bool = False, rows: int = 1000) -> bytes:
    sink = io.BytesIO()
    with (pa.ipc.new_stream if is_stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def feather(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pa.feather.write_feather(table, sink)
    return sink.getvalue()


def record(block: bytes, kind: str = "response", of: str = "application/http", length: int | None = None) -> bytes:
    n = len(block) if length is None else length
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{kind}>\r\nWARC-Target-URI: http://a.org/\r\n"
    return f"{head}Content-Type: {of}\r\nContent-Length: {n}\r\n\r\n".encode() + block + b"\r\n\r\n"


def page(body: str | bytes, header: str = "Content-Type: text/html; charset=utf-8", status: str = "200 OK") -> bytes:
    content = body.encode() if isinstance(body, str) else body
    return record(f"HTTP/1.1 {status}\r\n{header}\r\n\r\n".encode() + content)


def wet(text: str) -> bytes:
    return record(text.encode(), "conversion", "text/plain")


def written_as_csv(texts: list[str], delimiter: str = ",") -> bytes:
    sink = io.StringIO(newline="")
    rows = csv.writer(sink, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    rows.writerows([["id", "text"], *([f"n{at}", text] for at, text in enumerate(texts))])
    return sink.getvalue().encode()


HTML = "<html><body><nav><a href='x'>menu</a></nav><main><p>Grüße an alle, dies ist der Text.</p></main></body></html>"
MAIN = "Grüße an alle, dies ist der Text."
TABLE = pa.table({"text": [f"text {at}" for at in range(20)]})

CASES = [
    Case("CSV", "x.csv", b"id,text\r\n1,a\r\n2,b\r\n", ["a", "b"], ids=["1", "2"], options={"id_column": "id"}),
    Case("CSV of nothing", "x.csv", b""),
    Case("CSV of a header", "x.csv", b"id,text\n"),
    Case("CSV with a byte order mark", "x.csv", b"\xef\xbb\xbftext\na\n", ["a"], ids=["x.csv:0"]),
    Case("CSV in gzip", "x.csv.gz", gzip.compress(b"text\na\nb"), ["a", "b"]),
    Case("CSV in gzip that is cut", "x.csv.gz", gzip.compress(b"text\na\nb\n")[:-4], ["a", "b", None],
         [None, None, "stream broken at byte 9"]),
    Case("blank lines in CSV", "x.csv", b"text,n\n\na,1\n\r\n , \nb,2\n", ["a", "b"]),
    Case("cells of several lines", "x.csv", b'text,n\n"a\nb\r\n""c""",1\nd,2\n', ['a\nb\r\n"c"', "d"]),
    Case("rows that end early and late", "x.csv", b"n,text\n1\n2,b\n3,c,d\n", [None, "b", None],
         ["null text", None, "more cells than columns"]),
    Case("empty and blank cells", "x.csv", b'n,text\n1,\n2,""\n3,  \n', [None] * 3,
         ["null text", "null text", "empty"]),
    Case("Latin-1 in CSV", "x.csv", b"text\na\ncaf\xe9\nb\n", ["a", None, "b"], [None, "not UTF-8", None]),
    Case("UTF-16 in CSV", "x.csv", "text\na\n".encode("utf-16"), [None] * 2, ["null text"] * 2),
    Case("a quote in the middle of a cell in quotes", "x.csv", b'text,n\n"a"b,1\nc,2\n', [None, "c"],
         ["unparsable", None]),
    Case("a carriage return in a bare cell", "x.csv", b"text,n\na\rb,1\nc,2\n", [None, "c"], ["unparsable", None]),
    Case("a quote that is never closed", "x.csv", b'text,n\na,1\n"b,2\nc,3\n', ["a", None], [None, "unparsable"]),
    Case("a header that is none", "x.csv", b'"text"x\na\n', [None], ["header: unparsable"]),
    Case("a column twice", "x.csv", b"text,text\na,b\n", [None], ["header: two columns 'text'"]),
    Case("columns without a name", "x.csv", b",text,\n1,a,2\n", ["a"], [None]),
    Case("NUL bytes in CSV", "x.csv", b"text\nx\0y\n", ["x\0y"]),
    Case("TSV", "x.tsv", b"text\tn\na, b\t1\n", ["a, b"]),
    Case("conditions on CSV", "x.csv", b"text,n\na,1\nb,20\nc,\n", [None, "b", "c"], ["filtered", None, None],
         options={"where": "n IS NULL OR CAST(n AS INT) > 3"}),
    Case("Arrow", "x.arrow", arrow(TABLE), TABLE["text"].to_pylist()),
    Case("Arrow as a stream", "x.arrows", arrow(TABLE, is_stream=True, rows=3), TABLE["text"].to_pylist()),
    Case("a stream called a file", "x.arrow", arrow(TABLE, is_stream=True), TABLE["text"].to_pylist()),
    Case("Feather", "x.feather", feather(TABLE), TABLE["text"].to_pylist()),
    Case("an Arrow file of no bytes", "x.arrow", b""),
    Case("Arrow without rows", "x.arrow", arrow(TABLE[:0])),
    Case("rubbish called Arrow", "x.arrow", b"rubbish" * 20, [None], ["stream broken at row 0"]),
    Case("strings of Arrow that aren't UTF-8", "x.arrow",
         arrow(pa.table({"text": pa.array([b"a", b"\xff", b"b"], pa.binary()).view(pa.string())})), ["a", None, "b"],
         [None, "not UTF-8", None]),
    Case("bytes of Arrow", "x.arrow", arrow(pa.table({"text": pa.array([b"a", b"\xff", None])})), ["a", None, None],
         [None, "not UTF-8", "null text"]),
    Case("dictionaries and views of Arrow", "x.arrow",
         arrow(pa.table({"text": pa.array(["a", "b"]).dictionary_encode(),
                         "id": pa.array(["1", None], pa.string_view())})),
         ["a", "b"], ids=["1", "x.arrow:1"], options={"id_column": "id"}),
    Case("numbers of Arrow", "x.arrow", arrow(pa.table({"text": [1, None]})), [None, None],
         ["not a string", "null text"]),
    Case("a nested text of Arrow", "x.arrow", arrow(pa.table({"m": [{"text": "a"}, None]})), ["a", None],
         [None, "null text"], options={"text_column": "m.text"}),
    Case("WARC", "x.warc", record(b"x: y\r\n", "warcinfo", "application/warc-fields") + page(HTML) + wet("a"),
         [MAIN, "a"], ids=["<urn:uuid:response>", "<urn:uuid:conversion>"], options={"id_column": "id"}),
    Case("WARC in gzip, a member a record", "x.warc.gz", 2 * gzip.compress(page(HTML)), [MAIN] * 2),
    Case("WARC of no bytes", "x.warc", b""),
    Case("rubbish called WARC", "x.warc", b"rubbish\n" * 20, [None], ["no WARC from record 0 on"]),
    Case("WARC that is cut", "x.warc", page(HTML) + page(HTML)[:-60], [MAIN, None], [None, "a broken record"]),
    Case("WARC and rubbish", "x.warc", page(HTML) + b"rubbish\r\n\r\n" * 9, [MAIN, None],
         [None, "no WARC from record 1 on"]),
    Case("gzip of WARC that is cut", "x.warc.gz", gzip.compress(page(HTML))[:-4], [MAIN, None],
         [None, f"stream broken at byte {len(page(HTML))}"]),
    Case("lengths that lie", "x.warc", record(b"abc", length=-5) + page(HTML), [None, None],
         ["a broken record", "no WARC from record 1 on"]),
    Case("no HTTP", "x.warc", record(b"abc") + page(HTML), [None, MAIN], ["a broken HTTP response", None]),
    Case("other statuses and types", "x.warc",
         page(HTML, status="404 Not Found") + page(b"\x89PNG", "Content-Type: image/png")
         + page("", "Content-Type: <b>"),
         [None] * 3, ["HTTP status 404", "not a text: image/png", "not a text: unknown"]),
    Case("charsets", "x.warc",
         page(HTML.encode("latin-1"), "Content-Type: text/html; charset=ISO-8859-1")
         + page(HTML.encode(), "Content-Type: text/html; charset=none-such")
         + page(HTML.encode(), "Content-Type: text/html"),
         [MAIN] * 3),
    Case("bodies that are compressed and in chunks", "x.warc",
         page(gzip.compress(HTML.encode()), "Content-Type: text/html\r\nContent-Encoding: gzip")
         + page(b"5\r\nhello\r\n0\r\n\r\n", "Content-Type: text/plain\r\nTransfer-Encoding: chunked")
         + page(b"zz", "Content-Type: text/html\r\nTransfer-Encoding: chunked") + wet("b"),
         [MAIN, "hello", None, "b"], [None, None, "a broken HTTP response", None]),
    Case("a page without text", "x.warc", page("<html><script>x()</script></html>"), [None], ["empty"]),
    Case("a record too long", "x.warc", wet("x" * (MAX_LINE + 1)) + wet("b"), [None, "b"],
         [f"record over {MAX_LINE} bytes", None]),
    Case("tags nested too deeply", "x.warc", page("<div>" * (MAX_DEPTH + 1)) + page("<p>" * (MAX_DEPTH + 1) + "a"),
         [None, "a"], [f"tags nested over {MAX_DEPTH} deep", None]),
    Case("WET that isn't UTF-8", "x.wet", record(b"caf\xe9", "conversion", "text/plain"), [None], ["not UTF-8"]),
]  # fmt: skip


def read_beside_neighbours(folder: Path, case: Case) -> list[dict]:
    """The rows of a case's file; those of its neighbours have been seen."""
    options = {"max_line_bytes": MAX_LINE, **case.options}
    add_neighbours(folder, options.get("text_column", "text"))
    write(folder, case)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    rows = read_all(Corpus(tuple(map(str, files)), **options), part_rows=2)
    own = [row for row in rows if row["path"] == case.file]
    assert [row["text"] for row in rows if row not in own] == ["before", "behind"]
    return own


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rows_have_their_texts_or_reasons_and_neighbours_are_read(case: Case, tmp_path: Path):
    own = read_beside_neighbours(tmp_path, case)
    assert [row["text"] for row in own] == case.texts
    assert [row["reason"] for row in own] == (case.reasons or [None] * len(case.texts))
    assert case.ids is None or [row["id"] for row in own] == case.ids


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("x.csv", written_as_csv(TEXTS)),
        ("x.tsv", written_as_csv(TEXTS, "\t")),
        ("x.arrow", arrow(pa.table({"text": TEXTS}), rows=7)),
        ("x.feather", feather(pa.table({"text": pa.array(TEXTS, pa.large_string())}))),
        ("x.wet.gz", gzip.compress(b"".join(map(wet, TEXTS)))),
    ],
)
def test_every_text_that_a_line_of_json_may_hold_is_the_same_in_other_formats(file, content, tmp_path):
    assert len(TEXTS) > 20
    assert [row["text"] for row in read_beside_neighbours(tmp_path, Case(file, file, content))] == TEXTS


def test_a_row_of_csv_too_long_is_never_held_and_reading_goes_on(tmp_path: Path):
    content = b'text,n\na,1\n"' + b"x\n" * 60 + b"b,2\n" + b"y" * 500 + b"\nc,3\n"
    own = read_beside_neighbours(tmp_path, Case("x", "x.csv", content, options={"max_line_bytes": 100}))
    assert [(row["text"], row["reason"]) for row in own[:2]] == [("a", None), (None, "row over 100 bytes")]
    assert [row["text"] for row in own[2:-2]] == ["x"] * 10 + ["b"]  # the lines behind what was held
    assert [(row["text"], row["reason"]) for row in own[-2:]] == [(None, "row over 100 bytes"), ("c", None)]


def test_no_flipped_byte_of_an_arrow_file_gives_rows_that_no_one_wrote(tmp_path: Path):
    whole, texts = arrow(TABLE, rows=5), TABLE["text"].to_pylist()
    is_body = bytearray(len(whole))
    for text in texts:
        at = whole.index(text.encode())
        is_body[at : at + len(text)] = b"\1" * len(text)  # Arrow has no checksum: a changed letter is another text
    n_broken = 0
    for position in (at for at in range(0, len(whole), 11) if not is_body[at]):
        (tmp_path / "x.arrow").write_bytes(flipped(whole, position))
        try:
            rows = read_all(Corpus((f"{tmp_path}/x.arrow",)))
        except KeyError:  # the flip renamed the column
            continue
        n_broken += any(row.get("reason") or "error" in row for row in rows)
        assert all(isinstance(row.get("text"), str | None) for row in rows)
    assert n_broken > 10


def test_parts_of_a_stream_are_the_same_however_it_is_cut(tmp_path: Path):
    (tmp_path / "x.csv").write_bytes(written_as_csv([f"text {at}" for at in range(10)]))
    corpus = Corpus((f"{tmp_path}/x.csv",), id_column="id")
    whole = read_all(corpus)
    assert read_all(corpus, part_rows=3) == whole
    [shard] = plan_shards(corpus, shard_bytes=100, part_rows=3)
    assert [part.start for part, _ in tables_of(corpus, shard, part_rows=3)] == [0, 3, 6, 9]
    assert [record.values["text"] for record in read_records((f"{tmp_path}/x.csv",))] == [row["text"] for row in whole]


def test_a_folder_with_json_or_parquet_keeps_other_formats_out(tmp_path: Path):
    (tmp_path / "statistics.csv").write_bytes(b"n\n1\n")
    (tmp_path / "inputs.arrow").write_bytes(arrow(TABLE))
    assert len(read_all(Corpus((f"{tmp_path}/*.arrow",)))) == 20
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "a"}\n')
    plan = plan_shards(Corpus((str(tmp_path),)), shard_bytes=100, part_rows=3)
    assert [shard.path for shard in plan] == ["x.jsonl"]
    assert plan.ignored == 2


def test_compressed_arrow_and_warc_without_its_packages_are_refused(tmp_path: Path, monkeypatch):
    (tmp_path / "x.arrow.gz").write_bytes(b"")
    (tmp_path / "x.warc").write_bytes(b"")
    with pytest.raises(ValueError, match=r"x.arrow.gz: a compressed Arrow file can't be read; decompress it"):
        read_all(Corpus((f"{tmp_path}/x.arrow.gz",)))
    monkeypatch.setattr("raypipe.corpus.warc_rows.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"WARC is read by packages that aren't installed; pip install 'raypipe\[web\]'"
    ):
        read_all(Corpus((f"{tmp_path}/x.warc",)))


CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
ROWS = [
    {"title": "T", "body": "a", "messages": [{"role": "user", "content": "Hi"}, {"role": "bot", "content": "Ho"}]},
    {"title": None, "body": "b", "messages": []},
    {"body": "c"},
]


def parquet_of(path: Path) -> None:
    pa.parquet.write_table(pa.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("x.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)),
        ("x.parquet", parquet_of),
        ("x.arrow", arrow(pa.Table.from_pylist(ROWS))),
    ],
)
def test_a_template_joins_columns_and_renders_messages(file: str, content: bytes | Callable, tmp_path: Path):
    write(tmp_path, Case("x", file, content))

    def texts(template: str) -> Iterator[tuple]:
        rows = read_all(Corpus((f"{tmp_path}/{file}",), text_template=template))
        return [(row["text"], row["reason"]) for row in rows]

    assert texts("{{ title }}: {{ body }}") == [("T: a", None), (": b", None), (": c", None)]
    chat = texts(CHAT)
    assert chat[0] == ("<user>Hi\n<bot>Ho\n", None)
    assert chat[1] == (None, "empty")
    assert chat[2][0] is None
    assert texts("{{ body }}{{ title.missing.deeper }}")[0][1].startswith("template failed: UndefinedError")
    assert texts("{% for n in range(10**9) %}{{ body }}{% endfor %}")[0][1].startswith("template failed: OverflowError")
    with pytest.raises(KeyError, match="'tilte'"):
        texts("{{ tilte }}{{ body }}")


def test_a_row_without_any_of_a_templates_columns_has_no_text():
    judged = Corpus(("x",), text_template="{{ title }}: {{ body }}").template.judged
    assert judged({"title": None, "other": "x"}) == (None, "null text")
    assert judged({"title": "", "body": None}) == (b": ", None)


def test_a_template_that_can_not_be_one_is_refused():
    for template, said in (("{{ title", "can't be read"), ("text", "must name a column"), ("{{ x.__class__ }}", None)):
        if said:
            with pytest.raises(ValueError, match=f"template {said}"):
                Corpus(("x",), text_template=template)
        else:  # the sandbox gives nothing away
            assert Corpus(("x",), text_template=template).template.judged({"x": 1})[0] is None
    with pytest.raises(ValueError, match="text_template takes the place of text_column, got 'body' too"):
        Corpus(("x",), text_template="{{ a }}", text_column="body")
    assert replace(Corpus(("x",)), text_template="{{ b }} {{ a }}").text_columns == ("a", "b")
