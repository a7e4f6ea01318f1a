"""What scoring a corpus is made of: the scorers, the heads that they need, the cut, and the stage itself."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from raypipe.contracts.score import KEY
from raypipe.contracts.statistic import Statistic, name_of
from raypipe.corpus import plan_shards
from raypipe.lm.heads import Head
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.run.cluster import Wanted
from raypipe.run.forecast import Forecast, forecast
from raypipe.run.inputs import Sizes
from raypipe.run.stage import Annotate
from raypipe.runs.card import check_identity, read_card
from raypipe.runs.life import Life
from raypipe.runs.stage import FINISHED
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.statistics.entropy import Entropy
from raypipe.score.statistics.influence import Influence
from raypipe.score.statistics.lowercase import Lowercase
from raypipe.score.statistics.min_k import MinK
from raypipe.score.statistics.min_k_plus_plus import MinKPlusPlus
from raypipe.score.statistics.perplexity import Perplexity
from raypipe.score.statistics.zlib_loss import ZlibLoss
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .autotune import budgets_of, cost_of_8_bits, fastest, settle
from .common import stage_name
from .heads import Heads, HeadSettings, detected, read_heads
from .idle import refuse_idle

Scorer = Influence | Perplexity | MinK | MinKPlusPlus | ZlibLoss | Lowercase | Entropy
"""The scorers to choose from; a new one is one more here."""
SCORERS: dict[str, type[Statistic]] = {name_of(kind): kind for kind in get_args(Scorer)}
if TYPE_CHECKING:
    ScorerName = str
else:
    ScorerName = Literal[tuple(SCORERS)]

STAGE = "scores"
FOUND_HEADS = "heads.json"
CPU_BUDGET, GPU_BUDGET = 4096, 32_768
FIRST_LOOK = Sizes(shard_bytes=64 << 20, part_rows=10_000)
"""A cut to check the corpus by, and to sample it for calibration, before its own is known."""


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(HeadSettings):
    """What is scored and how the work is cut."""

    scorer: tuple[ScorerName, ...] = ("influence",)
    """Scorers; one forward pass serves them all. Documents are ordered by the first."""
    min_k_fraction: float = 0.2
    """Share of a document's tokens, the least likely, that min-k and min-k-plus-plus are means of."""
    heads: str | None = None
    """Heads file, or `detect`; None: the run's own, else the embedded model's shipped ones."""
    shard_bytes: int | None = None
    """Bytes of text a shard; None: about 30 s of one worker's work, measured at the first start."""
    shard_rows: int | None = None
    """Rows of a part of a compressed file; None: as many as take 30 s too."""
    try_budgets: tuple[int, ...] = ()
    """Token budgets to try at the first start, for 40 s in all; the fastest becomes the run's."""
    plan: bool = False
    """Only say what scoring would take: measures one worker for at most a minute, writes no score."""
    price_per_hour: float | None = None
    """For --plan: what a worker's hour costs, in any currency."""


def check_effects(config: ScoreSettings) -> None:
    """Refuse settings of scoring that would be ignored.

    Raises
    ------
    ValueError
        With the first.
    """
    if config.shard_bytes is None:
        refuse_idle(config, ["shard_rows"], because="without --shard-bytes")
    if "influence" not in config.scorer:
        refuse_idle(config, ["heads"], because="without influence among --scorer")


def score(config: ScoreSettings, life: Life, *, stages: list[str]) -> dict[str, Any]:
    """Score the corpus into RUN/scores and return the stage's card; what is there stays.

    Nothing is written before all that can be refused is checked; `stages` are what run.json is to name.
    """
    stage = stage_name(STAGE, config)
    corpus, wanted = config.to_corpus(), config.to_wanted()
    card = None if life.is_restarting(stage) else read_card(life.run / stage)
    made_with = (card or {}).get("identity", {})
    sizes = _sizes(config, made_with)
    plan = plan_shards(corpus, **asdict(sizes or FIRST_LOOK))  # wrong paths and columns end here, before any device
    is_finished = card is not None and card["status"] == FINISHED  # with this very model, if its identity is the same
    if not is_finished:
        check_early(config, wanted)
    heads = heads_of(config, life.run)
    op = make_op(config, heads.chosen if heads else (), made_with, wanted.have_gpus)
    if card is not None and sizes is not None and (heads or not needs_heads(config)):
        check_identity(
            stage, card, identity_of(op, corpus, sizes, op_version=op.version)
        )  # before the run's own heads are replaced
    if not is_finished:
        op.check(heads_follow=heads is None)
    life.begin(stages)
    if heads is None and needs_heads(config):
        with life.at_once():
            heads = detected(config)
        op = replace(op, heads=heads.keep(life.run).chosen)
    elif heads is not None:
        heads.keep(life.run)
    with life.at_once():
        op, sizes = settle(config, op, corpus, plan, wanted, made_with, sizes)
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
        retry_failed=config.retry == "failed",
        measured={**measured, KEY: [statistic.score.as_json() for statistic in op.statistics]},
    )()


def foresee(config: ScoreSettings, run: Folder) -> Forecast:
    """What scoring the corpus with these settings would take."""
    corpus, wanted = config.to_corpus(), config.to_wanted()
    plan = plan_shards(corpus, **asdict(FIRST_LOOK))
    check_early(config, wanted)
    heads = (heads_of(config, run) or detected(config)).chosen if needs_heads(config) else ()
    op = make_op(config, heads, {}, wanted.have_gpus)
    op.check()
    _, rate = fastest(budgets_of(config, op, {}), corpus, plan, wanted.pool)
    return forecast(corpus, plan, rate, workers=wanted.pool.max_workers)


def check_early(config: ScoreSettings, wanted: Wanted) -> None:
    """Refuse a model that can't be read, or workers that this machine can't hold, before Ray is started.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    model = open_model(config.model)
    model.check()
    wanted.check_here()
    check_architecture(model.config(), max_tokens=config.max_tokens)
    model.sha256()  # which sees every weight


def _sizes(config: ScoreSettings, made_with: dict[str, Any]) -> Sizes | None:
    """The cut that is asked for, or the one the stage has; None: to be measured."""
    if config.shard_bytes is not None:
        return Sizes(config.shard_bytes, config.shard_rows or max(1, config.shard_bytes // 4096))
    return Sizes(made_with["shard_bytes"], made_with["part_rows"]) if made_with else None


def make_op(
    config: ScoreSettings, heads: tuple[Head, ...], made_with: dict[str, Any], have_gpus: Callable[[], bool]
) -> ForwardPass:
    """The forward pass; what is left to us is what the stage was begun with, else what suits the workers."""
    dtype, budget = config.dtype, config.token_budget or made_with.get("token_budget")
    if dtype == "auto":
        dtype = made_with.get("dtype") or ("bfloat16" if have_gpus() else "float32")
    return ForwardPass(
        model=config.model,
        statistics=statistics_of(config),
        heads=heads,
        max_tokens=config.max_tokens,
        dtype=dtype,
        token_budget=budget or max(config.max_tokens, GPU_BUDGET if have_gpus() else CPU_BUDGET),
        compiler="inductor" if config.compile else None,
    )


def statistics_of(config: ScoreSettings) -> tuple[Statistic, ...]:
    """The scorers with their settings, each once."""
    kinds = [SCORERS[name] for name in dict.fromkeys(config.scorer)]
    fraction = {"fraction": config.min_k_fraction}
    return tuple(kind(**(fraction if kind in (MinK, MinKPlusPlus) else {})) for kind in kinds)


def needs_heads(config: ScoreSettings) -> bool:
    """Whether a scorer looks at the model without its retrieval heads."""
    return any("nll_masked" in SCORERS[name].needs for name in config.scorer)


def heads_of(config: ScoreSettings, run: Folder) -> Heads | None:
    """The heads to neutralise; None: to be found first, or not needed."""
    return read_heads(config, run, where=config.heads) if needs_heads(config) else None
