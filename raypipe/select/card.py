"""The cards of scores and selections: whether a stage is finished, and with which settings."""

import hashlib
import json
from typing import Any

from raypipe.select.selection import Selection
from raypipe.storage.folder import Entry, Folder

CARD = "card.json"
STAGE = "selection"
VERSION = 2
"""Raised whenever the same settings and scores give other bytes."""
Json = dict[str, Any]


def arm_stage(arm: str) -> str:
    """The name of an arm's folder: "random" -> "selection-random"; "selection" stays."""
    return arm if arm == STAGE else f"{STAGE}-{arm}"


def tables(folder: Folder) -> list[Entry]:
    """The Parquet files of a stage in corpus order."""
    return [file for file in folder.files() if file.path.endswith(".parquet")]


def read_card(folder: Folder) -> Json | None:
    """A stage's card, None if there is none.

    Raises
    ------
    ValueError
        If it isn't JSON.
    """
    if not folder.exists(CARD):
        return None
    try:
        return dict(json.loads(folder.read(CARD)))
    except ValueError as error:
        raise ValueError(f"{folder.uri}/{CARD} isn't a card ({error}); remove it to make the stage anew.") from error


def write_card(folder: Folder, card: Json) -> None:
    """Put a stage's card."""
    folder.write(CARD, json.dumps(card, indent=1).encode())


def finished_card(folder: Folder) -> Json:
    """The card of a stage that is finished.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it isn't finished.
    """
    card = read_card(folder)
    if card is None:
        raise FileNotFoundError(f"{folder.uri} has no {CARD}; run the stage that writes it first, or correct the run.")
    if card.get("status") != "finished":
        raise ValueError(
            f"{folder.uri} must be finished before it is read, but is {card.get('status')!r}; "
            "give its command again to go on where it stopped."
        )
    return card


def identity_of(settings: Selection, scores_card: Json, files: list[Entry], *, arm: str) -> Json:
    """Whatever can change a byte of an arm: the settings, the scores' own identity and their files."""
    listing = json.dumps([[file.path, file.size_bytes] for file in files])
    digest = hashlib.sha256(listing.encode()).hexdigest()
    inputs = {"scores_identity": scores_card.get("identity"), "scores_files": digest}
    # Through JSON and back, so that it equals what a card holds.
    return dict(json.loads(json.dumps({**settings.flat(), **inputs, "arm": arm, "version": VERSION})))


def is_done(folder: Folder, identity: Json, *, names: list[str]) -> bool:
    """Whether an arm was finished with this identity and all its files are there."""
    card = read_card(folder)
    is_same = card is not None and card.get("status") == "finished" and card.get("identity") == identity
    return is_same and [file.path for file in tables(folder)] == names
