"""The rankings: each is made once and kept as a file, which is the only state there is."""

import sys
import threading
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.models.encoder import Encoder, open_encoder
from raypipe.retrieve.cross_encoder import CrossEncoder
from raypipe.retrieve.ranking import Ranked
from raypipe.retrieve.retrieval_set import RetrievalSet, read_retrieval_set
from raypipe.runs.card import Json
from raypipe.runs.signals import Stopped
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .settings import RetrievalSettings
from .vectors import stage_identity, stage_vectors, vectors_in

RERANKED = "reranked"


@dataclass(frozen=True)
class AskedRankings:
    """What is ranked, and by what; opened and checked before anything is computed."""

    settings: RetrievalSettings
    data: RetrievalSet
    encoder: Encoder | None
    """None: vectors are read of stages, or there are none."""
    cross_encoder: CrossEncoder | None

    @property
    def names(self) -> list[str]:
        """The rankings that are judged."""
        return [*dict.fromkeys(self.settings.retrievers), *([RERANKED] if self.cross_encoder else [])]

    def identity(self) -> Json:
        """Whatever can change a ranking, as `ranking.setting`, and what all have in common."""
        settings, vectors = self.settings, self.settings.vectors
        found: dict[str, Json] = {}
        if settings.needs("bm25"):
            found["bm25"] = identity_of(settings.words)
        if self.encoder is not None:
            query, document = vectors.templates(self.encoder)
            found["dense"] = identity_of(vectors, query_template=query, document_template=document)
            found["dense"] |= self.encoder.identity()
        elif settings.needs("dense"):
            stages = {"document_vectors": vectors.document_vectors, "query_vectors": vectors.query_vectors}
            found["dense"] = identity_of(vectors, **{name: stage_identity(uri or "") for name, uri in stages.items()})
        if self.cross_encoder is not None:
            found[RERANKED] = identity_of(settings.reranking, **self.cross_encoder.identity())
        own = {f"{name}.{setting}": value for name, of in found.items() for setting, value in of.items()}
        return {"data_sha256": self.data.sha256, "depth": settings.depth, **own}

    def beside(self, known: Json) -> tuple[Json, Json]:
        """The identity of what is known already, to be compared, and that of it and what is new."""
        identity, made = self.identity(), {name.partition(".")[0] for name in known}
        same = {name: value for name, value in identity.items() if name.partition(".")[0] in made}
        asked = {name.partition(".")[0] for name in same}
        kept = {name: value for name, value in known.items() if name.partition(".")[0] not in asked}
        return {**kept, **same}, {**kept, **identity}


def opened(settings: RetrievalSettings) -> AskedRankings:
    """The test set and the models.

    Raises
    ------
    FileNotFoundError, ValueError
        With the setting or the row.
    """
    if settings.needs("bm25") and find_spec("bm25s") is None:
        raise ValueError(
            "bm25s must be installed for BM25: pip install 'raypipe[retrieve]'; or give --retrievers dense."
        )
    data = read_retrieval_set(settings.data, split=settings.split)
    of, encoder, reranker = settings.vectors, None, settings.reranking.reranker
    if settings.needs("dense") and of.document_vectors is None:
        encoder = open_encoder(of.model, pooling=of.pooling, max_tokens=of.max_tokens)
        encoder.model.check(has_new_head=True)
    cross_encoder = CrossEncoder(reranker, max_tokens=settings.reranking.pair_tokens) if reranker else None
    return AskedRankings(settings, data, encoder, cross_encoder)


@dataclass(frozen=True)
class RankingFiles:
    """The rankings of a stage's folder."""

    asked: AskedRankings
    folder: Folder
    stopping: threading.Event

    def rankings(self) -> dict[str, Ranked]:
        """Those that are judged, by name."""
        return {name: self.of(name) for name in self.asked.names}

    def of(self, name: str) -> Ranked:
        """A ranking, from its file if it is there.

        Raises
        ------
        Stopped
            If the job was asked to stop.
        """
        if self.stopping.is_set():
            raise Stopped("stopped before the next ranking; go on with the same command.")
        file, data = f"ranking-{name}.parquet", self.asked.data
        if not self.folder.exists(file):
            print(f"{name}: {len(data.queries):,} queries, {len(data.documents):,} documents", file=sys.stderr)
            self._write(file, getattr(self, f"_{name}")())
        with self.folder.open(file) as source:
            table = pq.read_table(source)
        shape, at = (len(data.queries), self.asked.settings.depth), {one: n for n, one in enumerate(data.document_ids)}
        documents, scores = np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32)
        rows, places = table["query"].to_numpy(), table["rank"].to_numpy() - 1
        documents[rows, places] = [at[one] for one in table["document"].to_pylist()]
        scores[rows, places] = table["score"].to_numpy()
        return Ranked(documents, scores)

    def _write(self, file: str, ranking: Ranked) -> None:
        rows, places = np.nonzero(ranking.documents >= 0)
        ids = np.array(self.asked.data.document_ids, object)[ranking.documents[rows, places]]
        names = np.array(self.asked.data.query_ids, object)[rows]
        table = pa.table({
            "query": rows, "query_id": pa.array(names, pa.string()), "rank": places + 1,
            "document": pa.array(ids, pa.string()), "score": ranking.scores[rows, places],
        })  # fmt: skip
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.folder.write(file, sink.getvalue())

    def _bm25(self) -> Ranked:
        from raypipe.retrieve.bm25 import BM25

        words, data = self.asked.settings.words, self.asked.data
        return BM25(data.documents, k1=words.k1, b=words.b).rank(data.queries, k=self.asked.settings.depth)

    def _dense(self) -> Ranked:
        from raypipe.retrieve.dense import nearest

        documents, queries = self.vectors
        is_cosine = self.asked.settings.vectors.similarity == "cosine"
        return nearest(queries, documents, k=self.asked.settings.depth, is_cosine=is_cosine)

    def _fused(self) -> Ranked:
        from raypipe.retrieve.fusion import fused

        return fused([self.of("bm25"), self.of("dense")], k=self.asked.settings.depth)

    def _reranked(self) -> Ranked:
        from raypipe.retrieve.rerank import reranked

        of, data, scorer = self.asked.settings.reranking, self.asked.data, self.asked.cross_encoder
        assert scorer is not None
        first = self.of(of.rerank)
        return reranked(first, data.queries, data.documents, score=scorer, depth=of.rerank_depth)

    @cached_property
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Of documents and of queries."""
        of, data = self.asked.settings.vectors, self.asked.data
        if of.document_vectors is not None and of.query_vectors is not None:
            documents = stage_vectors(of.document_vectors, data.document_ids, what="document")
            return documents, stage_vectors(of.query_vectors, data.query_ids, what="query")
        assert self.asked.encoder is not None
        query, document = of.templates(self.asked.encoder)
        return self._embedded(data.documents, document), self._embedded(data.queries, query)

    def _embedded(self, texts: tuple[str, ...], template: str) -> np.ndarray:
        from raypipe.embed.texts import embed

        of = self.asked.settings.vectors
        table = embed(
            texts, model=of.model, template=template, pooling=of.pooling, max_tokens=of.max_tokens,
            dimensions=of.dimensions,
        )  # fmt: skip
        return vectors_in(table)
