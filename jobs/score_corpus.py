"""Score a corpus by attention influence: python -m jobs.score_corpus --corpus DATA --output RUN."""

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from jobs import settings
from jobs.autotune import budgets_of, cost_of_8_bits, fastest, settle
from jobs.common import CorpusSettings, ModelSettings, RunSettings, note_run, run_job, throw_away
from jobs.find_heads import ProbeSettings, detect
from raypipe import sample
from raypipe.contracts.op import Pool
from raypipe.corpus import Corpus, plan_shards
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.report.words import formats_compared
from raypipe.run.cluster import Wanted
from raypipe.run.forecast import Forecast, forecast
from raypipe.run.stage import Annotate, Sizes, Stopped, is_complete
from raypipe.runs.card import read_card
from raypipe.runs.lock import Lock
from raypipe.runs.signals import orderly_stop
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.heads.heads_file import chosen_heads, parse_heads
from raypipe.score.statistics.influence import Influence
from raypipe.score.statistics.perplexity import Perplexity
from raypipe.storage.folder import Folder

STAGE = "scores"
FOUND_HEADS = "heads.json"
CPU_BUDGET, GPU_BUDGET = 4096, 32_768
FIRST_LOOK = Sizes(shard_bytes=64 << 20, part_rows=10_000)
"""A cut to check the corpus by, and to sample it for calibration, before its own is known."""


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(ProbeSettings):
    """What is scored and how the work is cut."""

    scorer: tuple[Literal["influence", "perplexity"], ...] = ("influence",)
    """Scorers; one forward pass serves them all."""
    heads: str | None = None
    """Heads file, or `detect`; None: the run's own, else the embedded model's shipped ones."""
    shard_bytes: int | None = None
    """Bytes of text a shard; None: about 30 s of one worker's work, measured at the first start."""
    shard_rows: int | None = None
    """Rows of a part of a compressed file; None: as many as take 30 s too."""
    try_budgets: tuple[int, ...] = ()
    """Token budgets to try at the first start, for 40 s in all; the fastest becomes the run's."""


@dataclass(frozen=True, kw_only=True)
class Config(ScoreSettings, CorpusSettings, ModelSettings, RunSettings):
    """Settings of score_corpus."""

    plan: bool = False
    """Only say what scoring would take: measures one worker for at most a minute, writes no score."""
    price_per_hour: float | None = None
    """For --plan: what a worker's hour costs, in any currency."""


def main(config: Config) -> int:
    """Score what isn't scored yet; status 1 if a shard had to be set aside."""
    run = Folder(config.output)
    if config.plan:
        print("\n".join(foresee(config, run).lines(price_per_hour=config.price_per_hour)))
        return 0
    with Lock(run) as lock, orderly_stop() as (stopping, status):
        note_run(run, config, stages=["heads", STAGE], status="running")
        try:
            card = score(config, run, stopping=stopping, is_owner=lambda: not lock.is_lost)
        except Stopped as stop:
            print(stop, file=sys.stderr)
            return status["code"]
        note_run(run, config, stages=[], status="finished" if is_complete(card) else "incomplete")
    counts = card["counts"]
    skipped = counts["rows"] - counts["scored"]
    print(f"{counts['rows']:,} rows: {counts['scored']:,} scored, {skipped:,} skipped, in {run.uri}")
    for found in card.get("number_format", []):
        print(formats_compared(found))
    for key, why in card["set_aside"].items():
        print(f"set aside: {key}: {why}", file=sys.stderr)
    return 0 if is_complete(card) else 1


def score(
    config: Any, run: Folder, *, stopping: threading.Event, is_owner: Callable[[], bool] = lambda: True
) -> dict[str, Any]:
    """Score the corpus into RUN/scores and return the stage's card; what is there stays."""
    stage = f"{STAGE}-{config.name}" if config.name else STAGE
    if config.restart:
        throw_away(run, config.restart, yes=config.yes)
    corpus, wanted = config.to_corpus(), config.to_wanted()
    made_with = (read_card(run / stage) or {}).get("identity", {})
    sizes = _sizes(config, made_with)
    plan = plan_shards(corpus, **asdict(sizes or FIRST_LOOK))  # wrong paths and columns end here, before any device
    check_early(config, wanted)
    op = make_op(config, run, made_with, lambda: wanted.pool)
    op.check()
    op, sizes = settle(config, op, corpus, plan, wanted.pool, made_with, sizes)
    measured = {} if made_with else cost_of_8_bits(op, corpus, plan, wanted.pool)
    return Annotate(
        run,
        stage,
        op,
        corpus,
        wanted=wanted,
        sizes=sizes,
        identity=_identity(config, op, corpus, sizes),
        stopping=stopping,
        is_owner=is_owner,
        retry_failed=config.retry == "failed",
        measured=measured,
    )()


def foresee(config: Config, run: Folder) -> Forecast:
    """What scoring the corpus with these settings would take."""
    corpus, wanted = config.to_corpus(), config.to_wanted()
    plan = plan_shards(corpus, **asdict(FIRST_LOOK))
    check_early(config, wanted)
    op = make_op(config, run, {}, lambda: wanted.pool)
    op.check()
    _, rate = fastest(budgets_of(config, op, {}), corpus, plan, wanted.pool)
    return forecast(corpus, plan, rate, workers=wanted.pool.max_workers)


def check_early(config: Any, wanted: Wanted) -> None:
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


def _sizes(config: Any, made_with: dict[str, Any]) -> Sizes | None:
    """The cut that is asked for, or the one the stage has; None: to be measured."""
    if config.shard_bytes is not None:
        return Sizes(config.shard_bytes, config.shard_rows or max(1, config.shard_bytes // 4096))
    return Sizes(made_with["shard_bytes"], made_with["part_rows"]) if made_with else None


def make_op(config: Any, run: Folder, made_with: dict[str, Any], pool: Callable[[], Pool]) -> ForwardPass:
    """The forward pass; what is left to us is what the stage was begun with, else what suits the workers."""
    statistics: dict[str, Influence | Perplexity] = {"influence": Influence(), "perplexity": Perplexity()}
    dtype, budget = config.dtype, config.token_budget or made_with.get("token_budget")
    if dtype == "auto":
        dtype = made_with.get("dtype") or ("bfloat16" if pool().num_gpus else "float32")
    return ForwardPass(
        model=config.model,
        statistics=tuple(statistics[name] for name in dict.fromkeys(config.scorer)),
        heads=resolve_heads(config, run) if "influence" in config.scorer else (),
        max_tokens=config.max_tokens,
        dtype=dtype,
        token_budget=budget or max(config.max_tokens, GPU_BUDGET if pool().num_gpus else CPU_BUDGET),
        compiler="inductor" if config.compile else None,
    )


def resolve_heads(config: Any, run: Folder) -> tuple[tuple[int, int], ...]:
    """The heads to neutralise, from a file, the run, the embedded record, or found now and kept in the run."""
    sha256, folder = open_model(config.model).sha256(), run / "heads"
    where = config.heads
    if where == "detect" and not folder.exists(FOUND_HEADS):
        folder.write(FOUND_HEADS, json.dumps(detect(config), indent=1).encode())
    if where in (None, "detect") and folder.exists(FOUND_HEADS):
        content, where = folder.read(FOUND_HEADS), f"{run.uri}/heads/{FOUND_HEADS}"
    elif where is None:
        if config.model != sample.SAMPLE:
            raise ValueError(f"heads must be given for model {config.model!r}: a file by --heads, or --heads detect.")
        content, where = sample.heads_file().read_bytes(), "the embedded heads file"
        folder.write(FOUND_HEADS, content)
    else:
        parent, _, name = where.rpartition("/")
        content = Folder(parent or ".").read(name)
        folder.write(name, content)  # the report shows the heads that the scores were made with
    record = parse_heads(content, where=where)
    return chosen_heads(record, sha256=sha256, allow_weak=config.allow_weak_heads, where=where)


def _identity(config: Any, op: ForwardPass, corpus: Corpus, sizes: Sizes) -> dict[str, Any]:
    """Whatever can change a byte of the files; where the corpus lies can't, its shards' names hold what it is."""
    columns = {name: value for name, value in asdict(corpus).items() if name != "sources"}
    model = open_model(config.model)
    return {
        "model_sha256": model.sha256(),
        "tokenizer_sha256": model.tokenizer_sha256(),
        "scorers": [type(part).__name__.lower() for part in op.statistics],
        "heads": [list(head) for head in op.heads],
        "max_tokens": op.max_tokens,
        "dtype": op.dtype,
        "token_budget": op.token_budget,
        "op_version": op.version,
        **({"compiler": op.compiler} if op.compiler else {}),  # fused products round in other places
        **asdict(sizes),
        **columns,
    }


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
