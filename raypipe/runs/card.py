"""A stage's card: what its files are, what they cost, and whether the same command may go on with them."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from raypipe.runs.names import nearest
from raypipe.storage.folder import Entry, Folder

CARD = "card.json"
FORMAT = 2
"""Of cards and of what they promise about their files; raised when an older stage can't be gone on with."""
PACKAGES = ("raypipe", "ray", "torch", "transformers", "tokenizers", "pyarrow", "numpy")
Json = dict[str, Any]


class IdentityChanged(ValueError):
    """The stage's files were made with other settings, by a model: redoing them must be asked for."""


@dataclass(frozen=True)
class Difference:
    """A setting that is part of a stage's identity and isn't what it was."""

    setting: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.setting} was {self.before!r} and is now {self.now!r}"


def differences(before: Json, now: Json) -> list[Difference]:
    """The settings that differ, by name; one that is missing on a side counts as None."""
    names = sorted(before.keys() | now.keys())
    return [Difference(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]


def check_identity(stage: str, card: Json | None, identity: Json) -> None:
    """Refuse to go on with files of other settings.

    Raises
    ------
    IdentityChanged
        With each setting, both values, and the two ways on; or with the version that wrote an older card.
    """
    if card is not None and card.get("format") != FORMAT:
        raise IdentityChanged(
            f"stage {stage!r} of this run was made by {_writer(card)}, and this one goes on with cards of format "
            f"{FORMAT} only. Keep it and write beside it with --name NEW, or redo it with --restart {stage} "
            f"(throws away {device_hours(card):.2f} device-hours of work)."
        )
    if card is None or not (changed := differences(card["identity"], json.loads(json.dumps(identity)))):
        return
    spent = device_hours(card)
    raise IdentityChanged(
        f"stage {stage!r} of this run was made with other settings: {'; '.join(map(str, changed))}. "
        f"Keep it and write beside it with --name NEW, or redo it with --restart {stage} "
        f"(throws away {spent:.2f} device-hours of work)."
    )


def _writer(card: Json) -> str:
    version = card.get("versions", {}).get("raypipe", "of unknown version")
    return f"raypipe {version} in format {card.get('format', 1)}"


def identity_hash(identity: Json) -> str:
    """Sixteen hexadecimal digits that two identities share only if they are equal, once both are JSON."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def device_hours(card: Json) -> float:
    """Hours that workers spent computing what the stage's files hold."""
    return float(card.get("times", {}).get("busy_s", 0.0)) / 3600


def read_card(folder: Folder) -> Json | None:
    """The card of a stage, None if it has none.

    Raises
    ------
    ValueError
        If it isn't JSON.
    """
    try:
        content = folder.read(CARD)
    except FileNotFoundError:
        return None
    try:
        return dict(json.loads(content))
    except ValueError as error:
        raise ValueError(f"{folder.uri}/{CARD} isn't a card ({error}); remove it to make the stage anew.") from error


def stages_of(run: Folder) -> list[str]:
    """The stages of a run: its folders that have a card."""
    names = [entry.path for entry in run.files(recursive=True)]
    return sorted(name.removesuffix(f"/{CARD}") for name in names if name.endswith(f"/{CARD}"))


def finished_card(run: Folder, stage: str) -> Json:
    """The card of a stage that is finished.

    Raises
    ------
    FileNotFoundError
        If the run has no such stage, with the nearest.
    ValueError
        If it isn't finished, or an older raypipe has written it.
    """
    if (card := read_card(run / stage)) is None:
        raise FileNotFoundError(f"{run.uri} has no stage {stage!r}; {nearest(stage, stages_of(run))}.")
    if card.get("status") != "finished":
        raise ValueError(
            f"{run.uri}/{stage} must be finished before it is read, but is {card.get('status')!r}; "
            "give its command again to go on where it stopped."
        )
    return card


def tables(folder: Folder) -> list[Entry]:
    """The Parquet files of a stage in corpus order."""
    return [file for file in folder.files() if file.path.endswith(".parquet")]


def write_card(folder: Folder, card: Json) -> None:
    """Put the card in one step."""
    folder.write(CARD, json.dumps(card, indent=1, sort_keys=False).encode())


def versions() -> dict[str, str]:
    """What could change a byte of a result without any setting changing."""
    return {name: metadata.version(name) for name in PACKAGES}


def now() -> str:
    """The time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
