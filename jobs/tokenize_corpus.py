"""Tokenise a corpus once: python -m jobs.tokenize_corpus --corpus DATA --output RUN --tokenizer MODEL."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from raypipe.corpus import Corpus, plan_shards
from raypipe.models.tokenizer import FILE, learnt_size, open_vocabulary, train_tokenizer
from raypipe.run.cluster import Wanted
from raypipe.run.inputs import Sizes
from raypipe.run.stage import Annotate
from raypipe.runs.card import finished_card, stages_of
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder
from raypipe.train.data.index import every_row_once, read_listing, read_mix
from raypipe.train.data.megatron import write_megatron
from raypipe.train.data.order import DataOrder
from raypipe.train.data.tokenise import Tokenise

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name, why_incomplete
from .parts.heads import some_texts
from .parts.idle import refuse_idle

STAGE, SELECTION = "tokens", "selection"
SIZES = Sizes(shard_bytes=64 << 20, part_rows=100_000)


@dataclass(frozen=True, kw_only=True)
class TokenizeSettings:
    """How text becomes token ids."""

    tokenizer: str = "sample"
    """Folder with tokenizer.json, or a model: folder, org/name[@revision], GGUF file, or `sample`."""
    train_vocabulary: int | None = None
    """Learn a byte-level BPE tokenizer of so many tokens from the corpus, into --tokenizer, unless it is there."""
    train_texts: int = 100_000
    """Learn it from so many texts at most, a share from each shard."""
    append_end: bool = True
    """End every document with the tokenizer's end-of-text token."""
    shard_bytes: int | None = None
    """Bytes of text a shard; None: 64 MiB."""
    cpus_per_worker: float = 1.0
    """CPUs that the committing worker reserves; readers tokenise beside it."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """The mix for another trainer."""

    export: Literal["none", "megatron"] = "none"
    """megatron: also write RUN/megatron/mix.bin and mix.idx, the documents of one epoch in their order."""
    selection: str | None = "selection"
    """Stage with the weights of the exported mix; a run without it exports every row once."""
    seed: int = 0
    """Of the order of the exported mix."""


@dataclass(frozen=True, kw_only=True)
class Config(TokenizeSettings, ExportSettings, CorpusSettings, RunSettings):
    """Settings of tokenize_corpus."""


def main(config: Config) -> int:
    """Tokenise what isn't tokenised yet; status 1 if a shard had to be set aside."""
    stage = stage_name(STAGE, config)
    if config.train_vocabulary is None:
        refuse_idle(config, ["train_texts"], because="without --train-vocabulary")
    if config.export == "none":
        refuse_idle(config, ["selection", "seed"], because="without --export")
    with life_of(config, "tokenize_corpus", stages=[stage], has_shards=True) as life:
        corpus, sizes = config.to_corpus(), _sizes(config)
        plan_shards(corpus, **asdict(SIZES))  # wrong paths and columns end here, before any worker
        selection = exported_selection(config, life.run)
        vocabulary_to_learn = to_learn(config)
        life.begin()
        with life.at_once():
            op = _op(config, corpus, vocabulary_to_learn)
        card = Annotate(
            life.run,
            stage,
            op,
            corpus,
            wanted=Wanted(1, 1, 0.0, config.cpus_per_worker),
            sizes=sizes,
            identity=identity_of(op, corpus, sizes, op_version=op.version),
            stopping=life.stopping,
            is_owner=life.is_owner,
            retry_failed=config.retry == "failed",
        )()
        counts = card["counts"]
        print(f"{counts['rows']:,} rows: {counts['tokens']:,} tokens in {life.run.uri}/{stage}")
        if config.export == "megatron":
            life.run.owner.check(anew=True)  # the files are mapped into memory, not put through the run's folder
            _export(config, life.run, stage, selection)
        life.conclude(why_incomplete(card))
    return life.status


def exported_selection(config: Config, run: Folder) -> str | None:
    """The stage whose weights the exported mix takes; None: every row once, as in a run that has no selection.

    Raises
    ------
    ValueError
        If the mix can't be written where it is to be.
    FileNotFoundError
        If the run has no such stage, with the nearest.
    """
    if config.export == "none":
        return None
    if not run.is_local:
        raise ValueError(
            f"--export megatron writes files that are mapped into memory: give a local --output, not {run.uri}."
        )
    if config.selection in (None, "none"):
        return None
    has_any = any(stage.startswith(SELECTION) for stage in stages_of(run))
    if config.selection == SELECTION and not has_any:
        return None
    finished_card(run, str(config.selection))
    return config.selection


def to_learn(config: Config) -> bool:
    """Whether a tokenizer is to be learnt first.

    Raises
    ------
    ValueError
        If one stands there that was learnt with another size.
    """
    folder = Path(config.tokenizer).expanduser()
    if config.train_vocabulary is None or not (folder / FILE).is_file():
        return config.train_vocabulary is not None
    asked = learnt_size(folder)
    if config.train_vocabulary != asked:
        raise ValueError(
            f"train_vocabulary is {config.train_vocabulary:,}, but the tokenizer in {folder} was made with {asked:,}; "
            "give --tokenizer another folder, or leave --train-vocabulary out to use this one."
        )
    return False


def _sizes(config: Config) -> Sizes:
    return Sizes(config.shard_bytes, max(1, config.shard_bytes // 1024)) if config.shard_bytes else SIZES


def _op(config: Config, corpus: Corpus, is_learnt_first: bool) -> Tokenise:
    """The Op, its tokenizer learnt first where that is asked for."""
    folder = Path(config.tokenizer).expanduser()
    if is_learnt_first:
        texts = some_texts(corpus, limit=config.train_texts)
        train_tokenizer(texts, vocabulary_size=int(config.train_vocabulary or 0), folder=folder)
        print(f"learnt a tokenizer from {len(texts):,} texts: {folder}", file=sys.stderr)
    open_vocabulary(config.tokenizer)
    where = str(folder.absolute()) if folder.is_dir() else config.tokenizer  # workers run in another directory
    return Tokenise(where, append_end=config.append_end)


def _export(config: Config, run: Folder, stage: str, selection: str | None) -> None:
    """Write the mix of the run for Megatron; local folders only, as its readers map the files."""
    listing = read_listing(run / stage)
    mix = every_row_once(listing) if selection is None else read_mix(listing, run / selection)
    folder = Path(run.path("megatron"))
    folder.mkdir(parents=True, exist_ok=True)
    size = open_vocabulary(config.tokenizer).size
    order = DataOrder(mix, seed=config.seed, length=2)
    n, tokens = write_megatron(run / stage, order, prefix=folder / "mix", vocabulary_size=size)
    print(f"{n:,} documents, {tokens:,} tokens in {folder}/mix.bin")


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
