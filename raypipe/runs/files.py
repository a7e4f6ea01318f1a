"""Whether a stage's files are those that its card speaks of: each Parquet file names the identity it was made by."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import pyarrow.parquet as pq

from raypipe.runs.card import FORMAT, Json, identity_hash
from raypipe.storage.folder import Entry, Folder

FILE_IDENTITY = b"raypipe.identity"
"""Key of a Parquet file's metadata that holds the `identity_hash` of the card it belongs to."""


def file_identity(identity: Json) -> dict[bytes, bytes]:
    """What a Parquet file's metadata says of the identity of its card."""
    return {FILE_IDENTITY: identity_hash(identity).encode()}


def check_file(metadata: Mapping[bytes, bytes] | None, card: Json | None, *, where: str) -> None:
    """Refuse a file that another writer than its card's has put; no card: nothing is promised.

    Raises
    ------
    ValueError
        If it was made by other settings, or by an older raypipe.
    """
    if card is None:
        return
    found, wanted = (metadata or {}).get(FILE_IDENTITY), identity_hash(card["identity"]).encode()
    if card.get("format") != FORMAT or found != wanted:
        raise ValueError(
            f"{where} was made by other settings ({(found or b'?').decode()}) than the card beside it speaks of "
            f"({wanted.decode()}); make stage {card.get('stage')!r} again."
        )


def are_own(folder: Folder, files: Sequence[Entry], card: Json) -> bool:
    """Whether all Parquet files are those of the card; the footers are read only if the listing isn't what it was."""
    if card.get("listing") == listing_digest(files):
        return True
    try:
        for file in files:
            with folder.open(file.path) as source:
                check_file(pq.read_metadata(source).metadata, card, where=file.path)
    except ValueError:
        return False
    return True


def listing_digest(files: Sequence[Entry]) -> str:
    """Of the names, sizes and times of files: equal only if none was put since."""
    listed = json.dumps([[file.path, file.fingerprint] for file in files])
    return hashlib.sha256(listed.encode()).hexdigest()[:16]
