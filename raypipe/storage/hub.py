"""Data sets and models of a Hugging Face hub as a file system, read by `huggingface_hub`, at one commit.

A branch moves; so a URI is pinned to the commit that its revision names when a corpus is planned, and every reader
opens that commit. A file's fingerprint is of its content's hash, as the hub has it: a new commit that leaves a file
alone leaves its shards done. The endpoint is HF_ENDPOINT's, the token HF_TOKEN's or the login's; no token is written.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.fs as pafs

from raypipe.storage.retry import retrying

SCHEME = "hf://"
PIN_S = 15.0
"""How long the hub may fail to say which commit a revision is, in seconds."""


def hub_filesystem() -> pafs.FileSystem:
    """The hub's repositories: `datasets/org/name@revision/path`.

    Raises
    ------
    ImportError
        If huggingface_hub isn't installed.
    """
    from huggingface_hub import HfFileSystem

    return pafs.PyFileSystem(_Handler(HfFileSystem(endpoint=_endpoint())))


def pinned(uri: str) -> str:
    """The URI with the commit in place of its revision; a URI of another store, or of a bucket, as it is.

    Raises
    ------
    FileNotFoundError
        If there is no such repository or revision, or it is private and no token opens it.
    OSError
        If the hub can't be reached.
    """
    if not uri.startswith(SCHEME) or uri.startswith(f"{SCHEME}buckets/"):
        return uri
    from huggingface_hub import HfApi

    kind, repository, revision, path = split(uri)
    api = HfApi(endpoint=_endpoint())

    def ask() -> str:
        """One attempt."""
        with _plain_errors():
            return str(api.repo_info(repository, revision=revision, repo_type=kind, timeout=PIN_S).sha)

    commit = retrying(ask, what=uri, limit_s=PIN_S)
    below = f"/{path}" if path else ""
    return f"{SCHEME}{'' if kind == 'model' else f'{kind}s/'}{repository}@{commit}{below}"


def split(uri: str) -> tuple[str, str, str | None, str]:
    """Kind, `org/name`, revision and path of a URI: `hf://datasets/org/name@main/data` and the like.

    Raises
    ------
    ValueError
        If it names no repository.
    """
    parts = uri.removeprefix(SCHEME).strip("/").split("/")
    kind = {"datasets": "dataset", "spaces": "space"}.get(parts[0], "model")
    parts = parts[kind != "model" :]
    if len(parts) < 2 or not all(parts[:2]):
        raise ValueError(f"a URI of the hub must be hf://datasets/ORG/NAME[@REVISION]/PATH, got {uri!r}.")
    name, _, revision = parts[1].partition("@")
    rest = parts[2:]
    if revision == "refs":  # refs/convert/parquet, refs/pr/1: the revisions that have slashes in them
        revision, rest = "/".join(["refs", *rest[:2]]), rest[2:]
    return kind, f"{parts[0]}/{name}", revision.replace("%2F", "/") or None, "/".join(rest)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None  # the library itself looks only once, when it is imported


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What the hub and its network say, as errors of files: who asks tries again where it may pass."""
    from huggingface_hub import errors
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise FileNotFoundError(
            "the hub has no repository of this name, or it is private; check the name, and set HF_TOKEN to a token "
            "that may read it."
        ) from error
    except (errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        what = "revision" if isinstance(error, errors.RevisionNotFoundError) else "file"
        raise FileNotFoundError(f"the repository has no {what} of this name.") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise PermissionError(
                f"the hub refuses to show it ({status}); accept its conditions there, and set HF_TOKEN to a token that "
                "may read it."
            ) from error
        raise OSError(f"the hub answers {status}.") from error
    except Exception as error:
        if isinstance(error, OSError) or "httpx" not in type(error).__module__:
            raise
        where = _endpoint() or "https://huggingface.co"
        raise ConnectionError(f"no answer from {where} ({type(error).__name__}: {error})") from error


class _Handler(pafs.FSSpecHandler):
    """The library's file system for pyarrow, with the hash of a file's content in the place of its time."""

    @staticmethod
    def _create_file_info(path: str, info: dict[str, Any]) -> pafs.FileInfo:
        is_file = info["type"] == "file"
        kind = pafs.FileType.File if is_file else pafs.FileType.Directory
        return pafs.FileInfo(path, kind, size=info["size"] if is_file else None, mtime_ns=_content(info))

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        """What each path is."""
        with _plain_errors():
            return list(super().get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        """What lies below a folder; a hub that fails isn't an empty one."""
        depth = None if selector.recursive else 1
        try:
            with _plain_errors():
                found = self.fs.find(selector.base_dir, maxdepth=depth, withdirs=True, detail=True)
        except FileNotFoundError:
            if selector.allow_not_found:
                return []
            raise
        own = selector.base_dir.strip("/")
        return [self._create_file_info(path, info) for path, info in found.items() if path.strip("/") != own]

    def open_input_stream(self, path: str) -> Any:
        """A file to read from its beginning."""
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> Any:
        """A file to read from any position."""
        import pyarrow as pa

        with _plain_errors():
            return pa.PythonFile(_Readable(self.fs.open(path, mode="rb")), mode="r")


class _Readable:
    """A file of the library whose errors are plain ones."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, n_bytes: int = -1) -> bytes:
        """The next bytes."""
        with _plain_errors():
            return bytes(self._file.read(n_bytes))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _content(info: dict[str, Any]) -> int:
    """62 bits of the hash of a file's content; 0 of a folder."""
    lfs = info.get("lfs") or {}
    digest = str(lfs.get("sha256") or info.get("blob_id") or info.get("xet_hash") or "0")
    return int(digest[:15], 16)
