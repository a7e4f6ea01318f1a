"""What scoring a corpus is made of: the scorers, the heads that they need, the cut, and the stage itself."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from raypipe.contracts.score import KEY
from raypipe.contracts.statistic import Statistic, name_of
from raypipe.corpus import Corpus, plan_shards
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.run.cluster import Wanted, WorkerSettings
from raypipe.run.forecast import Forecast, forecast
from raypipe.run.inputs import Sizes
from raypipe.run.stage import Annotate
from raypipe.runs.card import Json, check_identity, read_card
from raypipe.runs.life import Life
from raypipe.runs.stage import FINISHED
from raypipe.score.proxy import Proxy
from raypipe.score.statistics.entropy import Entropy
from raypipe.score.statistics.influence import Influence
from raypipe.score.statistics.lowercase import Lowercase
from raypipe.score.statistics.min_k import MinK
from raypipe.score.statistics.min_k_plus_plus import MinKPlusPlus
from raypipe.score.statistics.perplexity import Perplexity
from raypipe.score.statistics.zlib_loss import ZlibLoss
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .autotune import BudgetSearch, cost_of_8_bits, fastest, settle
from .common import RunSettings, stage_name
from .heads import MAX_TEXTS, HeadChoice, Heads, detect, some_texts
from .idle import refuse_idle

Scorer = Influence | Perplexity | MinK | MinKPlusPlus | ZlibLoss | Lowercase | Entropy
"""The scorers to choose from; a new one is one more here."""
SCORERS: dict[str, type[Statistic]] = {name_of(kind): kind for kind in get_args(Scorer)}
if TYPE_CHECKING:
    ScorerName = str
else:
    ScorerName = Literal[tuple(SCORERS)]

STAGE = "scores"
WORKER_BYTES = 2 << 30
"""What a worker needs beside its model: libraries, and the activations of a batch."""
FIRST_LOOK = Sizes(shard_bytes=64 << 20, part_rows=10_000)
"""A cut to check the corpus by, and to sample it for calibration, before its own is known."""


@dataclass(frozen=True, kw_only=True)
class Scorers:
    """What is said of a document."""

    scorer: tuple[ScorerName, ...] = ("influence",)
    """Scorers; one forward pass serves them all. Documents are ordered by the first."""
    min_k_fraction: float = 0.2
    """Share of a document's tokens, the least likely, that min-k and min-k-plus-plus are means of."""

    def statistics(self) -> tuple[Statistic, ...]:
        """The scorers with their settings, each once."""
        kinds = [SCORERS[name] for name in dict.fromkeys(self.scorer)]
        fraction = {"fraction": self.min_k_fraction}
        return tuple(kind(**(fraction if kind in (MinK, MinKPlusPlus) else {})) for kind in kinds)

    @property
    def need_heads(self) -> bool:
        """Whether a scorer looks at the model without its retrieval heads."""
        return any("nll_masked" in SCORERS[name].needs for name in self.scorer)


@dataclass(frozen=True, kw_only=True)
class ShardCut:
    """How the work is cut."""

    shard_bytes: int | None = None
    """Bytes of text a shard; None: about 30 s of one worker's work, measured at the first start."""
    shard_rows: int | None = None
    """Rows of a part of a compressed file; None: as many as take 30 s too."""

    def sizes(self, made_with: Json) -> Sizes | None:
        """The cut that is asked for, or the one the stage has; None: to be measured."""
        if self.shard_bytes is not None:
            return Sizes(self.shard_bytes, self.shard_rows or max(1, self.shard_bytes // 4096))
        return Sizes(made_with["shard_bytes"], made_with["part_rows"]) if made_with else None


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """What is said of the documents, by which model, and how the work is cut."""

    scorers: Scorers = Scorers()
    proxy: Proxy = Proxy()
    neutralised: HeadChoice = HeadChoice()
    cut: ShardCut = ShardCut()
    budgets: BudgetSearch = BudgetSearch()
    workers: WorkerSettings = WorkerSettings()
    plan: bool = False
    """Only say what scoring would take: measures one worker for at most a minute, writes no score."""
    price_per_hour: float | None = None
    """For --plan: what a worker's hour costs, in any currency."""

    def check(self) -> None:
        """Refuse settings that would be ignored, or that exclude each other.

        Raises
        ------
        ValueError
            With the first.
        """
        if self.cut.shard_bytes is None:
            refuse_idle(self.cut, ["shard_rows"], because="without --shard-bytes")
        if "influence" not in self.scorers.scorer:
            refuse_idle(self.neutralised, ["heads"], because="without influence among --scorer")
        if self.budgets.try_budgets and (given := self.proxy.token_budget) is not None:
            raise ValueError(f"token_budget and try_budgets exclude each other, got {given} and some to try.")

    def wanted(self) -> Wanted:
        """The workers that these settings ask for."""
        model = self.proxy.model
        return self.workers.wanted(
            worker_bytes=lambda: WORKER_BYTES + 2.0 * open_model(model).n_bytes  # read once, converted once
        )

    def heads(self, run: Folder) -> Heads | None:
        """The heads to neutralise; None: to be found first, or not needed."""
        return self.neutralised.read(run, self.proxy.model) if self.scorers.need_heads else None

    def detected(self, corpus: Corpus, *, seed: int) -> Heads:
        """The heads as found now, on this machine's first device."""
        texts, on_cpu = some_texts(corpus, limit=MAX_TEXTS), self.workers.gpus_per_worker == 0
        probing = self.neutralised.search.probing
        return self.neutralised.found(
            detect(self.proxy, texts, probing=probing, seed=seed, on_cpu=on_cpu), self.proxy.model
        )


def score(
    scoring: ScoreSettings, corpus: Corpus, life: Life, *, run: RunSettings, seed: int, stages: list[str]
) -> Json:
    """Score the corpus into RUN/scores and return the stage's card; what is there stays.

    Nothing is written before all that can be refused is checked; `stages` are what run.json is to name, `seed` is of
    the probes that heads are found by.
    """
    stage, wanted = stage_name(STAGE, run), scoring.wanted()
    card = None if life.is_restarting(stage) else read_card(life.run / stage)
    made_with = (card or {}).get("identity", {})
    sizes = scoring.cut.sizes(made_with)
    plan = plan_shards(corpus, **asdict(sizes or FIRST_LOOK))  # wrong paths and columns end here, before any device
    is_finished = card is not None and card["status"] == FINISHED  # with this very model, if its identity is the same
    if not is_finished:
        check_early(scoring.proxy, wanted)
    heads, has_all = scoring.heads(life.run), not scoring.scorers.need_heads
    op = scoring.proxy.op(
        scoring.scorers.statistics(), heads.chosen if heads else (), have_gpus=wanted.have_gpus, made_with=made_with
    )
    if card is not None and sizes is not None and (heads or has_all):  # before the run's own heads are replaced
        check_identity(stage, card, identity_of(op, corpus, sizes, op_version=op.version))
    if not is_finished:
        op.check(heads_follow=heads is None)
    life.begin(stages)
    if heads is None and not has_all:
        with life.at_once():
            heads = scoring.detected(corpus, seed=seed)
        op = replace(op, heads=heads.keep(life.run).chosen)
    elif heads is not None:
        heads.keep(life.run)
    with life.at_once():
        op, sizes = settle([op] if made_with else scoring.budgets.ops(op), sizes, corpus, plan, wanted)
        measured = {} if made_with else cost_of_8_bits(op, corpus, plan, wanted)
    return Annotate(
        life.run,
        stage,
        op,
        corpus,
        wanted=wanted,
        sizes=sizes,
        identity=identity_of(op, corpus, sizes, op_version=op.version),
        stopping=life.stopping,
        is_owner=life.is_owner,
        retry_failed=run.retry == "failed",
        measured={**measured, KEY: [statistic.score.as_json() for statistic in op.statistics]},
    )()


def foresee(scoring: ScoreSettings, corpus: Corpus, run: Folder, *, seed: int) -> Forecast:
    """What scoring the corpus with these settings would take."""
    wanted = scoring.wanted()
    plan = plan_shards(corpus, **asdict(FIRST_LOOK))
    check_early(scoring.proxy, wanted)
    found = scoring.heads(run)
    if found is None and scoring.scorers.need_heads:
        found = scoring.detected(corpus, seed=seed)
    op = scoring.proxy.op(scoring.scorers.statistics(), found.chosen if found else (), have_gpus=wanted.have_gpus)
    op.check()
    _, rate = fastest(scoring.budgets.ops(op), corpus, plan, wanted.pool)
    return forecast(corpus, plan, rate, workers=wanted.pool.max_workers)


def check_early(proxy: Proxy, wanted: Wanted) -> None:
    """Refuse a model that can't be read, or workers that this machine can't hold, before Ray is started.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    model = open_model(proxy.model)
    model.check()
    wanted.check_here()
    check_architecture(model.config(), max_tokens=proxy.max_tokens)
    model.sha256()  # which sees every weight
