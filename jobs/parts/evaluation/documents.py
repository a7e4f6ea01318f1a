"""Documents whose loss is measured, and what of them the model was trained on."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raypipe.corpus.records import read_records
from raypipe.evaluate.perplexity import DocumentLosses, by_domain, document_losses
from raypipe.storage.folder import Folder

from .model import EvaluatedModel
from .settings import EvaluationSettings
from .suite import Json, digest_of
from .training_stream import TrainingStream

FIRST = 5
"""Shared documents that are named."""


@dataclass(frozen=True)
class Documents:
    """Texts by domain."""

    texts: list[str]
    domains: list[str]
    names: list[str]
    ids: list[str | None]
    """What is compared with the training stream's ids; None where there is no column of ids."""
    stream: TrainingStream | None

    def __len__(self) -> int:
        return len(self.texts)

    def digest(self) -> str:
        """Of the texts, their domains and the training stream."""
        of_stream = None if self.stream is None else self.stream.mix.sha256
        return digest_of(list(zip(self.domains, self.texts, strict=True)), self.ids, of_stream)

    def ask(self, model: EvaluatedModel) -> pa.Table:
        """Loss of each document, and what it shares with the training stream."""
        found = document_losses(model.decoder, model.vocabulary, self.texts, **model.sizes())
        columns: dict[str, Any] = {"nll": found.nll, "n_tokens": found.n_tokens, "n_bytes": found.n_bytes}
        if self.stream is not None:
            shared = self.stream.shared(self.texts, self.ids, model.vocabulary)
            columns["shared"] = pa.array([one.how for one in shared], pa.string())
            columns["shared_ngrams"] = [one.share for one in shared]
        return pa.table({"name": self.names, "domain": self.domains, **columns})

    def figures(self, items: pa.Table) -> Json:
        """Loss and bits per byte by domain; where the training stream is known, of unseen documents alone too."""
        found: Json = _losses(items)
        if "shared" not in items.column_names:
            return found
        is_shared = items["shared"].is_valid().to_numpy()
        named = items.filter(pa.array(is_shared)).select(["name", "shared", "shared_ngrams"]).to_pylist()
        found["trained_on"] = {"n_shared": int(is_shared.sum()), "first": named[:FIRST]}
        if is_shared.any() and not is_shared.all():
            found["unseen"] = _losses(items.filter(pa.array(~is_shared)))
        return found


def _losses(items: pa.Table) -> Json:
    arrays = [items[name].to_numpy() for name in ("nll", "n_tokens", "n_bytes")]
    return by_domain(DocumentLosses(*arrays), items["domain"].to_pylist())


def read_documents(config: EvaluationSettings, stream: TrainingStream | None) -> Documents | None:
    """The documents that the settings name, None if they name none; rows without a text are left out and counted.

    Raises
    ------
    KeyError
        If a column isn't there.
    ValueError
        If no document has a text.
    """
    if not config.corpus:
        return None
    rows = list(_rows(config))
    if not rows:
        raise ValueError(f"no document in {', '.join(config.corpus)} has a text.")
    domains, texts, names, ids = (list(of) for of in zip(*rows, strict=True))
    return Documents(texts, domains, names, ids, stream)


def _rows(config: EvaluationSettings) -> Iterator[tuple[str, str, str, str | None]]:
    n, left_out, keys = 0, 0, set[str]()
    for record in read_records(config.corpus, where=config.where):
        keys |= record.values.keys()
        text, domain = record.values.get(config.text_column), record.domain or "all"
        if record.reason is not None or not isinstance(text, str) or not text.strip():
            left_out += 1
            continue
        if config.domain_column is not None:
            domain = str(record.values.get(config.domain_column) or "unknown")
        own = None if config.id_column is None else str(record.values.get(config.id_column))
        yield domain, text, own or f"{record.path}:{record.row}", own
        n += 1
        if n == config.limit:
            break
    for name in (config.text_column, config.domain_column, config.id_column):
        if name is not None and name not in keys:
            raise KeyError(f"the documents have no column {name!r}; they have {sorted(keys)}.")
    if left_out:
        print(f"left out: {left_out:,} documents, filtered or without a text", file=sys.stderr)


def stream_of(config: EvaluationSettings, model: EvaluatedModel) -> TrainingStream | None:
    """The training stream that documents are compared with, None if none is named."""
    if config.trained_on is None:
        return None
    run = Folder(config.trained_on)
    return TrainingStream.of(run, tokens=config.tokens, selection=config.selection, vocabulary=model.vocabulary)
