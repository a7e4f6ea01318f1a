"""One forward pass over documents that serves every statistic: the intact model and one set of heads neutralised."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import DOCUMENT, DOMAIN, REASON, TEXT
from raypipe.contracts.statistic import PerToken, Quantity, Statistic, described, mean_by_document
from raypipe.lm.device_errors import device_errors
from raypipe.lm.heads import Head, check_heads
from raypipe.lm.host_memory import keep_freed_memory
from raypipe.lm.shape import check_float8_sizes, shape_of
from raypipe.lm.token_op import TokenOp
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.score.text import repeated_lines, zlib_bytes
from raypipe.score.tokens import windows
from raypipe.settings.identity import counts_as

if TYPE_CHECKING:  # these need torch, which readers, and a driver that finds nothing to do, never load
    import torch

    from raypipe.lm.decoder import Decoder
    from raypipe.lm.loss import Losses
    from raypipe.lm.packing import Packed

IDS, ZLIB, LOWER_IDS, LOSS_LOWER = "token_ids", "zlib_bytes", "lower_ids", "loss_lower"
MOMENTS: frozenset[Quantity] = frozenset({"log_prob_mean", "log_prob_std"})
TOO_SHORT = "too short"
NOT_FINITE = "loss isn't finite"
FLOAT8 = "float8"


def _digests(ref: str) -> Mapping[str, Any]:
    model = open_model(ref)
    return {"model_sha256": model.sha256(), "tokenizer_sha256": model.tokenizer_sha256()}


def _names(statistics: tuple[Statistic, ...]) -> Mapping[str, Any]:
    return {"scorers": [described(statistic) for statistic in statistics]}


def _if_any(compiler: str | None) -> Mapping[str, Any]:
    return {"compiler": compiler} if compiler else {}  # fused products round in other places


@dataclass
class ForwardPass(TokenOp):
    """The Op behind every scorer: texts to token ids ahead of the device, token ids to scores on it."""

    model: str = field(metadata=counts_as(_digests))
    """Folder, org/name@revision, GGUF file, or `sample`."""

    statistics: tuple[Statistic, ...] = field(metadata=counts_as(_names))
    """The scorers that share this pass."""

    heads: tuple[Head, ...] = ()
    """Heads (layer, head) that the masked variant neutralises."""

    max_tokens: int = 2048
    """Documents are scored on their first tokens, this many."""

    dtype: str = "float32"
    """Of weights and activations: float32, bfloat16, or float8: bfloat16 but for the products of the layers. Losses are
    float32 always."""

    token_budget: int = 4096
    """Tokens that go through the model together."""

    compiler: str | None = field(default=None, metadata=counts_as(_if_any))
    """Backend of torch.compile for the layers and the loss: inductor on GPUs; None: as they are."""

    reads: ClassVar[tuple[str, ...]] = (TEXT, DOMAIN, "n_bytes")
    version: ClassVar[int] = 2
    padding: int = field(default=0, init=False, repr=False, compare=False)
    decoder: "Decoder | None" = field(default=None, init=False, repr=False, compare=False)
    _of_chunk: "Losses | None" = field(default=None, init=False, repr=False, compare=False)

    @property
    def adds(self) -> pa.Schema:
        """The columns of scores/ beside keys and outcome."""
        added = {field.name: field for part in self.statistics for field in part.adds}
        return pa.schema([*DOCUMENT, *added.values()])

    @property
    def needs(self) -> frozenset[Quantity]:
        """What the statistics need of documents."""
        return frozenset(name for part in self.statistics for name in part.needs)

    @property
    def _is_masked(self) -> bool:
        """Whether some statistic needs the variant with the heads neutralised."""
        return "nll_masked" in self.needs

    @property
    def _is_lowered(self) -> bool:
        """Whether some statistic needs the loss of the text in lower case."""
        return LOSS_LOWER in self.needs

    def check(self, *, heads_follow: bool = False) -> None:
        """Refuse what can't work before anything starts: an unknown architecture, a short attention window, heads that
        the model doesn't have. With `heads_follow` they are still to be found.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        if self.max_tokens < 2:
            raise ValueError(f"max_tokens must be at least 2 (a loss needs a token before it), got {self.max_tokens}.")
        if self.token_budget < self.max_tokens:
            raise ValueError(f"token_budget must be at least max_tokens ({self.max_tokens}), got {self.token_budget}.")
        config = open_model(self.model).config()
        check_architecture(config, max_tokens=self.max_tokens)
        if self._is_masked and not heads_follow:
            shape = shape_of(config)
            check_heads(self.heads, n_layers=shape.n_layers, n_heads=shape.n_heads, where="heads")
        if self.dtype == FLOAT8:
            check_float8_sizes(config)

    def prepare(self, table: pa.Table) -> pa.Table:
        """Tokenise: columns.SOURCE -> the describing columns of scores/, token ids and reason, same rows and order."""
        rows = np.flatnonzero(pc.is_null(table[REASON]).to_numpy())
        found = windows(table[TEXT].take(rows).to_pylist(), model=self.model, max_tokens=self.max_tokens)
        reasons = table[REASON].to_pylist()
        columns: dict[str, list] = {name: [None] * len(table) for name in (*DOCUMENT.names, IDS, ZLIB)}
        if self._is_lowered:
            lowered = windows([one.text.lower() for one in found], model=self.model, max_tokens=self.max_tokens)
            columns[LOWER_IDS] = [None] * len(table)
            for row, window in zip(rows, lowered, strict=True):
                columns[LOWER_IDS][row] = window.ids
        columns[DOMAIN], columns["n_bytes"] = table[DOMAIN].to_pylist(), table["n_bytes"].to_pylist()
        for row, window in zip(rows, found, strict=True):
            columns["n_tokens"][row] = len(window.ids)
            columns["n_tokens_total"][row] = window.n_tokens_total
            columns["truncated"][row] = window.n_tokens_total > len(window.ids)
            text = window.text.encode()
            columns[ZLIB][row] = zlib_bytes(text)
            columns["zlib_ratio"][row] = columns[ZLIB][row] / len(text)
            columns["repeated_lines"][row] = repeated_lines(window.text)
            columns[IDS][row] = window.ids
            if len(window.ids) < 2:
                reasons[row] = TOO_SHORT
        prepared = [pa.field(IDS, pa.list_(pa.int32())), pa.field(ZLIB, pa.int32()), pa.field(REASON, pa.string())]
        if self._is_lowered:
            prepared.append(pa.field(LOWER_IDS, pa.list_(pa.int32())))
        schema = pa.schema([*DOCUMENT, *prepared])
        return pa.table({**columns, REASON: reasons}, schema=schema)

    def setup(self, *, n_threads: int) -> None:
        """Load the model onto this worker's device."""
        import torch

        from raypipe.lm.decoder import Decoder
        from raypipe.lm.loss import chunk_losses

        torch.set_num_threads(n_threads)
        keep_freed_memory()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        is_float8 = self.dtype == FLOAT8
        weights = open_model(self.model).weights(dtype="bfloat16" if is_float8 else self.dtype, device=device)
        layers = range(weights.config.num_hidden_layers) if is_float8 else ()
        self._of_chunk = chunk_losses
        self.decoder = Decoder(weights, max_tokens=self.max_tokens, compiler=self.compiler, float8=layers)
        if self.compiler is not None:  # now, where loading and compiling have a time limit of their own
            self._of_chunk = torch.compile(chunk_losses, backend=self.compiler, dynamic=True)
            self.per_token([np.arange(12), np.arange(5)])

    def lengths(self, prepared: pa.Table) -> np.ndarray:
        """Tokens of each row [n]; of both its texts the longer one's, for each of their passes keeps to the budget."""
        lengths = super().lengths(prepared)
        if not self._is_lowered:
            return lengths
        lower = pc.fill_null(pc.list_value_length(prepared[LOWER_IDS]), 0).to_numpy()
        longer: np.ndarray = np.maximum(lengths, lower)
        return longer

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The statistics of one batch of rows: exactly their columns and a reason, same rows and order.

        Raises
        ------
        MemoryError
            If the batch doesn't fit into the device's memory.
        DeviceLost
            If the accelerator fails so that this process can't use it any more.
        """
        documents = [ids.values.to_numpy() for ids in batch[IDS].combine_chunks()] if len(batch) else []
        lengths = np.array([len(document) - 1 for document in documents], dtype=np.int64)
        with device_errors():
            per_token = self.per_token(documents)
        broken = not_finite(per_token, lengths)
        quantities = {**per_token, ZLIB: batch[ZLIB].to_numpy()}
        if self._is_lowered:
            with device_errors():
                quantities[LOSS_LOWER] = self._loss_lower(batch[LOWER_IDS])
        columns: dict[str, pa.Array] = {REASON: pa.array([NOT_FINITE if one else None for one in broken], pa.string())}
        for statistic in self.statistics:
            for name, values in statistic(quantities, lengths).items():
                columns[name] = pa.array(values, type=statistic.adds.field(name).type, mask=np.isnan(values))
        return pa.table(columns)

    def per_token(self, documents: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Every quantity of tokens that the statistics need, float32, documents one after the other."""
        import torch

        from raypipe.lm.loss import token_log_probs
        from raypipe.lm.packing import pack

        if self.decoder is None:
            raise RuntimeError("ForwardPass.setup() loads the model and must run before the first batch.")
        decoder = self.decoder
        with torch.inference_mode():
            batch = pack(documents, device=decoder.device)
            self.padding += batch.padding
            hidden = decoder(batch, [self.heads] if self._is_masked else [])
            if self.needs & MOMENTS:
                found = token_log_probs(hidden[0][batch.sources], decoder.head, batch.targets)
                quantities = {"nll": found.nll, "log_prob_mean": found.mean, "log_prob_std": found.std}
            else:
                quantities = {"nll": self._losses(hidden[0], batch)}
            if self._is_masked:
                quantities["nll_masked"] = self._losses(hidden[1], batch)
            return {name: values.cpu().numpy() for name, values in quantities.items()}

    def _loss_lower(self, ids: pa.ChunkedArray) -> np.ndarray:
        """Mean loss of each lower-cased text, [n]; NaN of one without a predicted token."""
        import torch

        from raypipe.lm.packing import pack

        assert self.decoder is not None
        documents = [one.values.to_numpy() for one in ids.combine_chunks()] if len(ids) else []
        lengths = np.array([max(0, len(document) - 1) for document in documents], dtype=np.int64)
        means, rows = np.full(len(documents), np.nan), np.flatnonzero(lengths)
        if not len(rows):
            return means
        with torch.inference_mode():
            batch = pack([documents[row] for row in rows], device=self.decoder.device)
            losses = self._losses(self.decoder(batch)[0], batch).cpu().numpy()
        means[rows] = mean_by_document(losses, lengths[rows])
        return means

    def _losses(self, stream: "torch.Tensor", batch: "Packed") -> "torch.Tensor":
        from raypipe.lm.loss import chunk_losses, token_losses

        assert self.decoder is not None
        of_chunk = self._of_chunk or chunk_losses  # a decoder may be given without `setup`
        return token_losses(stream[batch.sources], self.decoder.head, batch.targets, of_chunk=of_chunk)


def not_finite(per_token: PerToken, lengths: np.ndarray) -> np.ndarray:
    """Whether a document has a quantity that is NaN or infinite: [p] each, [n] lengths -> [n] bool."""
    starts = np.cumsum(lengths) - lengths
    broken = np.zeros(len(lengths), dtype=bool)
    for values in per_token.values():
        broken |= np.logical_or.reduceat(~np.isfinite(values), starts) if len(lengths) else False
    return broken
