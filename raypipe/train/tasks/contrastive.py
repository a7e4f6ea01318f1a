"""Texts whose vectors shall be near, and those that shall be far: an encoder under a loss over a whole step."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import nn

from raypipe.contracts.rows import Pair
from raypipe.contracts.task import Figure, Models, Placed, RowLosses
from raypipe.lm.packing import pack
from raypipe.losses.contrastive import ContrastiveLoss
from raypipe.losses.hard_negative_mixing import N_DRAWS
from raypipe.train.loop.flops import matrix_parameters
from raypipe.train.tasks.task import SimpleTask
from raypipe.train.tasks.text_encoder import TextEncoder

RECALL = Figure("recall@1")


class Contrastive(SimpleTask):
    """Negatives are other rows' positives and all rows' own, of the whole step, of all workers; never an equal text."""

    whole_step = True
    figures: Sequence[Figure] = (RECALL,)

    def __init__(self, encoder: TextEncoder, loss: ContrastiveLoss, *, n_negatives: int = 0) -> None:
        """An encoder that is trained on pairs, each with so many negatives of its own.

        Raises
        ------
        ValueError
            If the loss can't be computed of such rows.
        """
        if n_negatives < 0:
            raise ValueError(f"n_negatives must be at least 0, got {n_negatives}.")
        loss.check(n_dimensions=int(encoder.plain.config.hidden_size), n_negatives=n_negatives)
        self._encoder, self._models = encoder, Models(encoder)
        self._loss, self._n_negatives = loss, n_negatives
        self._n_matrix_parameters = matrix_parameters(encoder.plain)

    @property
    def encoder(self) -> TextEncoder:
        """What is trained."""
        return self._encoder

    @property
    def models(self) -> Models:
        """The encoder is trained."""
        return self._models

    def count(self, pair: Pair) -> int:
        """One term a pair."""
        return 1

    def flops(self, pairs: Sequence[Pair]) -> float:
        """Of the products with weights in two forward passes and a backward one; attention isn't counted."""
        return 8.0 * self._n_matrix_parameters * sum(pair.size for pair in pairs)

    def collate(self, pairs: Sequence[Pair], device: torch.device) -> dict[str, Any]:
        """Queries, then positives, then row by row the negatives, packed together, longest first; and where each is.

        Raises
        ------
        ValueError
            If a row brings another number of negatives, or of scores, than the task takes.
        """
        for pair in pairs:
            self._check(pair)
        documents = [pair.positive for pair in pairs] + [text for pair in pairs for text in pair.negatives]
        texts = [pair.query for pair in pairs] + documents
        order = np.argsort([-len(text) for text in texts], kind="stable")  # those of one length attend together
        keys = torch.tensor([_key(text) for text in documents], device=device)
        n, m = len(pairs), self._n_negatives
        found: dict[str, Any] = {
            "batch": pack([texts[at] for at in order], device=device),
            "place": torch.from_numpy(np.argsort(order)).to(device),
            "positive_keys": keys[:n],
        }
        if m:
            found["negative_keys"] = keys[n:].view(n, m)
        if self._loss.pair_mixtures:
            draws = np.stack([_draws(pair, self._loss.pair_mixtures) for pair in pairs])
            found["draws"] = torch.from_numpy(draws).to(device)
        if self._loss.scores_weight:
            found["scores"] = torch.tensor([pair.scores for pair in pairs], dtype=torch.float32, device=device)
        return found

    def _check(self, pair: Pair) -> None:
        if len(pair.negatives) != self._n_negatives:
            raise ValueError(
                f"{pair.path}, row {pair.row}: a row must bring {self._n_negatives} negatives, got "
                f"{len(pair.negatives)}."
            )
        if self._loss.scores_weight and len(pair.scores) != 1 + self._n_negatives:
            raise ValueError(
                f"{pair.path}, row {pair.row}: a row must bring {1 + self._n_negatives} scores, got {len(pair.scores)}."
            )

    def embed(self, models: Placed, tensors: dict[str, Any]) -> dict[str, torch.Tensor]:
        """The vectors of queries and of positives, [n, d] each, and of negatives [n, m, d], where there are any.

        Beside them is what the loss needs of the rows: keys of equal texts, draws, scores.
        """
        vectors = models.trained(tensors["batch"])[tensors["place"]]
        n = len(tensors["positive_keys"])
        found = {"queries": vectors[:n], "positives": vectors[n : 2 * n]}
        if self._n_negatives:
            found["negatives"] = vectors[2 * n :].unflatten(0, (n, self._n_negatives))
        return found | {name: value for name, value in tensors.items() if name not in ("batch", "place")}

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """A term for each row; metrics: whether its own positive is the nearest of all positives."""
        queries, positives, keys = tensors["queries"], tensors["positives"], tensors["positive_keys"]
        others = [keys, *([tensors["negative_keys"].flatten()] if self._n_negatives else [])]
        is_none = keys[:, None] == torch.cat(others)  # a query's own positive is never its negative
        own = torch.arange(len(keys), device=keys.device)
        is_none[own, own] = False
        losses = self._loss.terms({**tensors, "is_none": is_none})
        with torch.no_grad():
            nearest = (nn.functional.normalize(queries, dim=1) @ nn.functional.normalize(positives, dim=1).T).argmax(1)
        return RowLosses(losses, own, {RECALL.name: keys[nearest] == keys})

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Share of queries whose own positive is the nearest of those compared."""
        return {RECALL.name: float(metrics[RECALL.name].mean())}


def _key(ids: np.ndarray) -> int:
    """The same for equal texts."""
    return int.from_bytes(blake2b(ids.tobytes(), digest_size=8).digest(), "big", signed=True)


def _draws(pair: Pair, n: int) -> np.ndarray:
    """[n, 5] float32 in [0, 1), of the row's place."""
    seed = blake2b(f"{pair.path}\0{pair.row}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed, "big")).random((n, N_DRAWS), np.float32)
