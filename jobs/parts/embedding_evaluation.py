"""What `finetune --learn embedding` ends with: held-out queries find theirs, by words, before and after training."""

import json
import threading
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec

from raypipe.retrieve.ranking import Ranked
from raypipe.retrieve.retrieval_set import RetrievalSet
from raypipe.storage.folder import Folder
from raypipe.train.data.pairs import PairSets

from .choices import EVALUATION
from .finetuning import FinetuneSettings
from .pair_vectors import vectors_by
from .pairs import DOCUMENT, QUERY
from .retrieval.figures import figures_of, table_of

OURS, START, WORDS = "finetuned", "untrained", "bm25"
KS, DEPTH = (1, 10), 100
CHOSEN = "the weights were chosen by the {by} of these rows (--take best): the model's figures are a little too good"
NO_WORDS = "BM25 isn't among them: pip install 'raypipe[retrieve]'"


@dataclass(frozen=True)
class EmbeddingEvaluation:
    """The finetuned encoder on the held-out queries, beside BM25 and the model that training started from."""

    config: FinetuneSettings
    pairs: PairSets
    folder: Folder
    """Of the stage."""
    stopping: threading.Event

    def finish(self) -> None:
        """Write evaluation.json and print its table; without held-out rows say so."""
        if not self.pairs.heldout:
            print("no held-out pairs to evaluate on; raise --heldout-share.")
            return
        data = heldout_set(self.pairs, at_most=self.config.examples.embedding.measured_documents)
        rankings = {
            **({WORDS: by_words(data)} if find_spec("bm25s") else {}),
            START: self._by_vectors(self.config.model, data),
            OURS: self._by_vectors(self.folder / "model", data),
        }
        taking = self.config.taking
        notes = [] if WORDS in rankings else [NO_WORDS]
        if taking.take == "best":
            notes.append(CHOSEN.format(by=taking.best_by))
        found = figures_of(rankings, data, ks=KS, seed=self.config.training.seed)
        known = {"learn": "embedding", "ours": OURS, "n_train": len(self.pairs.train), "notes": notes}
        self.folder.write(EVALUATION, json.dumps({**known, **found}, indent=1).encode())
        print("\n".join([table_of(found), *(f"Note: {note}." for note in notes)]))

    def _by_vectors(self, model: str | Folder, data: RetrievalSet) -> Ranked:
        from raypipe.retrieve.dense import nearest

        texts = {QUERY: data.queries, DOCUMENT: data.documents}
        queries, documents = vectors_by(self.config, model, texts, stopping=self.stopping)
        return nearest(queries, documents, k=min(DEPTH, len(documents)))


def by_words(data: RetrievalSet) -> Ranked:
    """BM25's ranking."""
    from raypipe.retrieve.bm25 import BM25

    return BM25(data.documents).rank(data.queries, k=min(DEPTH, len(data.documents)))


def heldout_set(pairs: PairSets, *, at_most: int) -> RetrievalSet:
    """Held-out queries, each with its positives, among the texts of held-out rows and as many others as may be.

    Texts are in an order by their hash, so that ties are broken at random; an equal text is one document.
    """
    wanted = dict.fromkeys(text for one in pairs.heldout_texts for text in (one.positive, *one.negatives))
    others = {text for one in pairs.train_texts for text in (one.positive, *one.negatives)} - wanted.keys()
    filled = [*wanted, *sorted(others, key=_by_hash)[: max(0, at_most - len(wanted))]]
    documents = sorted(filled, key=_by_hash)
    at = {text: position for position, text in enumerate(documents)}
    relevance: dict[str, dict[int, float]] = {}
    for one in pairs.heldout_texts:
        relevance.setdefault(one.query, {})[at[one.positive]] = 1.0
    return RetrievalSet(
        tuple(map(str, range(len(documents)))), tuple(documents), tuple(map(str, range(len(relevance)))),
        tuple(relevance), tuple(relevance.values()), {},
    )  # fmt: skip


def _by_hash(text: str) -> bytes:
    return blake2b(text.encode()).digest()
