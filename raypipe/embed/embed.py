"""A vector for each text: an encoder or a decoder read out as its own files say, packed without padding.

Sources: N. Reimers, I. Gurevych, Sentence-BERT, EMNLP 2019, section 3 (mean and CLS pooling); A. Kusupati et al.,
Matryoshka Representation Learning, NeurIPS 2022 (the first dimensions alone); KaLM-Embedding-V2, arXiv 2506.20923
(a decoder without its causal mask, mean pooling); LG-ANNA-Embedding, arXiv 2506.07438 (a causal one, its last token).
Departures: what is cut to its first dimensions is brought to length 1 again where the model's files normalise, as KaLM
does and sentence-transformers doesn't; control strings inside a text stay text; a long text may be the mean of its
chunks, weighted by their tokens.
Cost: one pass over the tokens; texts of a batch aren't padded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON, TEXT
from raypipe.embed.formats import NumberFormat, fields_of, stored
from raypipe.embed.pieces import Cutter
from raypipe.embed.template import PLAIN
from raypipe.lm.device_errors import device_errors
from raypipe.lm.host_memory import keep_freed_memory
from raypipe.lm.plan import plan_batches
from raypipe.lm.token_op import TokenOp
from raypipe.models.encoder import Encoder, open_encoder
from raypipe.models.sentence_files import Pooling
from raypipe.settings.identity import counts_as

if TYPE_CHECKING:
    from raypipe.lm.packed_encoder import States

IDS = "token_ids"
DESCRIBING = pa.schema(
    [("n_tokens", pa.int32()), ("n_tokens_total", pa.int64()), ("n_chunks", pa.int32()), ("truncated", pa.bool_())]
)
NO_TOKEN, NOT_FINITE = "no token of its own", "vector isn't finite"
_BY_ENCODER = counts_as(lambda _: {})
"""Of settings that count as what they make of the encoder: `Embed.identity` has it."""


@dataclass
class Embed(TokenOp):
    """The Op: texts to token ids ahead of the device, token ids to vectors on it."""

    model: str = field(metadata=_BY_ENCODER)
    """Folder, org/name@revision, or `mini`: all-MiniLM-L6-v2."""
    template: str = PLAIN
    """What stands around a text; {text} is its place."""
    pooling: Pooling | None = field(default=None, metadata=_BY_ENCODER)
    """How states become a vector; None: as the model's files say."""
    is_causal: bool | None = field(default=None, metadata=_BY_ENCODER)
    """Whether tokens of a decoder see those before them only; None: as config.json says, else they do."""
    appends_end: bool = False
    """Whether each text ends with the tokenizer's end of text."""
    max_tokens: int | None = field(default=None, metadata=_BY_ENCODER)
    """Longest text, or chunk; None: as the model's files say."""
    max_chunks: int = 1
    """Of a longer text; its vector is their mean. 1: its first tokens alone."""
    dimensions: int | None = None
    """How many of the first; None: all."""
    number_format: NumberFormat = "float32"
    """What vectors are stored in."""
    dtype: str = "float32"
    """Of weights and activations: float32 or bfloat16."""
    token_budget: int = 4096
    """Tokens that go through the model together."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    version: ClassVar[int] = 1
    padding: int = field(default=0, init=False, repr=False, compare=False)
    _encoder: Encoder | None = field(default=None, init=False, repr=False, compare=False)
    _states: "States | None" = field(default=None, init=False, repr=False, compare=False)
    _device: str = field(default="cpu", init=False, repr=False, compare=False)

    @property
    def encoder(self) -> Encoder:
        """What the model's files and the settings come to; read once."""
        if self._encoder is None:
            self._encoder = open_encoder(
                self.model, pooling=self.pooling, is_causal=self.is_causal, max_tokens=self.max_tokens
            )
        return self._encoder

    @property
    def adds(self) -> pa.Schema:
        """The vectors, and what the model read of a text."""
        return pa.schema([*DESCRIBING, *fields_of(self.number_format, self.dimensions or self.encoder.n_dimensions)])

    def identity(self) -> Mapping[str, Any]:
        """What vectors follow from beside the settings that count by themselves."""
        return self.encoder.identity()

    def check(self) -> None:
        """Refuse what can't work before anything starts.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        encoder = self.encoder
        encoder.model.check(has_new_head=True)
        if self.dimensions is not None and not 1 <= self.dimensions <= encoder.n_dimensions:
            raise ValueError(
                f"dimensions must be between 1 and the {encoder.n_dimensions} of {self.model!r}, got {self.dimensions}."
            )
        if self.max_chunks < 1:
            raise ValueError(f"max_chunks must be at least 1, got {self.max_chunks}.")
        if self.token_budget < encoder.max_tokens:
            raise ValueError(
                f"token_budget must be at least max_tokens ({encoder.max_tokens}), got {self.token_budget}."
            )
        if self.template != PLAIN and not encoder.files.pools_prompt:
            raise ValueError(
                f"encoder {self.model!r} leaves a prompt out of its pooling (include_prompt), which isn't computed "
                "here; embed its texts without one."
            )
        _ = self.adds
        self._cutter(["a"])

    @property
    def _cutter(self) -> Cutter:
        encoder = self.encoder
        return Cutter(
            self.model, self.template, encoder.max_tokens, self.max_chunks, encoder.files.lowers_case, self.appends_end
        )

    def prepare(self, table: pa.Table) -> pa.Table:
        """Tokenise: texts -> the describing columns, the ids of each chunk and reason, same rows and order."""
        rows = np.flatnonzero(pc.is_null(table[REASON]).to_numpy())
        reasons = table[REASON].to_pylist()
        columns: dict[str, list[Any]] = {name: [None] * len(table) for name in (*DESCRIBING.names, IDS)}
        for row, pieces in zip(rows, self._cutter(table[TEXT].take(rows).to_pylist()), strict=True):
            columns["n_tokens"][row] = sum(map(len, pieces.ids))
            columns["n_tokens_total"][row] = pieces.n_tokens_total
            columns["n_chunks"][row] = len(pieces.ids)
            columns["truncated"][row] = not pieces.is_whole
            columns[IDS][row] = pieces.ids
            if not pieces.ids:
                reasons[row] = NO_TOKEN
        ids = pa.field(IDS, pa.list_(pa.list_(pa.int32())))
        schema = pa.schema([*DESCRIBING, ids, pa.field(REASON, pa.string())])
        return pa.table({**columns, REASON: reasons}, schema=schema)

    def setup(self, *, n_threads: int) -> None:
        """Load the model onto this worker's device."""
        import torch

        from raypipe.lm.packed_encoder import states_of

        torch.set_num_threads(n_threads)
        keep_freed_memory()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        weights = self.encoder.weights(dtype=self.dtype, device=self._device)
        self._states = states_of(weights, max_tokens=self.encoder.max_tokens, is_causal=self.encoder.is_causal)

    def lengths(self, prepared: pa.Table) -> np.ndarray:
        """Tokens of each row [n]; chunks of one that is longer than the budget go through the model in turns."""
        lengths: np.ndarray = np.minimum(super().lengths(prepared), self.token_budget)
        return lengths

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The vectors of one batch of rows and a reason, same rows and order.

        Raises
        ------
        MemoryError
            If the batch doesn't fit into the device's memory.
        DeviceLost
            If the accelerator fails so that this process can't use it any more.
        """
        texts = [[chunk.values.to_numpy() for chunk in row] for row in batch[IDS]]
        with device_errors():
            X = self.vectors(texts)
        with np.errstate(over="ignore"):
            is_finite = np.isfinite(X.astype(np.float16 if self.number_format == "float16" else X.dtype)).all(axis=1)
        reasons = pa.array([None if one else NOT_FINITE for one in is_finite], pa.string())
        return pa.table({**stored(np.where(is_finite[:, None], X, 0), self.number_format), REASON: reasons})

    def vectors(self, texts: list[list[np.ndarray]]) -> np.ndarray:
        """[n, d] float32 of texts, each of one or more chunks of token ids [t_i]."""
        n_chunks = np.array([len(chunks) for chunks in texts], np.int64)
        chunks = [chunk for text in texts for chunk in text]
        found = self._of_chunks(chunks)
        if len(chunks) > len(texts):
            weights = np.array([len(chunk) for chunk in chunks], np.float32)
            starts = np.cumsum(n_chunks) - n_chunks
            found = np.add.reduceat(found * weights[:, None], starts) / np.add.reduceat(weights, starts)[:, None]
            found = self._at_length_one(found)
        if self.dimensions is not None and self.dimensions < found.shape[1]:
            found = self._at_length_one(found[:, : self.dimensions])
        return found

    def _of_chunks(self, chunks: list[np.ndarray]) -> np.ndarray:
        """[n, d] float32; those of a long text go through the model in turns, each within the budget."""
        import torch

        from raypipe.lm.packing import pack
        from raypipe.lm.pooling import pool

        if self._states is None:
            raise RuntimeError("Embed.setup() loads the model and must run before the first batch.")
        found = np.zeros((len(chunks), self.encoder.n_dimensions), np.float32)
        lengths = np.array([len(chunk) for chunk in chunks], np.int64)
        for rows in plan_batches(lengths, budget=max(self.token_budget, int(lengths.max(initial=0)))):
            rows = rows[np.argsort(-lengths[rows], kind="stable")]  # those of one length attend together
            with torch.inference_mode():
                batch = pack([chunks[row] for row in rows], device=torch.device(self._device))
                on_device = torch.from_numpy(lengths[rows]).to(self._device)
                pooled = pool(self._states(batch), on_device, pooling=self.encoder.pooling)
            found[rows] = pooled.cpu().numpy()
        return self._at_length_one(found)

    def _at_length_one(self, X: np.ndarray) -> np.ndarray:
        """The vectors [n, d] at length 1, where the model's files normalise; 0 stays 0."""
        if not self.encoder.is_normalised:
            return X
        normed: np.ndarray = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
        return normed
