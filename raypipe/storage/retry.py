"""Remote stores fail for a while: what may pass is tried again for two minutes, a read in the middle of a file too."""

import errno
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import pyarrow as pa

RETRY_S = 120.0
"""How long a remote store may fail before we give up, in seconds."""

_LASTING = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EROFS,
}
_REFUSED = re.compile(
    r"NOT_FOUND|ACCESS_DENIED|AccessDenied|NO_SUCH_BUCKET|NoSuchBucket|INVALID_ACCESS_KEY_ID|InvalidAccessKeyId|"
    r"SIGNATURE_DOES_NOT_MATCH|SignatureDoesNotMatch|Unable to locate credentials"
)
T = TypeVar("T")


def retrying(action: Callable[[], T], *, what: str, limit_s: float | None = None) -> T:
    """The action's result, tried again with growing pauses while the store fails in a way that may pass.

    Raises
    ------
    OSError
        What the store says, and of which file or folder (`what`), after RETRY_S or limit_s; at once where another try
        would meet the same.
    """
    started, pause_s = time.monotonic(), 0.2
    deadline = started + (RETRY_S if limit_s is None else limit_s)
    while True:
        try:
            return action()
        except OSError as error:
            if is_lasting(error):
                raise
            if time.monotonic() + pause_s > deadline:
                tried_s = time.monotonic() - started
                raise OSError(error.errno or 0, f"{what}: {error} (tried again for {tried_s:.0f} s)") from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 10.0)


def is_lasting(error: OSError) -> bool:
    """Whether another try would meet the same; stores behind fsspec give the type of an error without its number."""
    by_type = isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError)
    return by_type or error.errno in _LASTING or bool(_REFUSED.search(str(error)))


class _Reopened:
    """The bytes of a remote file, from any position; where a read fails the file is opened anew."""

    def __init__(self, open_file: Callable[[], pa.NativeFile], what: str) -> None:
        self._open, self._what, self._position, self.closed = open_file, what, 0, False
        self._file: pa.NativeFile | None = retrying(open_file, what=what)
        self._size: int = self._file.size()

    def read(self, n_bytes: int | None = -1) -> bytes:
        """The next bytes."""
        left = max(0, self._size - self._position)
        wanted = left if n_bytes is None or n_bytes < 0 else min(n_bytes, left)
        found: bytes = retrying(lambda: self._read(wanted), what=self._what) if wanted else b""
        self._position += len(found)
        return found

    def _read(self, n_bytes: int) -> bytes:
        if self._file is None:
            self._file = self._open()
            if self._file.size() != self._size:
                raise FileNotFoundError(f"{self._what} was rewritten while it was read")
        try:
            found = bytes(self._file.read_at(n_bytes, self._position))
        except OSError:
            with suppress(OSError):
                self._file.close()
            self._file = None
            raise
        if len(found) < n_bytes:
            raise OSError(f"{len(found)} of {n_bytes} bytes came")
        return found

    def seek(self, position: int, whence: int = 0) -> int:
        """Set the position, from the beginning, here or the end."""
        self._position = position + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def close(self) -> None:
        """Let the file go."""
        self.closed = True
        if self._file is not None:
            self._file.close()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It isn't."""
        return False

    def flush(self) -> None:
        """Nothing is held."""


def open_again(open_file: Callable[[], pa.NativeFile], *, what: str) -> pa.NativeFile:
    """A remote file to read from any position; opening it and each read are tried again, as `retrying` does."""
    return pa.PythonFile(_Reopened(open_file, what), mode="r")
