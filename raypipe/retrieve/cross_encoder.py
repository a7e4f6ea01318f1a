"""A cross-encoder: a classifier with one output that reads query and document together, from a folder or a hub id.

Source: R. Nogueira and K. Cho, arXiv 1901.04085, section 2; its folder is what sentence-transformers' CrossEncoder
saves: any transformers sequence classifier of one label. The score is the output before any sigmoid, which keeps the
order.
Cost: a pass over the tokens of each pair; pairs of like length go together, padded.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raypipe.models.causal import open_model
from raypipe.models.encoder import first_position
from raypipe.models.tokenizer import open_vocabulary

TOKEN_BUDGET = 8192
"""Tokens of a batch, padding among them."""


class PairModel:
    """A classifier of two texts that are read together."""

    def __init__(self, ref: str, *, max_tokens: int | None = None) -> None:
        """Open a model; pairs of at most so many tokens, None: as many as it has positions for.

        Raises
        ------
        ValueError
            If it has no tokenizer, outputs that don't fit, or its files lack a weight.
        """
        self.ref, self.model = ref, open_model(ref)
        config = self.model.config()
        self.check_outputs(config)
        reach = int(config.max_position_embeddings) - first_position(config)
        self.max_tokens = max_tokens or reach
        if not 3 < self.max_tokens <= reach:
            raise ValueError(
                f"max_tokens must be above 3 and at most {reach}, the positions of {ref!r}, got {max_tokens}."
            )
        self._vocabulary, self._pad = open_vocabulary(ref), int(config.pad_token_id or 0)
        self._weights: Any = None

    def check_outputs(self, config: Any) -> None:
        """Refuse a model whose outputs aren't what is read of it."""

    def outputs(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """What the model says of each pair before any sigmoid or softmax, [n, outputs] float32; a long pair is cut."""
        encoded = self._encoded(pairs)
        lengths = np.array([len(one.ids) for one in encoded], np.int64)
        found: list[np.ndarray] = [np.zeros(0, np.float32)] * len(pairs)
        order = np.argsort(-lengths, kind="stable")
        while len(order):
            n = max(1, TOKEN_BUDGET // int(lengths[order[0]]))
            for row, of in zip(order[:n], self._of_batch([encoded[row] for row in order[:n]]), strict=True):
                found[row] = of
            order = order[n:]
        return np.stack(found) if found else np.zeros((0, int(self.model.config().num_labels)), np.float32)

    def _encoded(self, pairs: Sequence[tuple[str, str]]) -> list[Any]:
        backend = self._vocabulary.backend
        backend.enable_truncation(self.max_tokens, strategy="longest_first")
        try:
            return list(backend.encode_batch([tuple(pair) for pair in pairs]))
        finally:
            backend.no_truncation()  # the engine is shared by all who open this tokenizer

    def _of_batch(self, encoded: list[Any]) -> np.ndarray:
        import torch

        if self._weights is None:
            self._weights = self._opened()
        device, longest = next(self._weights.parameters()).device, len(encoded[0].ids)
        given = {"input_ids": self._pad, "attention_mask": 0, "token_type_ids": 0}
        of = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        if not getattr(self._weights.config, "type_vocab_size", 0) > 1:
            del given["token_type_ids"]
        inputs = {}
        for name, fill in given.items():
            rows = [getattr(one, of[name]) + [fill] * (longest - len(one.ids)) for one in encoded]
            inputs[name] = torch.tensor(rows, device=device)
        with torch.inference_mode():
            return np.asarray(self._weights(**inputs).logits.float().cpu().numpy())

    def _opened(self) -> Any:
        import torch
        from transformers import AutoModelForSequenceClassification

        from raypipe.models.weights import load_weights

        self.model.check_tensors()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return load_weights(
            AutoModelForSequenceClassification, self.model.folder, ref=self.ref, dtype="float32", device=device
        )


class CrossEncoder(PairModel):
    """A PairScorer of a model's weights."""

    def check_outputs(self, config: Any) -> None:
        """Refuse more than one output."""
        if config.num_labels != 1:
            raise ValueError(f"reranker {self.ref!r} must have one output (num_labels), got {config.num_labels}.")

    def identity(self) -> Mapping[str, Any]:
        """What its scores follow from."""
        digests = {"reranker_sha256": self.model.sha256(), "reranker_tokenizer_sha256": self.model.tokenizer_sha256()}
        return {**digests, "reranker_max_tokens": self.max_tokens}

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """A score for each pair, [n] float32; of a long pair the longer text loses its end."""
        found: np.ndarray = self.outputs(pairs)[:, 0]
        return found
