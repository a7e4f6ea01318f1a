"""A stage while it is worked on: its card says so, and afterwards how it ended, whatever happened."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from raypipe.runs import card as cards
from raypipe.runs.card import Json
from raypipe.runs.lock import LockLost
from raypipe.runs.signals import Stopped
from raypipe.storage.folder import Folder
from raypipe.storage.uris import redact_text

log = logging.getLogger(__name__)
RUNNING, FINISHED, INCOMPLETE, FAILED = "running", "finished", "incomplete", "failed"
MAX_WHY = 2000


@contextmanager
def at_work(folder: Folder, card: Json, *, put: Callable[[Json], None] | None = None) -> Iterator[Json]:
    """The card, put as "running" before the first file, for files without a card would have no identity.

    It ends as "finished", or as the block says; as "incomplete" when the job was asked to stop; else as "failed" with
    the reason under `why`. A driver that has lost the run to another one writes no card. `put` writes it otherwise.
    """
    put = put or partial(cards.write_card, folder)
    card.pop("why", None)
    card |= {"status": RUNNING, "format": cards.FORMAT}
    card.setdefault("versions", cards.versions())
    card.setdefault("times", {}).setdefault("started", cards.now())
    put(card)
    try:
        yield card
    except BaseException as error:
        if not isinstance(error, LockLost):
            _put_last(put, card, error)
        raise
    card["status"] = FINISHED if card["status"] == RUNNING else card["status"]
    card["times"]["finished"] = cards.now()
    put(card)


def ended_by(error: BaseException) -> Json:
    """What a card or run.json says of an end by an exception."""
    why = redact_text(str(error.args[0] if isinstance(error, KeyError) and error.args else error))
    kind = "" if isinstance(error, (RuntimeError, ValueError, OSError)) else f"{type(error).__name__}: "
    status = INCOMPLETE if isinstance(error, Stopped) else FAILED
    return {"status": status, "why": (kind + why)[:MAX_WHY] or type(error).__name__}


def _put_last(put: Callable[[Json], None], card: Json, error: BaseException) -> None:
    """Put a card without hiding what the stage has ended by."""
    card["times"]["finished"] = cards.now()
    card |= ended_by(error)
    try:
        put(card)
    except (OSError, RuntimeError) as problem:
        log.warning("can't write the card of a stage that has failed: %s", problem)
