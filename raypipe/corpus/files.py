"""Source files opened by URI, one file system for each scheme."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from raypipe.corpus.shards import Shard, UnreadableFile
from raypipe.storage.folder import Entry
from raypipe.storage.retry import open_again, retrying
from raypipe.storage.uris import filesystem, is_remote, local_path, redact

T = TypeVar("T")


@dataclass
class Files:
    """Opens files to read from any position; threads may share it."""

    _systems: dict[str, pafs.FileSystem] = field(default_factory=dict)

    def open(self, uri: str) -> pa.NativeFile:
        """A file to read from any position; its bytes are fetched as they are asked for."""
        system, path = self._find(uri)
        if not is_remote(uri):
            return system.open_input_file(path)
        return open_again(lambda: system.open_input_file(path), what=redact(uri))

    def open_unchanged(self, shard: Shard) -> pa.NativeFile:
        """The file of a shard.

        Raises
        ------
        UnreadableFile
            If it couldn't be read when it was planned, isn't there, can't be opened, or was rewritten since.
        """
        if shard.broken is not None:
            raise UnreadableFile(shard.broken)
        try:
            now = self._fingerprint(shard.uri)
            if now == shard.fingerprint:
                return self.open(shard.uri)
        except OSError as error:
            raise UnreadableFile(f"{shard.uri} can't be opened: {error}") from error
        raise UnreadableFile(
            f"{shard.uri} was rewritten or removed since it was planned ({shard.fingerprint} then, {now} now); "
            "give the same command again to plan anew."
        )

    def _fingerprint(self, uri: str) -> str | None:
        system, path = self._find(uri)
        found = _tried(uri, lambda: system.get_file_info(path))
        if found.type != pafs.FileType.File:
            return None
        return Entry(path, int(found.size), int(found.mtime_ns or 0)).fingerprint

    def _find(self, uri: str) -> tuple[pafs.FileSystem, str]:
        path = local_path(uri)
        scheme, _, rest = uri.partition("://") if path is None else ("file", "", path)
        if scheme not in self._systems:
            self._systems[scheme] = filesystem("/" if path is not None else f"{scheme}://{rest.partition('/')[0]}")[0]
        return self._systems[scheme], rest


def _tried(uri: str, action: Callable[[], T]) -> T:
    return retrying(action, what=redact(uri)) if is_remote(uri) else action()
