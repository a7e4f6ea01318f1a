"""Small files and listings at a URI: the one seam to file systems.

`file:`, `s3:`, `gs:` and `hf:` work alike. A put is atomic everywhere: another process sees the whole file or none
(a temporary name and a rename on a file system; on an object store the object appears when its stream is closed).
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import quote

import pyarrow as pa
import pyarrow.fs as pafs

from raypipe.storage import conditional
from raypipe.storage.retry import open_again, retrying
from raypipe.storage.uris import filesystem, is_remote, normalise, redact

TEMPORARY = ".tmp-"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a listing; `path` is relative to the folder listed."""

    path: str
    size_bytes: int
    mtime_ns: int

    @property
    def fingerprint(self) -> str:
        """Changes whenever the file is rewritten: its size and its time of change."""
        return f"{self.size_bytes}-{self.mtime_ns}"


@dataclass(frozen=True)
class Folder:
    """A folder at a URI. Nothing outside it can be named; it can be sent to another process."""

    uri: str

    def __post_init__(self) -> None:
        """Make the URI absolute, so that a worker in another directory means the same folder."""
        object.__setattr__(self, "uri", normalise(self.uri))

    def __getstate__(self) -> dict[str, str]:
        return {"uri": self.uri}

    def __setstate__(self, state: dict[str, str]) -> None:
        object.__setattr__(self, "uri", state["uri"])

    @cached_property
    def _opened(self) -> tuple[pafs.FileSystem, str]:
        return filesystem(self.uri)

    @property
    def is_local(self) -> bool:
        """Whether it lies on a file system of this machine."""
        return not is_remote(self.uri)

    def path(self, name: str) -> str:
        """The path of a file inside the file system.

        Raises
        ------
        ValueError
            If the name leads out of the folder.
        """
        if name.startswith("/") or ".." in PurePosixPath(name).parts or "\\" in name or "\0" in name:
            raise ValueError(f"a name inside {self.uri} must be relative and without '..', got {name!r}.")
        return f"{self._opened[1]}/{name}" if name else self._opened[1]

    def __truediv__(self, name: str) -> "Folder":
        self.path(name)
        return Folder(f"{self.uri}/{quote(name) if self.is_local else name}")

    def files(self, *, recursive: bool = False) -> list[Entry]:
        """The files in it, sorted by name; empty if there is no such folder. Half-written files aren't listed."""
        return [entry for entry in self._files(recursive=recursive) if TEMPORARY not in entry.path]

    def _files(self, *, recursive: bool = False) -> list[Entry]:
        system, root = self._opened
        selector = pafs.FileSelector(root, recursive=recursive, allow_not_found=True)
        infos, entries = self._retrying(lambda: system.get_file_info(selector), ""), []
        while infos:  # taken away one by one: of a million files both lists together would be half a gigabyte
            if entry := _entry(infos.pop(), root):
                entries.append(entry)
        return sorted(entries, key=lambda entry: entry.path)

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        system, path = self._opened[0], self.path(name)
        return bool(self._retrying(lambda: system.get_file_info(path), name).type != pafs.FileType.NotFound)

    def open(self, name: str) -> pa.NativeFile:
        """A file to read from any position; its bytes are fetched as they are asked for."""
        system, path = self._opened[0], self.path(name)
        if self.is_local:
            return system.open_input_file(path)
        return open_again(lambda: system.open_input_file(path), what=self._name(name))

    def read(self, name: str) -> bytes:
        """The whole of a file.

        Raises
        ------
        FileNotFoundError
            If it isn't there.
        """

        def once() -> bytes:
            """One attempt."""
            with self._opened[0].open_input_stream(self.path(name), compression=None) as stream:
                return bytes(stream.read())

        return self._retrying(once, name)

    def write(self, name: str, content: bytes | pa.Buffer) -> None:
        """Put a file in one step; a file of that name is replaced."""
        if self.is_local:
            temporary = self._write_temporary(name, content)
            os.replace(temporary, self.path(name))
            return

        def once() -> None:
            """One attempt."""
            with self._opened[0].open_output_stream(self.path(name), compression=None) as stream:
                stream.write(content)

        self._retrying(once, name)

    def create(self, name: str, content: bytes) -> bool:
        """Put a file only if there is none of that name, and say whether it was put: the ground for locks."""
        if self.is_local:
            temporary = self._write_temporary(name, content)
            try:
                os.link(temporary, self.path(name))  # fails where the name exists, in one step
            except FileExistsError:
                return False
            except FileNotFoundError:  # the owner of the folder took our temporary file for a dead writer's
                return self.create(name, content)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
            return True
        if self.uri.startswith("s3://"):
            return conditional.put(self.path(name), content, IfNoneMatch="*")
        if self.exists(name):  # other stores: not atomic, the best that fsspec and GCS through pyarrow offer
            return False
        self.write(name, content)
        return True

    def swap(self, name: str, content: bytes, *, seen: bytes) -> bool:
        """Replace a file only if it still holds what was seen, and say whether it was replaced."""
        if self.uri.startswith("s3://"):
            return conditional.swap(self.path(name), content, seen=seen)
        aside = f"{name}{TEMPORARY}{secrets.token_hex(4)}"
        try:
            if not self.is_local:
                return self._swap_unlocked(name, content, seen)
            os.rename(self.path(name), self.path(aside))  # of several that try, one finds it there
        except FileNotFoundError:
            return False
        is_seen = self.read(aside) == seen
        if not is_seen:
            self.create(name, self.read(aside))  # it was another's already: give it back
        self.delete(aside)
        return is_seen and self.create(name, content)

    def _swap_unlocked(self, name: str, content: bytes, seen: bytes) -> bool:
        if self.read(name) != seen:
            return False
        self.write(name, content)
        return True

    def _write_temporary(self, name: str, content: bytes | pa.Buffer) -> str:
        target = self.path(name)
        folder, base = os.path.split(target)
        os.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.{base[:100]}{TEMPORARY}{secrets.token_hex(4)}"
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
        return temporary

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens if it isn't there."""
        system, path = self._opened[0], self.path(name)
        try:
            self._retrying(lambda: system.delete_file(path), name)
        except FileNotFoundError:
            return

    def remove(self) -> None:
        """Delete the folder with all that it holds; nothing happens if it isn't there."""
        system, path = self._opened
        try:
            self._retrying(lambda: system.delete_dir(path), "")
        except FileNotFoundError:
            return

    def prune(self) -> None:
        """Remove the folders in it that hold nothing, also as an object that stands for one; only its owner may."""
        system, root = self._opened
        selector = pafs.FileSelector(root, recursive=True, allow_not_found=True)
        infos = self._retrying(lambda: system.get_file_info(selector), "")
        used = {above for info in infos if info.type == pafs.FileType.File for above in _above(info.path)}
        empty = {info.path for info in infos if info.type == pafs.FileType.Directory} - used
        for path in sorted(path for path in empty if not empty & set(_above(path))):
            (self / path[len(root) :].lstrip("/")).remove()

    def sweep(self, *, recursive: bool = False) -> int:
        """Remove what writers that died left half-written, and say how many files that were."""
        orphans = [entry.path for entry in self._files(recursive=recursive) if TEMPORARY in entry.path]
        for name in orphans:
            self.delete(name)
        return len(orphans)

    def _retrying(self, action: Callable[[], T], name: str) -> T:
        return action() if self.is_local else retrying(action, what=self._name(name))

    def _name(self, name: str) -> str:
        return f"{redact(self.uri)}/{name}" if name else str(redact(self.uri))


def _above(path: str) -> list[str]:
    """The folders that a path is in, the nearest first."""
    return [str(above) for above in PurePosixPath(path).parents]


def _entry(info: pafs.FileInfo, root: str) -> Entry | None:
    if info.type != pafs.FileType.File:
        return None
    return Entry(info.path[len(root) :].lstrip("/"), int(info.size), int(info.mtime_ns or 0))


def walk(uri: str) -> Iterator[Entry]:
    """The files below a URI: a folder's, or the one file; hidden ones (`.x`, `_x`) are left out.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    """
    system, path = filesystem(uri)
    info = retrying(lambda: system.get_file_info(path), what=redact(uri))
    if info.type == pafs.FileType.NotFound:
        raise FileNotFoundError(f"nothing at {uri}; check the path and the credentials for it.")
    if info.type == pafs.FileType.File:
        yield Entry("", int(info.size), int(info.mtime_ns or 0))
        return
    for entry in Folder(uri).files(recursive=True):
        if not any(part.startswith((".", "_")) for part in entry.path.split("/")):
            yield entry
