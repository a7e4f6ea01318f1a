"""Which files of a Delta table are its rows at one version: what its log lists, and nothing that it has removed.

The log is read by `deltalake` (extra `delta`); the files are Parquet and are read as all others are. A table is a
folder with `_delta_log`; `TABLE@v12` is its version 12. Its files never change: the shards' names pin the version.
Refused are tables whose files hold more, or otherwise named, than what their rows are: those with deletion vectors,
mapped columns, or another feature of readers that isn't known here.
Source: github.com/delta-io/delta, PROTOCOL.md, "Reader Requirements" and "Valid Feature Names in Table Features".
"""

import os
import re
from urllib.parse import unquote

import pyarrow as pa

from raypipe.corpus.partitions import partitions
from raypipe.storage.hub import SCHEME
from raypipe.storage.retry import retrying
from raypipe.storage.uris import filesystem, is_remote, redact

LOG = "_delta_log"
HARMLESS = {"timestampNtz", "vacuumProtocolCheck", "v2Checkpoint"}
"""Features of readers that leave what a file's rows are as it is."""
_VERSION = re.compile(r"(.+)@v([0-9]{1,18})")


def split_version(uri: str) -> tuple[str, int | None]:
    """`TABLE@v12` as the folder and the version; None: the newest."""
    found = _VERSION.fullmatch(uri)
    return (found[1], int(found[2])) if found else (uri, None)


def is_table(uri: str) -> bool:
    """Whether a folder is a Delta table."""
    system, path = filesystem(uri)
    found = retrying(lambda: system.get_file_info(f"{path.rstrip('/')}/{LOG}"), what=redact(uri))
    return bool(found.type.name == "Directory")


def files_of(uri: str, version: int | None) -> set[str]:
    """Paths in the table of the files that are its rows.

    Raises
    ------
    ImportError
        If deltalake isn't installed.
    ValueError
        If the log can't be read, has no such version, or asks more of a reader than we do.
    """
    if uri.startswith(SCHEME):
        raise ValueError(f"{uri} is a Delta table, whose log isn't read from a hub; download it, or name its files.")
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError as error:
        raise ImportError(
            f"{uri} is a Delta table; reading its log needs deltalake: pip install 'raypipe[delta]'."
        ) from error
    try:
        table = DeltaTable(uri, version=version, storage_options=_options(uri))
        found = pa.table(table.get_add_actions(flatten=False))
        asked, settings = table.protocol(), table.metadata()
    except (DeltaError, OSError, ValueError) as error:
        which = "" if version is None else f", version {version},"
        raise ValueError(f"the log of the Delta table {redact(uri)}{which} can't be read: {error}") from error
    _refuse_what_is_more(uri, set(asked.reader_features or ()), dict(settings.configuration))
    return {_path(uri, one, list(settings.partition_columns)) for one in found["path"].to_pylist()}


def _refuse_what_is_more(uri: str, features: set[str], settings: dict[str, str]) -> None:
    mapped = settings.get("delta.columnMapping.mode", "none") != "none"
    more = sorted(features - HARMLESS | ({"columnMapping"} if mapped else set()))
    if more:
        raise ValueError(
            f"the Delta table {redact(uri)} has {', '.join(more)}: its files alone aren't its rows. Rewrite it without "
            "(REORG TABLE ... APPLY (PURGE), then drop the feature), or write what you need of it as Parquet."
        )


def _path(uri: str, logged: str, by: list[str]) -> str:
    """The path on disk of a file as the log has it; what it is partitioned by must be in it, where readers look."""
    path = unquote(logged)
    if "://" in path or path.startswith("/"):
        raise ValueError(
            f"the Delta table {redact(uri)} has files elsewhere, such as {redact(path)}; name that folder."
        )
    if missing := [name for name in by if name not in partitions(path)]:
        raise ValueError(
            f"the Delta table {redact(uri)} is partitioned by {', '.join(missing)}, which the path {path} doesn't give."
        )
    return path


def _options(uri: str) -> dict[str, str] | None:
    """What the library must be told beside the environment: that a store without TLS is meant."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if not is_remote(uri) or not endpoint:
        return None
    return {"AWS_ENDPOINT_URL": endpoint, **({"AWS_ALLOW_HTTP": "true"} if endpoint.startswith("http://") else {})}
