"""Settings of evaluate_retrieval."""

from dataclasses import dataclass, field
from typing import Literal

from raypipe.embed.template import PLAIN, instructed
from raypipe.models.encoder import Encoder
from raypipe.models.sentence_files import Pooling
from raypipe.settings.identity import BY_CONTENT, RUNNING

from ..idle import refuse_idle

Retriever = Literal["bm25", "dense", "fused"]


@dataclass(frozen=True, kw_only=True)
class WordSettings:
    """How words rank."""

    k1: float = 0.9
    """How slowly a word's repetition saturates, of BM25."""
    b: float = 0.4
    """How much long documents are marked down, 0 to 1, of BM25."""


@dataclass(frozen=True, kw_only=True)
class VectorSettings:
    """Which vectors rank."""

    model: str = field(default="mini", metadata=BY_CONTENT)
    """Folder, org/name[@revision], or `mini`: all-MiniLM-L6-v2."""
    pooling: Pooling | None = field(default=None, metadata=BY_CONTENT)
    """How token states become a vector; None: as the model's files say."""
    max_tokens: int | None = field(default=None, metadata=BY_CONTENT)
    """Longest text; None: as the model's files say."""
    dimensions: int | None = None
    """Keep the first N (matryoshka); None: all."""
    query_template: str | None = field(default=None, metadata=BY_CONTENT)
    """What stands around a query, in place of the prompt of the model's files; {text} is its place."""
    document_template: str | None = field(default=None, metadata=BY_CONTENT)
    """What stands around a document, likewise."""
    instruction: str | None = field(default=None, metadata=BY_CONTENT)
    """What a query is to find: short for --query-template 'Instruct: ...\\nQuery: {text}'."""
    document_vectors: str | None = field(default=None, metadata=BY_CONTENT)
    """Finished stage of embed_corpus (RUN/embeddings) with the documents' vectors by id, in place of --model."""
    query_vectors: str | None = field(default=None, metadata=BY_CONTENT)
    """That of the queries."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """How vectors are compared."""

    def check(self) -> None:
        """Refuse settings that would be ignored.

        Raises
        ------
        ValueError
            With the first.
        """
        if (self.document_vectors is None) != (self.query_vectors is None):
            raise ValueError("--document-vectors and --query-vectors must be given together: one model makes both.")
        if self.document_vectors is not None:
            making = ["model", "pooling", "max_tokens", "dimensions", "query_template", "document_template"]
            refuse_idle(self, [*making, "instruction"], because="with --document-vectors")
        if self.query_template is not None:
            refuse_idle(self, ["instruction"], because="with --query-template")

    def templates(self, encoder: Encoder) -> tuple[str, str]:
        """What stands around queries, and around documents: as asked, else the prompts of the model's files."""
        query = instructed(self.instruction) if self.instruction else encoder.prompt("query") + PLAIN
        return self.query_template or query, self.document_template or encoder.prompt("document") + PLAIN


@dataclass(frozen=True, kw_only=True)
class RerankSettings:
    """Which model reads query and document together, and of which ranking."""

    reranker: str | None = field(default=None, metadata=BY_CONTENT)
    """Folder or hub id of a cross-encoder: a sequence classifier of one output. None: nothing is reranked."""
    rerank: Retriever = "fused"
    """Whose first documents it puts in order."""
    rerank_depth: int = 50
    """How many of a query's."""
    pair_tokens: int | None = field(default=None, metadata=BY_CONTENT)
    """Longest query and document together; None: as many as it has positions for."""

    def check(self) -> None:
        """Refuse settings that would be ignored.

        Raises
        ------
        ValueError
            With the first.
        """
        if self.reranker is None:
            refuse_idle(self, ["rerank", "rerank_depth", "pair_tokens"], because="without --reranker")


@dataclass(frozen=True, kw_only=True)
class RetrievalSettings:
    """Settings of evaluate_retrieval."""

    data: str = field(metadata=BY_CONTENT)
    """URI of a folder as BEIR and MTEB have them: corpus.jsonl, queries.jsonl, qrels/test.tsv."""
    split: str | None = field(default=None, metadata=BY_CONTENT)
    """Which file of qrels/; None: test, or the only one."""
    retrievers: tuple[Retriever, ...] = field(default=("bm25", "dense", "fused"), metadata=RUNNING)
    """Which rankings are judged; fused: BM25 and dense by reciprocal ranks."""
    words: WordSettings = WordSettings()
    vectors: VectorSettings = VectorSettings()
    reranking: RerankSettings = RerankSettings()
    depth: int = 100
    """Documents of a query that are ranked."""
    k: tuple[int, ...] = field(default=(1, 10, 100), metadata=RUNNING)
    """k of nDCG@k and recall@k, each at most --depth; reciprocal rank is of the first 10."""
    seed: int = field(default=0, metadata=RUNNING)
    """Of the resamples that intervals are made of."""

    def check(self) -> None:
        """Refuse what can't work, and settings that would be ignored.

        Raises
        ------
        ValueError
            With the first.
        """
        self.vectors.check()
        self.reranking.check()
        if not self.retrievers or not self.k or not all(1 <= k <= self.depth for k in self.k):
            raise ValueError(
                f"retrievers must name one, and each k be between 1 and --depth ({self.depth}), got "
                f"{self.retrievers} and {self.k}."
            )
        if not self.needs("bm25"):
            refuse_idle(self.words, because="without BM25")
        if not self.needs("dense"):
            refuse_idle(self.vectors, because="without vectors")
        if self.reranking.reranker and not 1 <= self.reranking.rerank_depth <= self.depth:
            raise ValueError(
                f"rerank_depth must be between 1 and --depth ({self.depth}), got {self.reranking.rerank_depth}."
            )

    def needs(self, retriever: Retriever) -> bool:
        """Whether a ranking has to be made, for itself or for another."""
        asked = {*self.retrievers, *([self.reranking.rerank] if self.reranking.reranker else [])}
        return retriever in asked or (retriever != "fused" and "fused" in asked)
