"""What tokenising a corpus is made of: the tokenizer, learnt or given, the cut, and the mix for another trainer."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raypipe.corpus import Corpus
from raypipe.models.tokenizer import FILE, learnt_size, open_vocabulary, train_tokenizer
from raypipe.run.inputs import Sizes
from raypipe.runs.card import finished_card, stages_of
from raypipe.storage.folder import Folder
from raypipe.train.data.index import every_row_once, read_listing, read_mix
from raypipe.train.data.megatron import write_megatron
from raypipe.train.data.order import DataOrder
from raypipe.train.data.tokenise import Tokenise

from .common import CorpusSettings, RunSettings
from .heads import some_texts

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
class TokenizingSettings(TokenizeSettings, ExportSettings, CorpusSettings, RunSettings):
    """How a corpus becomes tokens, and where."""


def exported_selection(config: TokenizingSettings, run: Folder) -> str | None:
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


def to_learn(config: TokenizingSettings) -> bool:
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


def sizes_of(config: TokenizingSettings) -> Sizes:
    """The cut that is asked for, or our own."""
    return Sizes(config.shard_bytes, max(1, config.shard_bytes // 1024)) if config.shard_bytes else SIZES


def op_of(config: TokenizingSettings, corpus: Corpus, is_learnt_first: bool) -> Tokenise:
    """The Op, its tokenizer learnt first where that is asked for."""
    folder = Path(config.tokenizer).expanduser()
    if is_learnt_first:
        texts = some_texts(corpus, limit=config.train_texts)
        train_tokenizer(texts, vocabulary_size=int(config.train_vocabulary or 0), folder=folder)
        print(f"learnt a tokenizer from {len(texts):,} texts: {folder}", file=sys.stderr)
    open_vocabulary(config.tokenizer)
    where = str(folder.absolute()) if folder.is_dir() else config.tokenizer  # workers run in another directory
    return Tokenise(where, append_end=config.append_end)


def export_mix(config: TokenizingSettings, run: Folder, stage: str, selection: str | None) -> None:
    """Write the mix of the run for Megatron; local folders only, as its readers map the files."""
    listing = read_listing(run / stage)
    mix = every_row_once(listing) if selection is None else read_mix(listing, run / selection)
    folder = Path(run.path("megatron"))
    folder.mkdir(parents=True, exist_ok=True)
    size = open_vocabulary(config.tokenizer).size
    order = DataOrder(mix, seed=config.seed, length=2)
    n, tokens = write_megatron(run / stage, order, prefix=folder / "mix", vocabulary_size=size)
    print(f"{n:,} documents, {tokens:,} tokens in {folder}/mix.bin")
