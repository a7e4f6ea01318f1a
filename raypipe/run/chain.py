"""A chain: steps in order, each a committed stage of its own, of which later ones read what earlier ones made.

Weak-to-strong learning, distillation, rounds of pruning or of pseudo-labels are lists of links. What a link has to do
is planned when all that it reads is committed, so its size may depend on that. A link is finished when its card says
so. The digests of what it made are part of the identity of those that read it: the same command goes on with the first
link that isn't finished, and nobody goes on with what another teacher has taught. Nothing here looks into a link, and
nothing loads Ray before the first training that is left to do.
"""

import hashlib
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from raypipe.runs import card as cards
from raypipe.runs.card import IdentityChanged, Json
from raypipe.runs.lock import LockLost
from raypipe.runs.names import checked_stage, nearest
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import at_work
from raypipe.storage.folder import Entry, Folder
from raypipe.train.loop.journal import busy_s

if TYPE_CHECKING:
    from raypipe.contracts.op import Pool
    from raypipe.run.training import Training

CHUNK_BYTES = 1 << 22
SAID_AS = (IdentityChanged, ValueError, KeyError, FileNotFoundError, OSError)
"""What a failure stays when it gets its link's name; all else becomes a RuntimeError."""


@dataclass(frozen=True)
class Step:
    """What a link has to do."""

    identity: Json
    """Whatever can change a byte of what it makes, but for what it reads, which the chain adds."""
    work: Callable[[Json, threading.Event], None]
    """Makes the files, from where a killed one left off if it can. It is given the card, for counts and times, and the
    event at which it shall raise Stopped."""
    kind: str = "step"
    """Of the card."""
    scrap: str | None = None
    """A folder of the link's that is of no use once it is finished."""


@dataclass(frozen=True)
class Link:
    """A step by its name."""

    name: str
    """Of its folder in the chain's; parts may be set apart by slashes: `seed-0/weak`."""
    plan: Callable[[Folder, Mapping[str, Folder]], Step]
    """From its own folder and those that it reads, by their links' names; called once these are finished."""
    reads: tuple[str, ...] = ()
    """Links before it."""
    gives: tuple[str, ...] = ()
    """Files and folders of its own that others may read."""


@dataclass(frozen=True)
class Chain:
    """Links in the order in which they are worked on."""

    stage: str
    """The stage of the run that holds them all."""
    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        """Check that every link finds what it reads, and has its folder for itself.

        Raises
        ------
        ValueError
            With the link's name.
        """
        before: dict[str, Link] = {}
        for link in self.links:
            for part in link.name.split("/"):
                checked_stage(part)
            if near := [name for name in before if _is_within(link.name, name) or _is_within(name, link.name)]:
                raise ValueError(f"a link must have a folder of its own, got {link.name!r} beside {near[0]!r}.")
            for name in link.reads:
                if name not in before:
                    raise ValueError(f"{link.name!r} must read links before it, got {name!r}; {nearest(name, before)}.")
                if not before[name].gives:
                    raise ValueError(f"{link.name!r} reads {name!r}, which gives nothing to others.")
            before[link.name] = link


def run_chain(chain: Chain, folder: Folder, stopping: threading.Event) -> int:
    """Work on the links that aren't finished, in a folder a link; how many these were.

    Raises
    ------
    Stopped
        If `stopping` was set; the same call goes on.
    IdentityChanged
        If a link was made by other settings, or of something else than what is there now.
    ValueError, OSError, RuntimeError
        At the first link that fails, with its name; those before it stay.
    """
    made: dict[str, str] = {}
    n_worked = 0
    for number, link in enumerate(chain.links, start=1):
        try:
            n_worked += _run_link(chain, link, folder, made, stopping, place=f"{number} of {len(chain.links)}")
            if link.gives:
                made[link.name] = _digest(chain, folder / link.name)
        except (Stopped, LockLost):
            raise
        except Exception as error:
            raise _named(error, f"{link.name!r} of {chain.stage}") from error
    return n_worked


def training_step(training: "Training", *, n_workers: int, pool: "Callable[[], Pool]", max_failures: int) -> Step:
    """A training as a step: it goes on from its last checkpoint, and keeps none once it is finished.

    `pool` is asked for the workers' resources when there is something to train.
    """

    def work(card: Json, stopping: threading.Event) -> None:
        """Train to the end."""
        from raypipe.run.trainer import fit  # not before: to find nothing to do needs neither Ray nor torch

        print(f"{training.folder.uri.rsplit('/', 1)[-1]}: {training.plan.n_steps:,} steps", file=sys.stderr)
        card["running"] = {"workers": n_workers}
        try:
            state = fit(training, n_workers=n_workers, pool=pool(), max_failures=max_failures, stopping=stopping)
        finally:
            card["times"]["busy_s"] = busy_s(training.folder / "metrics", n_workers=n_workers)
        card["counts"] = asdict(state) | {"tokens": state.size}

    return Step(training.identity, work, kind="train", scrap="checkpoints")


def _run_link(
    chain: Chain, link: Link, folder: Folder, made: Mapping[str, str], stopping: threading.Event, *, place: str
) -> bool:
    """Work on a link unless it is finished; whether there was anything to do."""
    own = folder / link.name
    step = link.plan(own, {name: folder / name for name in link.reads})
    identity = step.identity | {f"reads {name}": made[name] for name in link.reads}
    card = cards.read_card(own)
    cards.check_identity(chain.stage, card, identity)
    is_finished = card is not None and card["status"] == "finished"
    if not is_finished:
        if stopping.is_set():
            raise Stopped(f"stopped before {link.name!r} of {chain.stage}; go on with the same command.")
        print(f"{chain.stage}, {place}: {link.name}", file=sys.stderr)
        with at_work(own, {"stage": chain.stage, "link": link.name, "kind": step.kind, "identity": identity}) as noted:
            step.work(noted, stopping)
            noted["made"] = _made(own, link.gives)
    if step.scrap is not None:
        (own / step.scrap).remove()  # here too, where a kill came between the card and this
    return not is_finished


def _named(error: Exception, where: str) -> Exception:
    """The same failure, said with the link's name, and as wrong input only where it was that."""
    words = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    kind = next((kind for kind in SAID_AS if isinstance(error, kind)), RuntimeError)
    if isinstance(error, KeyError) and " " not in words:  # no sentence for a user: our mistake
        kind, words = RuntimeError, f"KeyError: {words}"
    return kind(f"{where}: {words or type(error).__name__}")


def _is_within(name: str, other: str) -> bool:
    return name == other or name.startswith(f"{other}/")


def _made(own: Folder, gives: tuple[str, ...]) -> Json:
    """Size and digest of each file that is given, by its path.

    Raises
    ------
    RuntimeError
        If one isn't there.
    """
    files = own.files(recursive=True)
    found: dict[str, Entry] = {}
    for name in gives:
        given = {entry.path: entry for entry in files if _is_within(entry.path, name)}
        if not given:
            raise RuntimeError(f"it should have made {name!r}, and hasn't.")
        found |= given
    return {path: {"size_bytes": entry.size_bytes, "sha256": _sha256(own, path)} for path, entry in found.items()}


def _sha256(folder: Folder, name: str) -> str:
    digest = hashlib.sha256()
    with folder.open(name) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _digest(chain: Chain, own: Folder) -> str:
    """Of what a finished link gives, from its card.

    Raises
    ------
    ValueError
        If a file is gone or has another size; content is compared by size alone, as models are large.
    """
    made = (cards.read_card(own) or {}).get("made", {})
    there = {entry.path: entry.size_bytes for entry in own.files(recursive=True)}
    for path, file in made.items():
        if there.get(path) != file["size_bytes"]:
            seen = "is gone" if path not in there else f"has {there[path]:,} bytes"
            raise ValueError(
                f"{path} must be as it was made, of {file['size_bytes']:,} bytes, but {seen}; "
                f"do all again with --restart {chain.stage}."
            )
    return cards.identity_hash({path: file["sha256"] for path, file in made.items()})
