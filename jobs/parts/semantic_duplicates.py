"""Near vectors of a run: centroids of a sample, cells of each row, pairs inside cells, and how many these hide."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from raypipe.contracts.gather import Gather
from raypipe.run.inputs import stages_of
from raypipe.runs.card import Json, identity_hash, read_card
from raypipe.runs.stage import at_work
from raypipe.select.dedup.cells import CENTROIDS, CellSizes, VectorCells, centroids_file, groups_of
from raypipe.select.dedup.near_vectors import NearVectors, row_bytes
from raypipe.select.dedup.pair_recall import PairRecall
from raypipe.select.dedup.semantic_marks import SemanticMarks
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .duplicates import KEYS, LINKS, MARKED, DuplicateSearch, Stays

if TYPE_CHECKING:
    from raypipe.fitting.sample import ColumnSample

G = TypeVar("G", bound=Gather)
SAMPLE, CENTRES, SIZES, RECALL = "sample", "centroids", "sizes", "recall"
MAX_CLUSTERS = 65_536


@dataclass(frozen=True)
class Near:
    """What makes two vectors near, and how such pairs are sought."""

    vectors: str
    """`stage.column`."""
    min_cosine: float
    clusters: int | None
    margin: float
    sample_rows: int
    check_rows: int
    seed: int


def find_near(near: Near, search: DuplicateSearch, stays: Stays) -> tuple[Json, str | None]:
    """Mark the near vectors of a run; the card of the marks, or of the stage that isn't whole, and what to print."""
    stage = stages_of([near.vectors])[0]
    sample = _gathered(search, _sample_of(near), SAMPLE, (stage,))
    folder, centroids, digest = _centroids(near, search, sample)
    op = VectorCells(near.vectors, folder, digest, near.margin)
    made = {"column": near.vectors, "centroids": digest, "margin": near.margin}
    card = search.annotate(op, KEYS, (stage,), made)
    if card["status"] != "finished":
        return card, None
    cells = search.name_of(KEYS)
    sizes = _gathered(search, CellSizes(cells), SIZES, (cells,))
    group_of = groups_of(sizes.counts, row_bytes=row_bytes(centroids.shape[1]), memory_bytes=search.memory_bytes)
    of = blake2b(group_of.tobytes(), digest_size=16).hexdigest()
    linker = NearVectors(near.vectors, cells, near.min_cosine, group_of, of)
    n_groups = int(group_of.max(initial=0)) + 1
    search.links(linker, LINKS, (stage, cells), n_bytes=n_groups * search.memory_bytes)
    recall = _recall(near, search, sample, centroids, digest, (stage, cells))
    found, clusters = search.clusters(LINKS, cells, stays, near.vectors)
    marks = SemanticMarks(cells, found, clusters["digest"], near.vectors)
    card = search.annotate(marks, MARKED, (stage, cells), {"marks": marks.digest, "column": near.vectors})
    return card, search.said(card, clusters["counts"]) + "\n" + _said(near, sizes, recall, n_groups)


def _sample_of(near: Near) -> "ColumnSample":
    from raypipe.fitting.sample import ColumnSample

    return ColumnSample((near.vectors,), near.sample_rows, near.seed)


def _gathered(search: DuplicateSearch, asked: G, what: str, stages: tuple[str, ...]) -> G:
    from raypipe.run.gather import GatherStage  # loads Ray

    return GatherStage(
        search.life.run, search.name_of(what), asked, search.corpus, search.sizes, stages,
        identity_of(search.corpus, search.sizes), search.life.stopping, search.life.is_owner,
    )()  # fmt: skip


def _centroids(near: Near, search: DuplicateSearch, sample: "ColumnSample") -> tuple[Folder, np.ndarray, str]:
    """Centroids of the sample, in a folder; those that are there and of the same sample stay.

    Raises
    ------
    ValueError
        If no row of the sample has a vector.
    """
    from raypipe.arrays.spherical_kmeans import spherical_kmeans
    from raypipe.select.dedup.cells import centroids_in

    X = _unit(sample.X)
    if not len(X):
        raise ValueError(f"{near.vectors} must hold vectors of finite numbers that aren't all 0, got none.")
    k = near.clusters or min(MAX_CLUSTERS, max(1, round((sample.n_seen - sample.n_without) ** 0.5)))
    if k > len(X):
        raise ValueError(
            f"sample_rows must be at least clusters ({k:,}), got {len(X):,} rows; raise --sample-rows or lower "
            "--clusters."
        )
    folder = search.life.run / search.name_of(CENTRES)
    made_of = {"sample": sample.result()["digest"], "clusters": k, "seed": near.seed}
    card = read_card(folder)
    if not (card and card["status"] == "finished" and card["identity"] == made_of and folder.exists(CENTROIDS)):
        kinds = {"stage": search.name_of(CENTRES), "kind": "gather", "op": "SphericalKMeans", "identity": made_of}
        new = {**kinds, "inputs": {}, "running": {}, "set_aside": {}, "warnings": []}
        with at_work(folder, new) as card, search.life.at_once():
            folder.write(CENTROIDS, centroids_file(spherical_kmeans(X, k, seed=near.seed)))
            card["counts"] = {"clusters": k, "rows": len(X)}
    digest = blake2b(folder.read(CENTROIDS), digest_size=16).hexdigest()
    return folder, centroids_in(folder, digest), digest


def _unit(X: np.ndarray) -> np.ndarray:
    """Rows [n, d] of length 1, float32; those of length 0 are left out."""
    lengths = np.linalg.norm(X, axis=1)
    return np.asarray(X[lengths > 0] / lengths[lengths > 0, None], np.float32)


def _recall(
    near: Near,
    search: DuplicateSearch,
    sample: "ColumnSample",
    centroids: np.ndarray,
    digest: str,
    stages: tuple[str, ...],
) -> PairRecall:
    asked = _unit(sample.X[: near.check_rows])
    of = identity_hash({"centroids": digest, "sample": sample.result()["digest"], "rows": len(asked)})
    made = PairRecall(near.vectors, stages[1], asked, centroids, near.margin, near.min_cosine, of)
    return _gathered(search, made, RECALL, stages)


def _said(near: Near, sizes: CellSizes, recall: PairRecall, n_groups: int) -> str:
    of, visits = sizes.result(), sizes.counts[:, 1].sum() / max(sizes.counts[:, 0].sum(), 1)
    share = f"{100 * recall.n_seen / recall.n_pairs:.2f} %" if recall.n_pairs else "none to see"
    return (
        f"{of['cells']:,} clusters, the largest of {of['largest']:,} rows with its visitors; a row visits {visits:.2f} "
        f"more, {n_groups} {'pass' if n_groups == 1 else 'passes'}\n"
        f"by brute force {len(recall.asked):,} rows have {recall.n_pairs:,} pairs of a cosine of {near.min_cosine:g} "
        f"or more; seen: {share}"
    )
