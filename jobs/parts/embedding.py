"""What embedding a corpus is made of: the encoder and how it is read out, what stands around a text, and the stage."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from raypipe.corpus import Corpus, plan_shards
from raypipe.corpus.records import read_records
from raypipe.embed.embed import Embed
from raypipe.embed.formats import NumberFormat
from raypipe.embed.template import PLAIN, TEXT, instructed
from raypipe.models.causal import open_model
from raypipe.models.encoder import open_encoder
from raypipe.models.sentence_files import Pooling
from raypipe.run.cluster import Wanted, WorkerSettings
from raypipe.run.inputs import Sizes
from raypipe.run.stage import Annotate
from raypipe.runs.card import Json, check_identity, read_card
from raypipe.runs.life import Life
from raypipe.settings.identity import identity_of

from .autotune import settle
from .common import RunSettings, stage_name
from .idle import refuse_idle
from .scoring import FIRST_LOOK, WORKER_BYTES, ShardCut

STAGE = "embeddings"
CPU_BUDGET, GPU_BUDGET = 4096, 65_536


@dataclass(frozen=True, kw_only=True)
class AroundText:
    """What stands around a text."""

    texts_are: Literal["document", "query", "text"] = "document"
    """Which prompt of the model's own files stands before a text; `text`: its default one."""
    template: str | None = None
    """What stands around a text, in place of that prompt; {text} is its place."""
    instruction: str | None = None
    """What a query is to find: short for --template 'Instruct: ...\\nQuery: {text}'."""
    demonstrations: str | None = None
    """Parquet or JSON file of `query` and `passage` that stand before the instruction, as examples of it."""

    def check(self) -> None:
        """Refuse settings that would be ignored.

        Raises
        ------
        ValueError
            With the first.
        """
        if self.template is not None:
            refuse_idle(self, ["instruction", "demonstrations", "texts_are"], because="with --template")
        if self.instruction is None:
            refuse_idle(self, ["demonstrations"], because="without --instruction")
        else:
            refuse_idle(self, ["texts_are"], because="with --instruction")

    def whole(self, prompt: Callable[[str], str]) -> str:
        """The template: as asked, else with the `prompt` of what the texts are."""
        if self.template is not None:
            return self.template
        if self.instruction is not None:
            return instructed(self.instruction, demonstrated(self.demonstrations) if self.demonstrations else ())
        return prompt(self.texts_are) + PLAIN


@dataclass(frozen=True, kw_only=True)
class EmbedSettings:
    """Which model makes vectors of the documents, of what, and how the work is cut."""

    model: str = "mini"
    """Folder, org/name[@revision], or `mini`: all-MiniLM-L6-v2. BERT, RoBERTa, MPNet, ModernBERT, XLM-R, or a decoder
    (Llama, Mistral, Qwen 2 and 3, OLMo 2)."""
    around: AroundText = AroundText()
    pooling: Pooling | None = None
    """How token states become a vector; None: as the model's files say."""
    bidirectional: bool = False
    """Take a decoder's causal mask away; one whose config.json says so is without it anyway."""
    append_end: bool = False
    """End each text with the tokenizer's end of text, also where it adds none: for last-token pooling."""
    max_tokens: int | None = None
    """Longest text or chunk; None: as the model's files say."""
    max_chunks: int = 1
    """Chunks that a longer document is cut into, at most; its vector is their mean. 1: its first tokens alone."""
    dimensions: int | None = None
    """Keep the first N (matryoshka); None: all."""
    number_format: NumberFormat = "float32"
    """What vectors are stored in: float32, float16, int8 (with a scale a row) or binary (eight to a byte)."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of weights and activations; auto: bfloat16 on a GPU, float32 on a CPU."""
    token_budget: int | None = None
    """Tokens that go through the model together; None: by device."""
    cut: ShardCut = ShardCut()
    workers: WorkerSettings = WorkerSettings()

    def check(self) -> None:
        """Refuse settings that would be ignored.

        Raises
        ------
        ValueError
            With the first.
        """
        self.around.check()
        if self.cut.shard_bytes is None:
            refuse_idle(self.cut, ["shard_rows"], because="without --shard-bytes")

    def wanted(self) -> Wanted:
        """The workers that these settings ask for."""
        return self.workers.wanted(worker_bytes=lambda: WORKER_BYTES + 2.0 * open_model(self.model).n_bytes)

    def op(self, *, have_gpus: Callable[[], bool], made_with: Json) -> Embed:
        """The Op; what is left to us is what the stage was begun with, else what suits the workers."""
        is_causal = False if self.bidirectional else None
        encoder = open_encoder(self.model, pooling=self.pooling, is_causal=is_causal, max_tokens=self.max_tokens)
        dtype, budget = self.dtype, self.token_budget or made_with.get("token_budget")
        if dtype == "auto":
            dtype = made_with.get("dtype") or ("bfloat16" if have_gpus() else "float32")
        return Embed(
            model=self.model,
            template=self.around.whole(encoder.prompt),
            pooling=self.pooling,
            is_causal=is_causal,
            appends_end=self.append_end,
            max_tokens=self.max_tokens,
            max_chunks=self.max_chunks,
            dimensions=self.dimensions,
            number_format=self.number_format,
            dtype=dtype,
            token_budget=budget or max(encoder.max_tokens, GPU_BUDGET if have_gpus() else CPU_BUDGET),
        )


def embed(embedding: EmbedSettings, corpus: Corpus, life: Life, *, run: RunSettings) -> Json:
    """Embed the corpus into RUN/embeddings and return the stage's card; what is there stays.

    Nothing is written before all that can be refused is checked.
    """
    stage, wanted = stage_name(STAGE, run), embedding.wanted()
    card = None if life.is_restarting(stage) else read_card(life.run / stage)
    made_with = (card or {}).get("identity", {})
    sizes = embedding.cut.sizes(made_with)
    plan = plan_shards(corpus, **asdict(sizes or FIRST_LOOK))  # wrong paths and columns end here, before any device
    op = embedding.op(have_gpus=wanted.have_gpus, made_with=made_with)
    op.check()
    wanted.check_here()

    def identity(cut: Sizes) -> Json:
        return identity_of(op, corpus, cut, op="embed", op_version=op.version, **op.identity())

    if card is not None and sizes is not None:
        check_identity(stage, card, identity(sizes))
    life.begin([stage])
    with life.at_once():
        _, sizes = settle([op], sizes, corpus, plan, wanted)
    return Annotate(
        life.run, stage, op, corpus, wanted=wanted, sizes=sizes, identity=identity(sizes), stopping=life.stopping,
        is_owner=life.is_owner, retry_failed=run.retry == "failed",
    )()  # fmt: skip


def demonstrated(uri: str) -> list[tuple[str, str]]:
    """(query, passage) of each row of a file.

    Raises
    ------
    ValueError
        If a row can't be read or has no two texts.
    """
    found: list[tuple[Any, Any]] = []
    for record in read_records((uri,)):
        query, passage = record.values.get("query"), record.values.get("passage")
        if record.reason is not None or not all(isinstance(one, str) and TEXT not in one for one in (query, passage)):
            raise ValueError(
                f"{record.path}, row {record.row}: must have texts `query` and `passage` without {TEXT}"
                f"{f'; {record.reason}' if record.reason else ''}."
            )
        found.append((query, passage))
    return found
