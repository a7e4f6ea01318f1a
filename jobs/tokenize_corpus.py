"""Tokenise a corpus once: python -m jobs.tokenize_corpus --corpus DATA --output RUN --tokenizer MODEL."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from jobs import settings
from jobs.common import CorpusSettings, RunSettings, run_job
from jobs.find_heads import some_texts
from raypipe.corpus import Corpus, plan_shards
from raypipe.models.tokenizer import FILE, open_vocabulary, train_tokenizer
from raypipe.run.cluster import Wanted
from raypipe.run.stage import Annotate, Sizes, Stopped, is_complete
from raypipe.runs.card import read_card
from raypipe.runs.lock import Lock
from raypipe.runs.signals import orderly_stop
from raypipe.storage.folder import Folder
from raypipe.train.data.index import every_row_once, read_listing, read_mix
from raypipe.train.data.megatron import write_megatron
from raypipe.train.data.order import Stream
from raypipe.train.data.tokenise import Tokenise

STAGE = "tokens"
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
    run = Folder(config.output)
    with Lock(run) as lock, orderly_stop() as (stopping, status):
        try:
            corpus, op, sizes = config.to_corpus(), _op(config), _sizes(config)
            card = Annotate(
                run,
                f"{STAGE}-{config.name}" if config.name else STAGE,
                op,
                corpus,
                wanted=Wanted(1, 1, 0.0, config.cpus_per_worker),
                sizes=sizes,
                identity=_identity(op, corpus, sizes),
                stopping=stopping,
                is_owner=lambda: not lock.is_lost,
                retry_failed=config.retry == "failed",
            )()
        except Stopped as stop:
            print(stop, file=sys.stderr)
            return status["code"]
    counts = card["counts"]
    print(f"{counts['rows']:,} rows: {counts['tokens']:,} tokens in {run.uri}/{card['stage']}")
    for key, why in card["set_aside"].items():
        print(f"set aside: {key}: {why}", file=sys.stderr)
    if config.export == "megatron":
        _export(config, run, card["stage"])
    return 0 if is_complete(card) else 1


def _sizes(config: Config) -> Sizes:
    return Sizes(config.shard_bytes, max(1, config.shard_bytes // 1024)) if config.shard_bytes else SIZES


def _op(config: Config) -> Tokenise:
    """The Op, its tokenizer learnt first where that is asked for."""
    corpus, folder = config.to_corpus(), Path(config.tokenizer).expanduser()
    plan_shards(corpus, **asdict(SIZES))  # wrong paths and columns end here, before any worker
    if config.train_vocabulary is not None and not (folder / FILE).is_file():
        texts = some_texts(corpus, limit=config.train_texts)
        train_tokenizer(texts, vocabulary_size=config.train_vocabulary, folder=folder)
        print(f"learnt a tokenizer from {len(texts):,} texts: {folder}", file=sys.stderr)
    open_vocabulary(config.tokenizer)
    where = str(folder.absolute()) if folder.is_dir() else config.tokenizer  # workers run in another directory
    return Tokenise(where, append_end=config.append_end)


def _identity(op: Tokenise, corpus: Corpus, sizes: Sizes) -> dict[str, Any]:
    """Whatever can change a byte of the files."""
    columns = {name: value for name, value in asdict(corpus).items() if name != "sources"}
    vocabulary = open_vocabulary(op.tokenizer)
    return {
        "tokenizer_sha256": vocabulary.sha256,
        "vocabulary_size": vocabulary.size,
        "append_end": op.append_end,
        "op_version": op.version,
        **asdict(sizes),
        **columns,
    }


def _export(config: Config, run: Folder, stage: str) -> None:
    """Write the mix of the run for Megatron; local folders only, as its readers map the files."""
    if not run.is_local:
        raise ValueError(
            f"--export megatron writes files that are mapped into memory: give a local --output, not {run.uri}."
        )
    listing = read_listing(run / stage)
    chosen = config.selection is not None and read_card(run / config.selection) is not None
    mix = read_mix(listing, run / str(config.selection)) if chosen else every_row_once(listing)
    folder = Path(run.path("megatron"))
    folder.mkdir(parents=True, exist_ok=True)
    size = open_vocabulary(config.tokenizer).size
    stream = Stream(mix, seed=config.seed, length=2)
    n, tokens = write_megatron(run / stage, stream, prefix=folder / "mix", vocabulary_size=size)
    print(f"{n:,} documents, {tokens:,} tokens in {folder}/mix.bin")


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
