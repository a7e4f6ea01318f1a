"""What a URI names: a path of this machine, or a place in a store, and the file system behind it."""

import os
import re
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from raypipe.storage.hub import hub_filesystem

_CREDENTIALS = re.compile(
    r"://[^/@]*:[^/@]*@|\?(.*&)?[\w.-]*(key|secret|token|password|sig|credential)[\w.-]*=", re.IGNORECASE
)
_IN_TEXT = (
    (re.compile(r"(\w://)[^/@\s'\"]*@"), r"\1"),
    (
        re.compile(r"([?&][\w.-]*(?:key|secret|token|password|sig|credential)[\w.-]*=)[^&\s'\"]*", re.IGNORECASE),
        r"\1...",
    ),
    (re.compile(r"\bhf_[A-Za-z0-9]{12,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|(?<=Bearer )\S+"), "..."),
)
"""What looks like a secret inside a longer text, and what is left of it."""
T = TypeVar("T")


def is_remote(uri: str) -> bool:
    """Whether the URI names something else than a local path."""
    return "://" in uri and not uri.startswith("file://")


def redact(value: T) -> T:
    """A URI, or a sequence of them, without user names, passwords and queries, which may hold secrets."""
    if isinstance(value, (list, tuple)):
        return type(value)(redact(item) for item in value)
    if not isinstance(value, str) or "://" not in value:
        return value
    return re.sub(r"://[^/@]*@", "://", value).split("?")[0]  # type: ignore


def redact_text(text: str) -> str:
    """A message, or a traceback, without the user names, passwords and tokens of URIs and of stores in it."""
    for pattern, rest in _IN_TEXT:
        text = pattern.sub(rest, text)
    return text


def normalise(uri: str) -> str:
    """The URI with its scheme, absolute, without a trailing slash: `runs/a/` -> `file:///.../runs/a`."""
    if is_remote(uri):
        return uri.rstrip("/")
    path = unquote(urlsplit(uri).path) if uri.startswith("file://") else os.path.expanduser(uri)
    return "file://" + quote(os.path.abspath(path))


def local_path(uri: str) -> str | None:
    """The path of a `file:` URI on this machine, None for any other."""
    return None if is_remote(uri) else unquote(urlsplit(normalise(uri)).path)


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system behind a URI and the path inside it.

    Raises
    ------
    ValueError
        If the scheme is unknown, its library isn't installed, or the URI holds credentials.
    """
    if is_remote(uri) and _CREDENTIALS.search(uri):
        raise ValueError(
            f"a URI must not hold credentials, got some in {redact(uri)!r}; give them by the environment, a profile or "
            "a role, as the store's own tools want it."
        )
    try:
        if local_path(uri) is not None:
            return pafs.LocalFileSystem(), str(local_path(uri))
        if uri.startswith("s3://"):
            return _s3(), uri.removeprefix("s3://").rstrip("/")
        if uri.startswith("hf://"):
            return hub_filesystem(), uri.removeprefix("hf://").rstrip("/")
        system, path = pafs.FileSystem.from_uri(normalise(uri))
    except (pa.ArrowInvalid, ImportError) as error:
        raise ValueError(
            f"{uri!r} can't be opened: {error}. Known are paths, file://, s3://, gs:// and hf://."
        ) from error
    return system, path


def s3_endpoint() -> str | None:
    """The URL of an S3 store that isn't Amazon's; None if it is.

    What is written to another store is sent without the checksums that Amazon's libraries put behind a body sent in
    chunks: a store that doesn't know them writes them into the object, and a lock or a file can't be read again. The
    environment's own AWS_REQUEST_CHECKSUM_CALCULATION=when_supported brings them back.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")  # both libraries look there only
    return endpoint


def _s3() -> pafs.FileSystem:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = s3_endpoint()  # pyarrow itself looks at it only when it is given a URI
    return pafs.S3FileSystem(region=region, endpoint_override=endpoint, connect_timeout=10, request_timeout=30)


def glob_root(pattern: str) -> tuple[str, str]:
    """A URI with wildcards as the folder above the first one and the pattern below it; no wildcard: ("uri", "")."""
    for position, part in enumerate(parts := pattern.split("/")):
        if any(sign in part for sign in "*?["):
            return "/".join(parts[:position]), "/".join(parts[position:])
    return pattern, ""
