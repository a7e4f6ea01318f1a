"""What a corpus and a shard of it are: the values that a plan, a card and an output file name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal
from urllib.parse import quote

from raypipe.corpus.template import TextTemplate
from raypipe.settings.identity import RUNNING, counts_as

MAX_QUOTED = 150
"""Longest quoted path in a key, in bytes: a file name may have 255, and a temporary one needs some of them."""

Kind = Literal["rows", "bytes", "part"]
"""How a file is cut."""


class UnreadableFile(OSError):
    """A source file can't be read: its shard is set aside, the others go on."""


def _if_there(template: str | None) -> Mapping[str, Any]:
    return {"text_template": template} if template is not None else {}  # corpora without one are what they were


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which rows of files are read, and where their columns are."""

    text_column: str = "text"
    """Column of the text; dotted inside a struct or a JSON object, as are the next two. Those may also be columns of
    the path, `lang=en/part-0.parquet`, which stand before the file's own."""
    text_template: str | None = field(default=None, metadata=counts_as(_if_there))
    """Jinja template that makes the text of several columns or of a list of messages, in place of text_column, as
    '{{ title }}: {{ body }}' or '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}'."""
    id_column: str | None = None
    """Column of the id; None, or a null in it: `PATH:ROW` (`PATH:@BYTE` in plain JSON lines). A UUID is written in its
    usual form, bytes that are no text as hexadecimal digits."""
    domain_column: str | None = None
    """Column of the domain of sources without a NAME; a null in it: "unknown"."""
    domain_from_path: str | None = None
    """Regular expression searched in the path where neither of those is given; its first group is the domain."""
    where: str | None = None
    """SQL condition (DuckDB's) on the columns of a row, or its keys as they are spelt; false or null: "filtered"; NaN
    counts as null."""
    limit: int | None = None
    """Only the first rows in corpus order."""
    max_line_bytes: int = 64 * 2**20
    """A longer line of JSON is skipped, and never held whole."""


@dataclass(frozen=True)
class Corpus(Reading):
    """Everything that says what the rows are: part of the identity of each stage that reads them."""

    sources: tuple[str, ...] = field(metadata=RUNNING)  # where they lie; what they hold is in the shards' names
    """Folders, globs or files: `[NAME=]URI`; NAME becomes the domain of the rows. `./a=b` is a path with a `=`."""

    def __post_init__(self) -> None:
        """Check what can be checked without looking at a file.

        Raises
        ------
        ValueError
            If there is no source, a number is below 1, the regular expression is wrong or has no group, or the template
            can't be read or has a text column beside it.
        """
        if not self.sources or isinstance(self.sources, str):
            raise ValueError(f"sources must be a tuple of at least one [NAME=]URI, got {self.sources!r}.")
        for name, value in (("limit", self.limit), ("max_line_bytes", self.max_line_bytes)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if self.text_template is not None and self.text_column != "text":
            raise ValueError(
                f"text_template takes the place of text_column, got {self.text_column!r} too; leave one out."
            )
        assert self.text_columns  # which reads the template
        if self.domain_from_path is not None:
            _check_regex(self.domain_from_path)

    @property
    def template(self) -> TextTemplate | None:
        """What makes the text, None where it is a column."""
        return None if self.text_template is None else TextTemplate(self.text_template)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns that the text is made of."""
        return (self.text_column,) if self.template is None else self.template.columns

    def path_domain(self, path: str) -> str:
        """The domain that the path of a file gives: the first group of the regular expression, or "all"."""
        if self.domain_from_path is None:
            return "all"
        found = re.search(self.domain_from_path, path)
        return (found.group(1) if found else None) or "unknown"


def _check_regex(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"domain_from_path {pattern!r} is not a regular expression: {error}.") from error
    if groups < 1:
        raise ValueError(f"domain_from_path {pattern!r} needs a group for the domain, such as '^([^/]+)/'.")


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of one source file: the unit of work, of resuming and of accounting."""

    path: str
    """Path relative to the corpus root; `NAME/relative` for a source with a NAME."""
    uri: str
    """Where the file is now; not part of what the shard is."""
    cut: Kind
    """Rows of a Parquet file; lines that begin in a range of bytes; rows of a compressed stream or of a JSON array."""
    start: int
    """First row or byte."""
    stop: int
    """Row or byte after the last; -1: to the end of the stream."""
    fingerprint: str
    """Of the source file: changes when it is rewritten."""
    max_rows: int | None = None
    """A limit on the corpus ends after so many rows of this shard."""
    domain: str | None = None
    """NAME of the source."""
    n_rows: int | None = None
    """Rows in it, where the plan knows."""
    size: int = 0
    """The size that the file was cut by: shard_bytes, or part_rows of a stream."""
    broken: str | None = None
    """Why the file couldn't be read when it was planned: reading it raises UnreadableFile."""
    inputs: str = ""
    """8 hex of the files of other stages that are read beside it: changes when one of them is written again."""

    @property
    def key(self) -> str:
        """File stem of its output: quoted path, 8 hex of what it was cut from, start, 8 hex of what is read beside it.

        Sorted keys are corpus order.
        """
        key = f"{file_key(self.path, self.fingerprint, self.size)}-{self.start:015d}"
        return f"{key}-{self.inputs}" if self.inputs else key


@dataclass(frozen=True, slots=True)
class OutputName:
    """The name of a shard's file in a stage, taken apart."""

    path: str
    """Quoted."""
    cut_from: str
    """8 hex of what it was cut from."""
    start: int
    inputs: str
    is_last: bool
    """Of a stream's parts."""


LAST = ".last.parquet"
_OUTPUT = re.compile(r"(.+)-([0-9a-f]{8})-([0-9]{15})(?:-([0-9a-f]{8}))?(\.last)?\.parquet")


def output_name(name: str) -> OutputName | None:
    """A file's name taken apart; None if no stage has given it."""
    found = _OUTPUT.fullmatch(name)
    if found is None:
        return None
    path, cut_from, start, inputs, last = found.groups()
    return OutputName(path, cut_from, int(start), inputs or "", last is not None)


@lru_cache(maxsize=1024)  # the shards of a file come one after another
def file_key(path: str, fingerprint: str, size: int) -> str:
    """The part of a key that all shards of a file share, safe as a file name everywhere."""
    identity = b"\0".join((path.encode(), fingerprint.encode(), str(size).encode()))
    return f"{quoted_path(path)}-{blake2b(identity, digest_size=4).hexdigest()}"


def quoted_path(path: str) -> str:
    """What a key begins with: the path, quoted, and cut short by a hash where it is long."""
    raw = path.encode()
    quoted = quote(raw, safe="")
    if quoted[0] in "._":  # listings take such names for hidden files
        quoted = f"%{raw[0]:02X}{quoted[1:]}"
    if len(quoted) > MAX_QUOTED:
        quoted = f"{quoted[: MAX_QUOTED - 33]}~{blake2b(raw, digest_size=16).hexdigest()}"
    return quoted
