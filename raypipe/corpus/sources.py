"""The files that the sources of a corpus name, each with its path in the corpus and its format."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from raypipe.corpus import delta
from raypipe.corpus.decompress import COMPRESSIONS
from raypipe.corpus.formats import BESIDE, KNOWN, WHOLE, format_of
from raypipe.corpus.shards import Kind
from raypipe.corpus.warc_rows import check_installed
from raypipe.storage.folder import Entry, walk
from raypipe.storage.hub import pinned
from raypipe.storage.retry import retrying
from raypipe.storage.uris import filesystem, glob_root, is_remote, local_path, redact

_NAMED = 5
"""Files of other formats that are named where they are passed over."""
_NAME = re.compile(r"[^\W_][\w .+-]{0,99}")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a corpus."""

    path: str
    """Path relative to the corpus root."""
    uri: str
    """Where it is now."""
    fingerprint: str
    size_bytes: int
    domain: str | None
    """NAME of its source."""

    @property
    def cut(self) -> Kind:
        """How a file of this suffix is cut into shards."""
        kind = format_of(self.path)
        if kind == "parquet":
            return "rows"
        return "part" if kind != "json" or self.path.lower().endswith(COMPRESSIONS) else "bytes"


@dataclass
class Ignored:
    """Files of other formats that were passed over."""

    n: int = 0
    names: list[str] = field(default_factory=list)
    """Paths of the first few."""

    def add(self, path: str) -> None:
        """One more."""
        self.n += 1
        if len(self.names) < _NAMED:
            self.names.append(path)

    def __str__(self) -> str:
        """`3 files of other formats (a.csv, b.txt, c)`."""
        names = f" ({', '.join(self.names)}{', ...' if self.n > len(self.names) else ''})" if self.n else ""
        return f"{self.n} file{'' if self.n == 1 else 's'} of other formats{names}"


def find_files(sources: tuple[str, ...]) -> tuple[list[SourceFile], Ignored]:
    """The files of all sources, and those of other formats that were passed over.

    Raises
    ------
    FileNotFoundError
        If a source has no file that can be read.
    ValueError
        If a NAME is not one, a file named has a format that can't be read, or two files have the same path.
    """
    found: dict[str, tuple[str, SourceFile]] = {}
    ignored = Ignored()
    for source in sources:
        name, uri = split_source(source)
        files = _files_of(source, name, uri, ignored)
        for file in files:
            if file.path in found:
                raise ValueError(
                    f"sources {found[file.path][0]!r} and {source!r} both have a file {file.path!r}; "
                    "give them names, as in a=URI and b=URI, or name each file once."
                )
            found[file.path] = source, file
    return [file for _, file in found.values()], ignored


def split_source(source: str) -> tuple[str | None, str]:
    """`NAME=URI` as its two parts; what stands before a `=` is part of the path where it has a `/` or `:`.

    Raises
    ------
    ValueError
        If the name is empty, `..`, or has other signs than letters, digits, blanks and `_.+-`.
    """
    name, equals, uri = source.partition("=")
    if not equals or "/" in name or ":" in name:
        name, uri = "", source
    elif not _NAME.fullmatch(name) or name != name.strip():
        raise ValueError(
            f"the name in source {source!r} must begin with a letter or digit and have only letters, digits, blanks "
            f"and _ . + -, got {name!r}; write './{source}' if this is a path."
        )
    if not uri:
        raise ValueError(f"source {source!r} has no path.")
    return name or None, uri


def _files_of(source: str, name: str | None, uri: str, ignored: Ignored) -> list[SourceFile]:
    files, others, uri = [], Ignored(), pinned(uri)
    table = _table_listing(uri)
    found = _listing(source, uri) if table is None else table
    listing = [(format_of(relative), relative, file_uri, entry) for relative, file_uri, entry in found]
    left_out = BESIDE if any(kind not in (None, *BESIDE) for kind, *_ in listing) else ()
    for kind, relative, file_uri, entry in listing:
        if kind is None or kind in left_out:
            others.add(relative)
            ignored.add(relative)
            continue
        if kind in WHOLE and relative.lower().endswith(COMPRESSIONS):
            raise ValueError(f"{file_uri}: a compressed {kind.title()} file can't be read; decompress it first.")
        if kind == "warc":
            check_installed()
        path = f"{name}/{relative}" if name else relative
        files.append(SourceFile(path, file_uri, entry.fingerprint, entry.size_bytes, name))
    if not files:
        but = f", but {others}" if others.n else ""
        raise FileNotFoundError(f"source {source!r} has no file to read{but}; {KNOWN}.")
    return files


def _table_listing(uri: str) -> list[tuple[str, str, Entry]] | None:
    """`_listing` of a Delta table: the files that its log names; None where it is none."""
    plain, version = delta.split_version(uri.rstrip("/"))
    plain = plain if is_remote(plain) else os.path.abspath(os.path.expanduser(_unquoted(plain)))
    if any(sign in plain for sign in "*?[") or format_of(plain) is not None or not delta.is_table(plain):
        return None
    names = delta.files_of(plain, version)
    found = [(entry.path, _join(plain, entry.path), entry) for entry in _walk(plain) if entry.path in names]
    if lost := names - {path for path, *_ in found}:
        raise FileNotFoundError(
            f"the Delta table {redact(plain)} lists {len(lost)} files that aren't there, such as {min(lost)}; they "
            "were vacuumed, so name a newer version."
        )
    return found


def _listing(source: str, uri: str) -> Iterator[tuple[str, str, Entry]]:
    """Path in the corpus, URI and entry of each file, whatever its format."""
    uri = uri.rstrip("/") or "/"
    plain = uri if is_remote(uri) else os.path.abspath(os.path.expanduser(_unquoted(uri)))
    root, pattern = ("", "") if _is_there(plain) else glob_root(plain)
    if pattern:
        yield from _matching(root or "/", pattern)
        return
    for entry in _walk(plain):
        if entry.path:
            yield entry.path, _join(plain, entry.path), entry
            continue
        file_name = plain.rsplit("/", 1)[-1]
        if format_of(file_name) is None:
            raise ValueError(f"source {source!r} has no known suffix; {KNOWN}.")
        yield file_name, _join(plain, ""), entry


def _matching(root: str, pattern: str) -> Iterator[tuple[str, str, Entry]]:
    try:
        matches = re.compile(glob_regex(pattern)).fullmatch
    except re.error as error:
        raise ValueError(f"the wildcards in {pattern!r} can't be read: {error}.") from error
    depth = None if "**" in pattern else pattern.count("/")
    for entry in _walk(root, depth=depth):
        if entry.path and matches(entry.path):
            yield entry.path, _join(root, entry.path), entry


def _unquoted(uri: str) -> str:
    return unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri


def _join(root: str, path: str) -> str:
    uri = f"{root.rstrip('/')}/{path}" if path else root
    return uri if is_remote(uri) else "file://" + quote(uri)


def _is_there(uri: str) -> bool:
    """Whether a path with wildcards in it is a file's or folder's very name."""
    if not any(sign in uri for sign in "*?["):
        return True
    system, path = filesystem(uri)
    found = retrying(lambda: system.get_file_info(path), what=redact(uri))
    return bool(found.type.name in ("File", "Directory"))


def _walk(uri: str, *, depth: int | None = None) -> Iterator[Entry]:
    """`storage.walk`; on local disks no deeper than asked, and each folder once, whatever symbolic links lead to it."""
    top = local_path(uri)
    if top is None or not os.path.isdir(top):
        yield from walk(uri)
        return
    seen = set()
    for folder, folders, names in os.walk(top, followlinks=True, onerror=_raise):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        level = 0 if folder == top else os.path.relpath(folder, top).count("/") + 1
        folders[:] = [] if level == depth else sorted(name for name in folders if not _is_hidden(name))
        yield from _entries(top, folder, sorted(name for name in names if not _is_hidden(name)))


def _entries(top: str, folder: str, names: list[str]) -> Iterator[Entry]:
    for path in (os.path.join(folder, name) for name in names):
        if not os.path.isfile(path):  # a link to nowhere, a socket
            continue
        if not path.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in path):
            raise ValueError(f"the name of file {path!r} is not UTF-8; rename it.")
        status = os.stat(path)
        yield Entry(os.path.relpath(path, top), status.st_size, status.st_mtime_ns)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _raise(error: OSError) -> None:
    raise error  # os.walk would pass over a folder that may not be read, and its rows would be lost


def glob_regex(pattern: str) -> str:
    """A glob as a regular expression: `*` and `?` stay inside a folder, `**` goes through any number of them."""
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)
    known = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(token) or _bracket(token) for token in tokens)


def _bracket(token: str) -> str:
    if len(token) == 1:
        return re.escape(token)
    negated = token.startswith("[!")
    signs = re.sub(r"([\\\[\]^&~|])", r"\\\1", token[2 if negated else 1 : -1])
    return f"[{'^/' if negated else ''}{signs}]"
