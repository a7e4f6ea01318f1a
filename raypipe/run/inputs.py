"""What an Op reads: columns of the corpus, and `stage.column` of finished stages of the run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import pyarrow.parquet as pq

from raypipe.columns import ID, PLACE, REASON, SOURCE, TEXT_HASH
from raypipe.corpus import Corpus, Known, Plan, Shard, load, plan_shards, save
from raypipe.corpus.shards import output_name
from raypipe.corpus.stages import Files, Joined, Listed, Mismatch, Reads, with_inputs
from raypipe.runs.card import Json, finished_card, identity_hash, tables
from raypipe.storage.folder import Folder

INPUTS = "inputs.arrow"
"""In a stage's folder: the files that it was made of, and how they were cut."""

_STAGE = "stage "
"""How the settings in an identity begin that name a stage which is read."""

_OF_EACH = (ID, TEXT_HASH, REASON)
"""Columns that an Op gets without asking."""


@dataclass(frozen=True)
class Inputs:
    """What an Op's `reads` come to in a run."""

    run: Folder | None = None
    stages: tuple[Reads, ...] = ()
    source_columns: tuple[str, ...] = ()
    cards: Mapping[str, Json] = field(default_factory=dict)
    """Of the stages, by name."""
    has_place: bool = False
    """Whether columns.PLACE are read."""

    @property
    def identity(self) -> Json:
        """What a stage's identity gets from the stages that it reads: a change of theirs is one of its own."""
        found: Json = {f"{one.stage}.{column}": "read" for one in self.stages for column in one.columns}
        return found | {f"{_STAGE}{name}": identity_hash(card["identity"]) for name, card in self.cards.items()}

    def joined(self, corpus: Corpus, *, part_rows: int) -> Joined:
        """The reader of shards."""
        return Joined(corpus, part_rows, self.stages, self.source_columns, self.has_place)

    def known(self) -> Known:
        """What planning found out when the first of the stages was made."""
        return load(self.stages[0].folder, INPUTS) if self.stages else Known()

    def files(self, plan: Plan) -> Iterator[tuple[Shard, Files]]:
        """The shards of a plan, each with the stages' files that belong to it.

        Raises
        ------
        ValueError
            If a stage was made of other files than the corpus has now, or cut otherwise, or has no file for a shard.
        """
        listings = {one.stage: Listed.of(one.stage, one.folder) for one in self.stages}
        for one in self.stages:
            _check_same(one.stage, load(one.folder, INPUTS), plan.known)
            _check_fresh(self.run, listings[one.stage], self.cards[one.stage], plan)
        yield from with_inputs(plan.shards, list(listings.values()))


@dataclass(frozen=True)
class Sizes:
    """How a corpus is cut; fixed in the card at the first start."""

    shard_bytes: int
    """Of text or JSON lines."""
    part_rows: int
    """Rows of a part of a compressed stream."""


def stages_of(columns: Sequence[str]) -> tuple[str, ...]:
    """The stages that are named before the dot of each column.

    Raises
    ------
    ValueError
        If a column has none.
    """
    if bare := [name for name in columns if "." not in name]:
        raise ValueError(f"columns are named STAGE.COLUMN, got {bare[0]!r}.")
    return tuple(dict.fromkeys(name.partition(".")[0] for name in columns))


def sizes_of(run: Folder, stage: str) -> Sizes:
    """How a finished stage was cut, as its card says.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none, it isn't finished, or its files aren't those of shards.
    """
    identity = finished_card(run, stage)["identity"]
    if not {"shard_bytes", "part_rows"} <= identity.keys():
        raise ValueError(f"stage {stage!r} of {run.uri} can't be read beside a corpus: it isn't a file for each shard.")
    return Sizes(identity["shard_bytes"], identity["part_rows"])


def planned(corpus: Corpus, sizes: Sizes, inputs: Inputs, folder: Folder) -> tuple[Plan, dict[str, Files]]:
    """The plan of a corpus, and for the key of each shard the stages' files that are read beside it.

    What planning found out is kept in the stage's folder. No file of a stage is opened.

    Raises
    ------
    ValueError
        If a stage was made of other files than the corpus has now, or cut otherwise, or has no file for a shard.
    """
    known = load(folder, INPUTS)
    looked_up = known if known.settings else inputs.known()
    plan = plan_shards(corpus, shard_bytes=sizes.shard_bytes, part_rows=sizes.part_rows, known=looked_up)
    beside = list(inputs.files(plan)) if inputs.stages else []
    if plan.known != known:
        save(plan.known, folder, INPUTS)
    shards = [shard for shard, _ in beside] if inputs.stages else plan.shards
    # what is known is saved: for a million files it would take a quarter of a gigabyte
    return replace(plan, shards=shards, known=Known()), {shard.key: files for shard, files in beside}


def resolve(run: Folder, reads: Sequence[str], *, stages: Sequence[str] = ()) -> Inputs:
    """What an Op that reads these columns needs; a name before a dot is one of `stages`, if it is among them.

    Raises
    ------
    FileNotFoundError
        If the run has no such stage.
    KeyError
        If a column is in none of them, with the nearest.
    ValueError
        If a stage isn't finished, or nothing of it is read.
    """
    cards = {name: finished_card(run, name) for name in stages}
    columns = {name: _columns(run / name) for name in stages}
    known = [*SOURCE.names, *PLACE.names, *(f"{name}.{column}" for name in stages for column in columns[name])]
    for name in reads:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {known}."
            raise KeyError(f"no column {name!r} of the corpus or of the stages {list(stages)} can be read; {hint}")
    wanted = {name: tuple(c for c in columns[name] if f"{name}.{c}" in reads) for name in stages}
    if unread := [name for name, found in wanted.items() if not found]:
        raise ValueError(f"nothing is read of stage {unread[0]!r}; leave it out, or name a column of it.")
    return Inputs(
        run,
        tuple(Reads(name, run / name, wanted[name]) for name in stages),
        tuple(name for name in SOURCE.names if name in reads and name not in _OF_EACH),
        cards,
        any(name in reads for name in PLACE.names),
    )


def _columns(folder: Folder) -> list[str]:
    """The columns of a stage's files, by the first of them."""
    for entry in tables(folder)[:1]:
        with folder.open(entry.path) as file:
            return list(pq.ParquetFile(file).schema_arrow.names)
    return []


def _check_same(stage: str, then: Known, now: Known) -> None:
    if then.settings != now.settings:
        raise Mismatch(
            f"stage {stage!r} was made of another corpus or cut otherwise: {then.settings or 'nothing is known of it'} "
            f"then, {now.settings} now; give the same --corpus and columns, or its command again."
        )
    prints = {path: fingerprint for path, (fingerprint, _) in then.files.items()}
    for path, (fingerprint, _) in now.files.items():
        if prints.pop(path, None) != fingerprint:
            raise Mismatch(f"stage {stage!r} was made before {path} changed or came; give its command again first.")
    if prints:
        raise Mismatch(f"stage {stage!r} was made when {min(prints)} was there; give its command again first.")


def _check_fresh(run: Folder | None, listed: Listed, card: Json, plan: Plan) -> None:
    """See that what a stage was itself made of is what lies there: its files' names say of which files they are."""
    below = [name.removeprefix(_STAGE) for name in card["identity"] if name.startswith(_STAGE)]
    if run is None or not below:
        return
    beneath = [Listed.of(name, run / name) for name in below]
    for shard, _ in with_inputs(plan.shards, beneath):
        for name, _ in listed.of_shard(shard):
            if (found := output_name(name)) is None or found.inputs != shard.inputs:
                raise Mismatch(
                    f"stage {listed.stage!r} was made before files of {', '.join(below)} of {shard.path} were written "
                    "again; give its command again first."
                )
