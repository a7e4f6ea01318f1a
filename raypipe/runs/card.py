"""A stage's card: what its files are, what they cost, and whether the same command may go on with them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from raypipe.storage.folder import Folder

CARD = "card.json"
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
        With each setting, both values, and the two ways on.
    """
    if card is None or not (changed := differences(card["identity"], json.loads(json.dumps(identity)))):
        return
    spent = device_hours(card)
    raise IdentityChanged(
        f"stage {stage!r} of this run was made with other settings: {'; '.join(map(str, changed))}. "
        f"Keep it and write beside it with --name NEW, or redo it with --restart {stage} "
        f"(throws away {spent:.2f} device-hours of work)."
    )


def device_hours(card: Json) -> float:
    """Hours that workers spent computing what the stage's files hold."""
    return float(card.get("times", {}).get("busy_s", 0.0)) / 3600


def read_card(folder: Folder) -> Json | None:
    """The card of a stage, None if it has none."""
    try:
        card: Json = json.loads(folder.read(CARD))
    except FileNotFoundError:
        return None
    return card


def write_card(folder: Folder, card: Json) -> None:
    """Put the card in one step."""
    folder.write(CARD, json.dumps(card, indent=1, sort_keys=False).encode())


def versions() -> dict[str, str]:
    """What could change a byte of a result without any setting changing."""
    return {name: metadata.version(name) for name in PACKAGES}


def now() -> str:
    """The time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
