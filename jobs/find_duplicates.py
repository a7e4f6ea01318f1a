"""Mark the duplicates of a corpus: python -m jobs.find_duplicates --corpus DATA --output RUN --by exact.

Writes RUN/exact_duplicates (minhash_duplicates, ... by what is sought): beside each row whether an other one stays in
its place, which, the cluster of both, and how alike they are. Nothing is dropped: that a selection does, as in
`select_corpus --keep "not exact_duplicates.is_duplicate"`.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from raypipe.contracts.op import Op
from raypipe.corpus import plan_shards
from raypipe.run.inputs import Sizes, resolve, sizes_of, stages_of
from raypipe.runs.card import Json
from raypipe.select.dedup.clusters import Keep
from raypipe.select.dedup.marks import ExactMarks
from raypipe.select.dedup.minhash import Bands, MinHashKeys, MinHashMarks
from raypipe.select.dedup.shared_keys import BYTES_A_KEY, RepeatedKeys, SharedKeys
from raypipe.select.dedup.text_keys import ExactKeys, UnitKeys
from raypipe.select.dedup.unit_marks import UnitMarks
from raypipe.select.refuse import refuse_unless

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name, why_incomplete
from .parts.duplicates import FOLDED, KEYS, LINKS, MARKED, MEMBERS, DuplicateSearch, Stays
from .parts.idle import refuse_idle
from .parts.semantic_duplicates import CENTRES, RECALL, SAMPLE, SIZES, Near, find_near

By = Literal["exact", "minhash", "semantic", "lines", "paragraphs"]
UNITS: dict[str, Literal["line", "paragraph"]] = {"lines": "line", "paragraphs": "paragraph"}
OF = {
    **dict.fromkeys(UNITS, ("min_chars", "min_documents", "min_share")),
    "minhash": ("ngram", "bands", "rows_per_band", "seed"),
    "semantic": ("vectors", "min_cosine", "clusters", "margin", "sample_rows", "check_rows", "seed"),
}
"""Settings that are for some searches only."""


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of find_duplicates."""

    by: By
    """exact: the same text but for case and white space. minhash: many of its runs of words are the same. semantic: its
    embedding is near. lines, paragraphs: most of it stands in earlier documents."""
    stays: Keep = "first"
    """Which row of a cluster stays: the first in the order of the corpus, or that of the highest or lowest value."""
    stays_by: str | None = None
    """Those values, STAGE.COLUMN: scores.influence. Of equal ones the first stays."""
    ngram: int = 5
    """minhash: words of a run."""
    bands: int = 14
    """minhash: bands of a signature; two texts are linked if they agree in all hashes of one."""
    rows_per_band: int = 8
    """minhash: hashes of a band."""
    vectors: str = "embeddings.embedding"
    """semantic: column of vectors, STAGE.COLUMN."""
    min_cosine: float = 0.95
    """semantic: of two vectors that are near."""
    clusters: int | None = None
    """semantic: clusters that rows are compared in; None: the square root of the rows."""
    margin: float = 0.05
    """semantic: a row is also sought in clusters whose centroid is at most so much less similar than its own."""
    sample_rows: int = 50_000
    """semantic: rows that clusters are made of."""
    check_rows: int = 256
    """semantic: rows of the sample whose pairs are also found by brute force, to say what share of them is seen."""
    seed: int = 0
    """minhash: of the hashes. semantic: of the sample and the first centroids."""
    min_chars: int = 20
    """lines, paragraphs: shorter ones don't count."""
    min_documents: int = 2
    """lines, paragraphs: one counts as repeated if so many documents have it."""
    min_share: float = 0.8
    """lines, paragraphs: share of a document's characters, in those of earlier ones, from which it is a duplicate."""
    memory_gb: float = 1.0
    """Of each process that looks for links: what is more is looked through in several groups, one after another."""
    shard_bytes: int = 64 << 20
    """Bytes of text a shard, where no stage is read."""
    part_rows: int = 100_000
    """Rows of a part of a compressed stream or a JSON array, where no stage is read."""
    max_workers: int | None = None
    """Processes at a time; None: as many as fill the machines."""

    def check(self) -> None:
        """Refuse settings that make no sense, or would be ignored.

        Raises
        ------
        ValueError
            Naming the setting, its rule and its value.
        """
        others = {name for of in OF.values() for name in of} - set(OF.get(self.by, ()))
        refuse_idle(self, sorted(others), because=f"with --by {self.by}")
        if self.by in UNITS:
            refuse_idle(self, ["stays", "stays_by"], because="here: the first document that has a line keeps it")
            refuse_unless(0 < self.min_share <= 1, "min_share", "above 0 and at most 1", self.min_share)
            refuse_unless(self.min_documents >= 2, "min_documents", "at least 2", self.min_documents)
            refuse_unless(self.min_chars >= 1, "min_chars", "at least 1", self.min_chars)
        if self.by == "semantic":
            refuse_unless(0 < self.min_cosine < 1, "min_cosine", "above 0 and below 1", self.min_cosine)
            refuse_unless(0 <= self.margin <= 2, "margin", "from 0 to 2", self.margin)
            refuse_unless(self.clusters is None or self.clusters >= 1, "clusters", "at least 1", self.clusters)
            refuse_unless(self.sample_rows >= 1, "sample_rows", "at least 1", self.sample_rows)
            refuse_unless(self.check_rows >= 0, "check_rows", "at least 0", self.check_rows)
        refuse_unless(self.memory_gb > 0, "memory_gb", "above 0", self.memory_gb)
        if (self.stays == "first") != (self.stays_by is None):
            raise ValueError(
                f"stays_by must name a column where stays is highest or lowest, and only there, got {self.stays!r} "
                f"and {self.stays_by!r}."
            )


def main(config: Config) -> int:
    """Mark what isn't marked yet; status 1 if a shard had to be set aside."""
    config.check()

    def name_of(what: str) -> str:
        """The folder of a stage of this search."""
        return stage_name(f"{config.by}_{what}", config)

    whats = [what for what in FOLDED if what != MEMBERS or config.stays_by]
    whats = [SAMPLE, CENTRES, SIZES, RECALL, *whats] if config.by == "semantic" else whats
    with life_of(config, "find_duplicates", stages=[name_of(what) for what in whats], has_shards=True) as life:
        read = [*([config.vectors] if config.by == "semantic" else []), *([config.stays_by] if config.stays_by else [])]
        beside = stages_of(read)
        resolve(life.run, read, stages=beside)  # wrong names end here, before any worker
        if beside:
            refuse_idle(config, ["shard_bytes", "part_rows"], because="beside a stage, which is cut already")
        sizes = sizes_of(life.run, beside[0]) if beside else Sizes(config.shard_bytes, config.part_rows)
        corpus = config.to_corpus()
        plan_shards(corpus, **asdict(sizes))  # and wrong paths here
        life.begin()
        search = DuplicateSearch(life, corpus, sizes, config, name_of, config.memory_gb * 1e9, config.max_workers)
        card = _of_vectors(config, search) if config.by == "semantic" else _of_keys(config, search)
        life.conclude(why_incomplete(card))
    return life.status


def _of_vectors(config: Config, search: DuplicateSearch) -> Json:
    """Mark rows whose vectors are near."""
    near = Near(
        config.vectors, config.min_cosine, config.clusters, config.margin, config.sample_rows, config.check_rows,
        config.seed,
    )  # fmt: skip
    card, said = find_near(near, search, Stays(config.stays, config.stays_by))
    print(said or "", end="\n" if said else "")
    return card


def _of_keys(config: Config, search: DuplicateSearch) -> Json:
    """Give rows keys, and mark by these."""
    card = search.annotate(_keys_of(config), KEYS, ())
    if card["status"] != "finished":
        return card
    return _of_units(config, search, card) if config.by in UNITS else _of_texts(config, search, card)


def _keys_of(config: Config) -> Op:
    """The Op that gives rows the keys to be found by."""
    if config.by in UNITS:
        return UnitKeys(UNITS[config.by], config.min_chars)
    if config.by == "minhash":
        return MinHashKeys(config.ngram, Bands(config.bands, config.rows_per_band), config.seed)
    return ExactKeys()


def _of_texts(config: Config, search: DuplicateSearch, keyed: Json) -> Json:
    """Link rows that share a key, and mark all but one of each cluster."""
    keys, n_bytes = search.name_of(KEYS), BYTES_A_KEY * keyed["counts"]["cost"]
    search.links(SharedKeys(keys), LINKS, (keys,), n_bytes=n_bytes)
    kind = MinHashMarks if config.by == "minhash" else ExactMarks
    reference = f"{keys}.{kind.column}" if kind is MinHashMarks else None
    folder, clusters = search.clusters(LINKS, keys, Stays(config.stays, config.stays_by), reference)
    op = kind(keys, folder, clusters["digest"])
    if config.by == "minhash":
        print(Bands(config.bands, config.rows_per_band).said())
    card = search.annotate(op, MARKED, (keys,), {"marks": op.digest})
    print(search.said(card, clusters["counts"]))
    return card


def _of_units(config: Config, search: DuplicateSearch, keyed: Json) -> Json:
    """Find the repeated lines or paragraphs, and mark documents most of which they are."""
    keys, n_bytes = search.name_of(KEYS), BYTES_A_KEY * keyed["counts"]["cost"]
    search.links(RepeatedKeys(keys, min_documents=config.min_documents), LINKS, (keys,), n_bytes=n_bytes)
    folder, found = search.units(LINKS, keys)
    op = UnitMarks(keys, folder, found["digest"], config.min_share)
    card = search.annotate(op, MARKED, (keys,), {"marks": op.digest, "min_share": op.min_share})
    counts, n_marked = card["counts"], search.n_marked()
    print(
        f"{counts['rows']:,} rows; {found['counts']['repeated']:,} {config.by} stand in {config.min_documents} "
        f"documents or more; {n_marked:,} are duplicates by {config.min_share:g} of their characters; marked in "
        f"{search.life.run.uri}/{search.name_of(MARKED)}"
    )
    return card


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
