"""Finding duplicates: keys beside each row, links between rows that share one, clusters of links, and marks."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.contracts.linker import Linker
from raypipe.contracts.op import Op
from raypipe.corpus import Corpus
from raypipe.run.inputs import Sizes, stages_of
from raypipe.runs.card import Json, finished_card, identity_hash, read_card, tables
from raypipe.runs.files import listing_digest
from raypipe.runs.life import Life
from raypipe.runs.stage import at_work
from raypipe.select.dedup.chosen_rows import ChosenRows, rows_file
from raypipe.select.dedup.clusters import Clusters, Keep, clusters_of
from raypipe.select.dedup.marks import EMPTY, MARKS, PARTS, marks_table, write_marks
from raypipe.select.dedup.shared_keys import REPEATED
from raypipe.select.dedup.unit_marks import FIRST_FILE, REPEATED_FILE
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .common import RunSettings, row_workers

if TYPE_CHECKING:
    from raypipe.run.links import LinkStage

Names = Callable[[str], str]
KEYS, LINKS, CLUSTERS, MARKED = "keys", "links", "clusters", "duplicates"
MEMBERS, KEPT = "members", "kept"
FOLDED = (KEYS, LINKS, MEMBERS, KEPT, CLUSTERS, MARKED)
"""What the stages of a search are called behind what it is by, in their order."""
CHOSEN_BYTES = 2000.0
"""Of a row whose id, and number, signature or vector, are looked up."""


@dataclass(frozen=True)
class Stays:
    """Which row of a cluster stays."""

    which: Keep = "first"
    column: str | None = None
    """`stage.column` of the values, where it isn't the first."""


@dataclass
class DuplicateSearch:
    """One search for duplicates in a run: its stages, one after another; what is there and unchanged stays."""

    life: Life
    corpus: Corpus
    sizes: Sizes
    run: RunSettings
    name_of: Names
    """The folder of a stage by what it is called behind what the search is by."""
    memory_bytes: float
    max_workers: int | None

    def annotate(self, op: Op, what: str, stages: tuple[str, ...], made: Json | None = None) -> Json:
        """Take the rows through an Op into a stage; its card. `made`: its identity, where that isn't its fields."""
        from raypipe.run.stage import Annotate  # loads Ray

        own = {"op": type(op).__name__, "op_version": op.version}
        own |= identity_of(op) if made is None else made  # type: ignore[arg-type]
        return Annotate(
            self.life.run, self.name_of(what), op, self.corpus, row_workers(self.max_workers), self.sizes,
            identity_of(self.corpus, self.sizes, **own), stopping=self.life.stopping,
            is_owner=self.life.is_owner, retry_failed=self.run.retry == "failed", stages=stages, redo=True,
        )()  # fmt: skip

    def links(self, linker: Linker, what: str, stages: tuple[str, ...], *, n_bytes: float) -> "LinkStage":
        """Take the rows past a Linker into a stage, in as many groups as `n_bytes` of all together need."""
        from raypipe.run.links import LinkStage  # loads Ray

        stage = LinkStage(
            self.life.run, self.name_of(what), linker, max(1, int(-(-n_bytes // self.memory_bytes))), self.corpus,
            self.sizes, stages, identity_of(self.corpus, self.sizes), self.life.stopping,
            self.life.is_owner, self.max_workers,
        )  # fmt: skip
        stage()
        return stage

    def found(self, what: str) -> pa.Table:
        """What the groups of a stage of links have found, one after another."""
        folder = self.life.run / self.name_of(what)
        tables = []
        for entry in folder.files():
            if entry.path.endswith(".parquet"):
                with folder.open(entry.path) as file:
                    tables.append(pq.read_table(file))
        return pa.concat_tables([table for table in tables if table.num_columns]) if tables else pa.table({})

    def said(self, card: Json, found: Json) -> str:
        """How many rows are marked, for a terminal."""
        n, skipped = card["counts"]["rows"], card["counts"]["rows"] - card["counts"]["scored"]
        return (
            f"{n:,} rows, {skipped:,} of them skipped; {found['duplicates']:,} are duplicates, in "
            f"{found['clusters']:,} clusters, the largest of {found['largest']:,} rows; marked in "
            f"{self.life.run.uri}/{self.name_of(MARKED)}"
        )

    def n_marked(self) -> int:
        """Rows that are marked as duplicates."""
        folder, n = self.life.run / self.name_of(MARKED), 0
        for entry in tables(folder):
            with folder.open(entry.path) as file:
                marked = pq.read_table(file, columns=["is_duplicate"])["is_duplicate"]
            n += pc.sum(marked).as_py() or 0
        return n

    def key_of(self, what: str) -> str:
        """Changes when what a stage of links has found may have."""
        return str(finished_card(self.life.run, self.name_of(what))["key"])

    def clusters(self, linked: str, keys: str, stays: Stays, reference: str | None) -> tuple[Folder, Json]:
        """Put the clusters of linked rows, and which row of each stays, into a folder; and its card.

        `reference` is the column of stage `keys` by which rows are held against the one that stays.
        """
        folder = self.life.run / self.name_of(CLUSTERS)
        made_of = {"links": self.key_of(linked), "stays": stays.which, "stays_by": stays.column, "reference": reference}
        made_of["values"] = self._digest_of(stays.column)
        card = read_card(folder)
        if card and card["status"] == "finished" and card["identity"] == made_of and self._is_whole(folder, MARKS):
            return folder, card
        with at_work(folder, self._card(CLUSTERS, made_of)) as card, self.life.at_once():
            links = self.found(linked)
            clusters = clusters_of(links["row"].to_numpy(), links["other"].to_numpy())
            del links
            kept = self._kept(clusters, stays, folder)
            chosen = self._chosen(np.unique(kept), folder, KEPT, (reference or f"{keys}.keys",))
            folder.write(PARTS, (self.life.run / self.name_of(linked)).read(PARTS))
            digest = write_marks(folder, marks_table(clusters, kept, chosen, reference), EMPTY)
            card |= {"counts": _counts(clusters, kept), "digest": digest}
        return folder, card

    def _kept(self, clusters: Clusters, stays: Stays, folder: Folder) -> np.ndarray:
        if stays.column is None or not len(clusters.rows):
            return clusters.kept()
        values = self._chosen(clusters.rows, folder, MEMBERS, (stays.column,))[stays.column]
        numbers = values.cast(pa.float64()).fill_null(np.nan).to_numpy()
        return clusters.kept(np.asarray(numbers), keep=stays.which)

    def _chosen(self, rows: np.ndarray, folder: Folder, what: str, columns: tuple[str, ...]) -> pa.Table:
        """Id and columns of some rows [m], by row, by way of a stage of links."""
        content, name, n_bytes = rows_file(rows), f"{what}.npy", CHOSEN_BYTES * len(rows)
        folder.write(name, content)
        digest = blake2b(content, digest_size=16).hexdigest()
        self.links(ChosenRows(columns, folder, name, digest), what, stages_of(columns), n_bytes=n_bytes)
        return self.found(what)

    def units(self, linked: str, keys: str) -> tuple[Folder, Json]:
        """Put the repeated lines or paragraphs, and the documents that have them first, into a folder; and its card."""
        folder = self.life.run / self.name_of(CLUSTERS)
        made_of = {"links": self.key_of(linked)}
        card = read_card(folder)
        if card and card["status"] == "finished" and card["identity"] == made_of and self._is_whole(folder, FIRST_FILE):
            return folder, card
        with at_work(folder, self._card(CLUSTERS, made_of)) as card, self.life.at_once():
            repeated = self.found(linked).select(REPEATED.names).sort_by("key")
            first = self._chosen(np.unique(repeated["first_row"].to_numpy()), folder, KEPT, (f"{keys}.keys",))
            folder.write(PARTS, (self.life.run / self.name_of(linked)).read(PARTS))
            _put(folder, REPEATED_FILE, repeated)
            _put(folder, FIRST_FILE, first.select(["row", "id"]))
            card |= {"counts": {"repeated": len(repeated)}, "digest": identity_hash(made_of)}
        return folder, card

    def _is_whole(self, folder: Folder, name: str) -> bool:
        return folder.exists(name) and folder.exists(PARTS)

    def _digest_of(self, column: str | None) -> str | None:
        return None if column is None else listing_digest(tables(self.life.run / stages_of([column])[0]))

    def _card(self, what: str, identity: Json) -> Json:
        kinds = {"stage": self.name_of(what), "kind": "gather", "op": "Clusters", "identity": identity}
        return {**kinds, "inputs": {}, "running": {}, "set_aside": {}, "warnings": []}


def _put(folder: Folder, name: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    folder.write(name, sink.getvalue())


def _counts(clusters: Clusters, kept: np.ndarray) -> Json:
    sizes = clusters.sizes
    return {
        "clusters": len(np.unique(clusters.cluster)),
        "in_clusters": len(clusters.rows),
        "duplicates": int((clusters.rows != kept).sum()),
        "largest": int(sizes.max(initial=0)),
    }
