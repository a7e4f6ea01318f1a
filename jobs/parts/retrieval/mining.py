"""Pairs with hard negatives out of a retrieval set: ranked by words and vectors, scored by a teacher, written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from raypipe.retrieve.cross_encoder import CrossEncoder
from raypipe.retrieve.mining import Mining, mine
from raypipe.retrieve.ranking import NONE, Ranked
from raypipe.retrieve.retrieval_set import RetrievalSet
from raypipe.runs.card import Json
from raypipe.settings.identity import BY_CONTENT, identity_of

from ..idle import refuse_idle
from .rank import AskedRankings, RankingFiles
from .settings import RetrievalSettings, Retriever, VectorSettings, WordSettings

TOGETHER = 65_536
"""Pairs whose cosines are computed at once."""


@dataclass(frozen=True, kw_only=True)
class MiningSettings:
    """Settings of mine_negatives."""

    data: str = field(metadata=BY_CONTENT)
    """URI of a folder as BEIR and MTEB have them: corpus.jsonl, queries.jsonl, qrels/train.tsv."""
    split: str | None = field(default=None, metadata=BY_CONTENT)
    """Which file of qrels/; None: test, or the only one. Mine of what isn't measured with later."""
    mine_from: Retriever = "fused"
    """Whose ranking negatives are taken from; fused: BM25 and dense by reciprocal ranks."""
    mining: Mining = Mining()
    words: WordSettings = WordSettings()
    vectors: VectorSettings = VectorSettings()
    reranker: str | None = field(default=None, metadata=BY_CONTENT)
    """Folder or hub id of a cross-encoder whose scores, brought to (0, 1), decide; None: cosines do."""
    pair_tokens: int | None = field(default=None, metadata=BY_CONTENT)
    """Longest query and document together; None: as many as the cross-encoder has positions for."""
    depth: int = 100
    """Documents of a query that are ranked."""
    seed: int = 0
    """Of the negatives that are drawn."""

    def check(self) -> None:
        """Refuse what can't work, and settings that would be ignored.

        Raises
        ------
        ValueError
            With the first.
        """
        self.mining.check(depth=self.depth)
        self.retrieval().check()
        if self.reranker is None:
            refuse_idle(self, ["pair_tokens"], because="without --reranker")

    def retrieval(self) -> RetrievalSettings:
        """What is ranked, as evaluate_retrieval has it; without a reranker vectors are needed for their cosines."""
        rankings: tuple[Retriever, ...] = (self.mine_from,) if self.reranker else (self.mine_from, "dense")
        return RetrievalSettings(
            data=self.data, split=self.split, retrievers=tuple(dict.fromkeys(rankings)), words=self.words,
            vectors=self.vectors, depth=self.depth, k=(1,),
        )  # fmt: skip

    def teacher(self) -> CrossEncoder | None:
        """The reranker, opened."""
        return CrossEncoder(self.reranker, max_tokens=self.pair_tokens) if self.reranker else None


def identity_of_mining(settings: MiningSettings, asked: AskedRankings, teacher: CrossEncoder | None) -> Json:
    """Whatever can change a row."""
    found = identity_of(settings.mining, mine_from=settings.mine_from, seed=settings.seed)
    return {**asked.identity(), **found, **(teacher.identity() if teacher else {})}


def mined_pairs(settings: MiningSettings, files: RankingFiles, teacher: CrossEncoder | None) -> tuple[bytes, Json]:
    """The rows as JSON lines, and what was kept and dropped."""
    data, ranking = files.asked.data, files.of(settings.mine_from)
    pairs = np.array([(query, at) for query, of in enumerate(data.relevance) for at in sorted(of)], np.int64)
    scores, pair_scores = _scores(settings, files, ranking, pairs, teacher)
    found = mine(ranking, scores, data.relevance, pairs, pair_scores, settings.mining, seed=settings.seed)
    rows = (
        json.dumps(_row(data, pairs[at], negatives, [pair_scores[at], *own]), ensure_ascii=False) + "\n"
        for at, negatives, own in zip(found.pairs, found.negatives, found.scores, strict=True)
    )
    return "".join(rows).encode(), {"pairs": len(pairs), "kept": len(found.pairs), "dropped": dict(found.dropped)}


def _scores(
    settings: MiningSettings, files: RankingFiles, ranking: Ranked, pairs: np.ndarray, teacher: CrossEncoder | None
) -> tuple[np.ndarray, np.ndarray]:
    """The teacher's scores of the ranked documents [q, k], -inf of those outside the window, and of the pairs [p]."""
    data = files.asked.data
    rows, columns = np.nonzero(ranking.documents != NONE)
    is_in = (columns >= settings.mining.first_rank - 1) & (columns < settings.mining.last_rank)
    rows, columns = rows[is_in], columns[is_in]
    asked = np.concatenate([pairs, np.stack([rows, ranking.documents[rows, columns]], axis=1)])
    if teacher is None:
        documents, queries = (X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12) for X in files.vectors)
        given = np.concatenate([
            np.einsum("nd,nd->n", queries[part[:, 0]], documents[part[:, 1]])
            for part in np.array_split(asked, max(1, len(asked) // TOGETHER))
        ])  # fmt: skip
    else:
        logits = teacher([(data.queries[query], data.documents[at]) for query, at in asked.tolist()])
        given = 1 / (1 + np.exp(-logits.astype(np.float64)))  # a share of a logit would mean nothing
    scores = np.full(ranking.documents.shape, -np.inf, np.float32)
    scores[rows, columns] = given[len(pairs) :]
    return scores, given[: len(pairs)]


def _row(data: RetrievalSet, pair: np.ndarray, negatives: np.ndarray, scores: Sequence[float]) -> Json:
    query, positive = pair.tolist()
    return {
        "query": data.queries[query], "positive": data.documents[positive],
        "negatives": [data.documents[at] for at in negatives], "scores": [round(float(one), 6) for one in scores],
        "query_id": data.query_ids[query], "positive_id": data.document_ids[positive],
        "negative_ids": [data.document_ids[at] for at in negatives],
    }  # fmt: skip
