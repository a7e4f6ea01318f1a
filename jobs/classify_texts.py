"""Classes by language models: python -m jobs.classify_texts --corpus DATA --output RUN --classes LABEL=MODEL ...

The class whose model finds a text likeliest, as a diffusion classifier takes the class under which noise is told best:
a small causal LM of each class's texts (--classes), or one model after a prompt for each class (--prompts). After the
first tokens all but a few classes are dropped, and only those read on (--schedule). RUN/text_classes holds label,
probability, margin, the losses, and how many tokens the models read; `select_corpus --keep` takes them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from raypipe import sample
from raypipe.corpus import Corpus, plan_shards
from raypipe.fitting.sample import ColumnSample
from raypipe.models.causal import open_model
from raypipe.run.cluster import WorkerSettings
from raypipe.run.inputs import Sizes
from raypipe.run.stage import Annotate
from raypipe.runs.card import Json, check_identity, read_card
from raypipe.runs.life import Life
from raypipe.score.class_likelihoods import ClassLikelihoods, ClassModel
from raypipe.settings.identity import identity_of

from .parts import settings
from .parts.asking import CPU_BUDGET, GPU_BUDGET
from .parts.classifiers import gathered, read_labels
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name, why_incomplete
from .parts.scoring import WORKER_BYTES

STAGE, JUDGED = "text_classes", "judged"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of classify_texts."""

    classes: tuple[str, ...] = ()
    """LABEL=MODEL each: a language model of the class's texts, all of one tokenizer. Repeatable."""
    prompts: tuple[str, ...] = ()
    """LABEL=PROMPT each, instead: what stands before a text, in front of --model. Repeatable."""
    model: str = sample.SAMPLE
    """With --prompts: folder, org/name[@revision], GGUF file, or `sample`: the embedded SmolLM2-135M-Instruct."""
    schedule: str = "4:64 1:512"
    """Classes kept and tokens read so far of each stage, KEEP:TOKENS; the last keeps one."""
    truth: str | None = None
    """Parquet or JSON file of rows with `id` and `label`, to judge by; nothing is learned from it."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of weights and activations; auto: bfloat16 on a GPU, float32 on a CPU."""
    token_budget: int | None = None
    """Tokens that go through a model together; None: by device."""
    shard_bytes: int = 16 << 20
    """Bytes of text a shard."""
    part_rows: int = 10_000
    """Rows of a part of a compressed stream or a JSON array."""
    workers: WorkerSettings = WorkerSettings()


def main(config: Config) -> int:
    """Classify what isn't classified yet; status 1 if a shard had to be set aside."""
    classes, stage = _classes(config), stage_name(STAGE, config)
    labels = read_labels(config.truth) if config.truth else {}
    if unknown := sorted(set(labels.values()) - {one.label for one in classes}):
        raise ValueError(f"labels of --truth must be among {[one.label for one in classes]}, got {unknown[0]!r}.")
    models = dict.fromkeys(one.model for one in classes)
    wanted = config.workers.wanted(
        worker_bytes=lambda: WORKER_BYTES + 2.0 * sum(open_model(name).n_bytes for name in models)
    )
    with life_of(config, "classify_texts", stages=[stage], has_shards=True) as life:
        corpus, sizes = config.to_corpus(), Sizes(config.shard_bytes, config.part_rows)
        card = None if life.is_restarting(stage) else read_card(life.run / stage)
        op = _op(config, classes, (card or {}).get("identity", {}), wanted.have_gpus)
        op.check()
        plan_shards(corpus, **asdict(sizes))  # wrong paths and columns end here, before any worker
        identity = identity_of(op, corpus, sizes, op="class likelihoods", op_version=op.version)
        if card is not None:
            check_identity(stage, card, identity)
        wanted.check_here()
        life.begin()
        card = Annotate(
            life.run, stage, op, corpus, wanted, sizes, identity, stopping=life.stopping, is_owner=life.is_owner,
            retry_failed=config.retry == "failed",
        )()  # fmt: skip
        counts = card["counts"]
        print(f"{counts['scored']:,} of {counts['rows']:,} rows have a class in {life.run.uri}/{stage}")
        if labels and card["status"] == "finished":
            _judge(labels, op, life, config, corpus, sizes)
        life.conclude(why_incomplete(card))
    return life.status


def _classes(config: Config) -> tuple[ClassModel, ...]:
    """The classes of the settings.

    Raises
    ------
    ValueError
        If both kinds are given or none, or a word isn't LABEL=VALUE.
    """
    if bool(config.classes) == bool(config.prompts):
        raise ValueError("give either --classes, a model each, or --prompts in front of one model.")
    if config.classes and config.model != sample.SAMPLE:
        raise ValueError("--model has no effect with --classes, which name one each; leave it out.")
    found = []
    for word in config.classes or config.prompts:
        label, is_there, value = word.partition("=")
        if not (label and is_there and value):
            raise ValueError(f"classes and prompts must be LABEL=VALUE each, got {word!r}.")
        found.append(ClassModel(label, value) if config.classes else ClassModel(label, config.model, value))
    return tuple(found)


def _op(
    config: Config, classes: tuple[ClassModel, ...], made_with: Json, have_gpus: Callable[[], bool]
) -> ClassLikelihoods:
    """The Op; what is left to us is what the stage was begun with, else what suits the workers."""
    dtype, budget = config.dtype, config.token_budget or made_with.get("token_budget")
    if dtype == "auto":
        dtype = made_with.get("dtype") or ("bfloat16" if have_gpus() else "float32")
    op = ClassLikelihoods(classes, config.schedule, dtype)
    op.token_budget = budget or max(op.max_tokens, GPU_BUDGET if have_gpus() else CPU_BUDGET)
    return op


def _judge(
    labels: dict[str, str], op: ClassLikelihoods, life: Life, config: Config, corpus: Corpus, sizes: Sizes
) -> None:
    """Say how many of the rows with a true label have it."""
    from raypipe.arrays.intervals import wilson_interval

    stage = stage_name(STAGE, config)
    asked = ColumnSample((f"{stage}.losses",), len(labels), 0, frozenset(labels))
    found = gathered(asked, life, stage_name(JUDGED, config), corpus, sizes, identity_of(corpus, sizes))
    if not len(found.X):
        raise ValueError(f"no row of the corpus has an id of {config.truth}; see that --id-column is the same.")
    names = np.array([one.label for one in op.classes], object)
    truth = np.array([labels[name] for name in found.row_ids], object)
    share = float((names[found.X.argmin(axis=1)] == truth).mean())
    low, high = wilson_interval(share, len(truth))
    print(f"accuracy {share:.3f} ({low:.3f} to {high:.3f}) of {len(truth):,} rows with a true label")


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
