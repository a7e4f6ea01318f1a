"""LG-ANNA's teacher: words and vectors fused, negatives below a margin of its scores, and its scores as soft labels.

`made` are queries and documents of 40 topics, seen by two retrievers with errors of their own, and by a student with
louder errors; clinc150, with --data, are requests of 40 intents, a tenth of them queries, by BM25 and all-MiniLM-L6-v2,
the student by TF-IDF. A document is relevant if topic or intent is the query's; half of what is relevant is hidden, as
unjudged. Bars are the dossier's (section f, checks 1 to 3), written before any run: fusion a point above BM25 and no
worse than vectors; the .95 rule hides fewer relevant documents among negatives than taking ranks blindly; soft labels
no worse than hard ones. Control: the teacher's scores exchanged among a query's candidates.
Departures: no cross-encoder is at hand, so that the teacher's score is the mean of a cosine and of BM25 as a share of
the query's best; the student is a linear map. Demonstrations (check 4) need an instructed decoder, and aren't tried.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from raypipe.embed.texts import embed
from raypipe.evaluate.claims import Claim
from raypipe.evaluate.retrieval import ndcg_of_first
from raypipe.losses.contrastive import ContrastiveLoss
from raypipe.retrieve.bm25 import BM25
from raypipe.retrieve.fusion import fused
from raypipe.retrieve.mining import Mining, mine
from raypipe.retrieve.ranking import Ranked, first_k
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import real
from .study import Study

DEPTH, N_NEGATIVES = 100, 7
TOP, BLIND = (1, 50), (50, 100)
"""First and last rank."""
BATCH = 32


class Views(NamedTuple):
    """Queries and documents, as two retrievers and a student see them."""

    words: np.ndarray
    """[q, n] scores by words."""
    vectors: np.ndarray
    """[q, n] cosines."""
    queries: np.ndarray
    """[q, d] the student's."""
    documents: np.ndarray
    """[n, d]"""
    relevant: np.ndarray
    """[q, n] bool"""
    known: np.ndarray
    """[q, n] bool: relevant, and said to be."""

    @property
    def teacher(self) -> np.ndarray:
        """[q, n], at most 1."""
        best = np.maximum(self.words.max(axis=1, keepdims=True), 1e-9)
        return np.asarray((np.maximum(self.words, 0) / best + self.vectors) / 2, np.float32)


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """nDCG@10 of a ranking or a student; of a way to mine, what share of the candidates is relevant all the same."""
    views = _views(settings["data"], seed, settings["n_topics"])
    if settings["of"] == "ranking":
        return {"ndcg": _ndcg(_rankings(views)[settings["by"]], views)}
    if settings["of"] == "mining":
        return _mining(views, settings["ranks"], settings["margin"])
    W = _student(views, settings, seed)
    Q, D = views.queries @ W.T, views.documents @ W.T
    return {"ndcg": _ndcg(first_k(_unit(Q) @ _unit(D).T, k=DEPTH), views)}


def _ndcg(ranked: Ranked, views: Views) -> float:
    gain = np.take_along_axis(views.relevant, np.maximum(ranked.documents, 0), axis=1) * (ranked.documents >= 0)
    return float(np.nanmean(ndcg_of_first(gain.astype(float), views.relevant.astype(float), k=10)))


def _rankings(views: Views) -> dict[str, Ranked]:
    words = first_k(np.where(views.words > 0, views.words, -np.inf), k=DEPTH)
    vectors = first_k(views.vectors, k=DEPTH)
    return {"words": words, "vectors": vectors, "fused": fused([words, vectors], k=DEPTH)}


def _mining(views: Views, ranks: tuple[int, int], margin: float) -> Metrics:
    """Of the candidates in these ranks that aren't known: how many are relevant, and what of the others is kept."""
    ranked, teacher = _rankings(views)["fused"], views.teacher
    columns = slice(ranks[0] - 1, ranks[1])
    documents = ranked.documents[:, columns]
    is_one = documents >= 0
    at = np.maximum(documents, 0)
    known, relevant, scores = (np.take_along_axis(of, at, axis=1) for of in (views.known, views.relevant, teacher))
    threshold = np.where(views.known, teacher, np.nan)  # of several known documents their mean
    admitted = is_one & ~known
    if margin:
        admitted &= scores < margin * np.nanmean(threshold, axis=1)[:, None]
    others = is_one & ~relevant
    return {
        "hidden_share": float((admitted & relevant).sum() / max(1, admitted.sum())),
        "kept": float((admitted & others).sum() / max(1, others.sum())),
    }


def _student(views: Views, settings: dict[str, Any], seed: int) -> np.ndarray:
    """The map [d, d] that has learnt pairs of queries and known documents, with mined negatives."""
    import torch

    rng = np.random.default_rng([seed, 75])
    ranked, teacher = _rankings(views)["fused"], views.teacher
    scores = np.take_along_axis(teacher, np.maximum(ranked.documents, 0), axis=1)
    pairs = np.argwhere(views.known)
    known = [{int(at): 1.0 for at in np.flatnonzero(row)} for row in views.known]
    rule = Mining(n_negatives=N_NEGATIVES, first_rank=1, last_rank=DEPTH, positive_within=None, margin=0.95)
    found = mine(ranked, scores, known, pairs, teacher[pairs[:, 0], pairs[:, 1]], rule, seed=seed)
    pairs = pairs[found.pairs]
    soft = np.concatenate([teacher[pairs[:, 0], pairs[:, 1]][:, None], found.scores], axis=1)
    if settings["scores"] == "exchanged":
        soft = rng.permuted(soft, axis=1)
    loss = ContrastiveLoss(scores_temperature=0.1, cosine_temperature=0.1, **settings["loss"])
    W = torch.eye(views.queries.shape[1], requires_grad=True)
    optimiser = torch.optim.AdamW([W], lr=1e-3, weight_decay=0.01)
    for _ in range(settings["n_steps"]):
        rows = rng.choice(len(pairs), min(BATCH, len(pairs)), replace=False)
        query, positive = pairs[rows].T
        is_none = views.known[query][:, np.concatenate([positive, found.negatives[rows].ravel()])].copy()
        np.fill_diagonal(is_none, False)
        of = {
            "queries": torch.from_numpy(views.queries[query]) @ W.T,
            "positives": torch.from_numpy(views.documents[positive]) @ W.T,
            "negatives": torch.from_numpy(views.documents[found.negatives[rows]]) @ W.T,
            "scores": torch.from_numpy(soft[rows]), "is_none": torch.from_numpy(is_none),
        }  # fmt: skip
        optimiser.zero_grad()
        loss.terms(of).mean().backward()
        optimiser.step()
    return W.detach().numpy()


@lru_cache(maxsize=2)
def _views(data: str, seed: int, n_topics: int) -> Views:
    rng = np.random.default_rng([seed, 74])
    return _made(rng, n_topics) if data == "made" else _clinc(rng, n_topics)


def _made(rng: np.random.Generator, n_topics: int) -> Views:
    """Two queries and 20 documents of each topic; each view has noise of its own."""
    centres = rng.normal(size=(n_topics, 16))
    asked, held = np.repeat(np.arange(n_topics), 2), np.repeat(np.arange(n_topics), 20)
    mix = np.linalg.qr(rng.normal(size=(48, 48)))[0]
    Q, D = (centres[of] + 0.6 * rng.normal(size=(len(of), 16)) for of in (asked, held))

    def seen(X: np.ndarray, noise: float) -> np.ndarray:
        return _unit(X + noise * rng.normal(size=X.shape))

    def by_student(X: np.ndarray) -> np.ndarray:
        return _unit(np.concatenate([X, 1.5 * rng.normal(size=(len(X), 32))], axis=1) @ mix)

    words, vectors = (seen(Q, noise) @ seen(D, noise).T for noise in (0.9, 0.8))
    return _with_hidden(words, vectors, by_student(Q), by_student(D), asked, held, rng)


def _clinc(rng: np.random.Generator, n_topics: int) -> Views:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, intents, X = _requests()
    chosen = rng.choice(np.unique(intents), n_topics, replace=False)
    rows = rng.permutation(np.flatnonzero(np.isin(intents, chosen)))
    queries, documents = rows[: len(rows) // 10], rows[len(rows) // 10 :]
    asked, stored = ([texts[row] for row in of] for of in (queries, documents))
    ranked = BM25(stored).rank(asked, k=len(stored))
    words = np.zeros((len(asked), len(stored)), np.float32)
    found = ranked.documents >= 0
    words[np.nonzero(found)[0], ranked.documents[found]] = ranked.scores[found]
    counts = TfidfVectorizer(sublinear_tf=True).fit(stored)
    axes = TruncatedSVD(128, random_state=0).fit(counts.transform(stored))
    Q, D = (_unit(axes.transform(counts.transform(of)) + 1e-9) for of in (asked, stored))
    return _with_hidden(words, X[queries] @ X[documents].T, Q, D, intents[queries], intents[documents], rng)


@lru_cache(maxsize=1)
def _requests() -> tuple[list[str], np.ndarray, np.ndarray]:
    """The first 30 requests of each intent, the intents' names, and MiniLM's vectors."""
    import pyarrow.parquet as pq

    table = pq.read_table(real("clinc150") / "full.parquet").to_pandas()
    table = table[(table["intent"] != "oos") & (table["split"] == "train")].groupby("intent").head(30)
    texts = list(table["text"])
    X = np.stack(embed(texts, model="mini")["embedding"].to_numpy(zero_copy_only=False))
    return texts, table["intent"].to_numpy(str), _unit(X)


def _with_hidden(
    words: np.ndarray, vectors: np.ndarray, queries: np.ndarray, documents: np.ndarray, asked: np.ndarray,
    held: np.ndarray, rng: np.random.Generator,
) -> Views:  # fmt: skip
    """Half of what is relevant to a query isn't said to be."""
    relevant = asked[:, None] == held
    known = relevant & (rng.random(relevant.shape) < 0.5)
    known[np.arange(len(asked)), relevant.argmax(axis=1)] = True  # at least one
    return Views(words.astype(np.float32), vectors.astype(np.float32), queries, documents, relevant, known)


def _unit(X: np.ndarray) -> np.ndarray:
    return np.asarray(X / np.linalg.norm(X, axis=1, keepdims=True), np.float32)


def _ranked_by(name: str) -> dict[str, Any]:
    return {"of": "ranking", "by": name}


def _mined(ranks: tuple[int, int], margin: float) -> dict[str, Any]:
    return {"of": "mining", "ranks": ranks, "margin": margin}


def _learnt(scores: str = "own", **loss: float) -> dict[str, Any]:
    return {"of": "student", "loss": loss, "scores": scores}


WORDS, VECTORS, FUSED = "BM25", "vectors", "BM25 and vectors fused"
FIRST, WINDOW, RULE = "ranks 1 to 50", "ranks 50 to 100", "ranks 1 to 50, below .95"
FAR = "ranks 50 to 100, below .95"
HARD, SOFT, BOTH, CONTROL = "student, InfoNCE", "student, KL", "student, InfoNCE and KL", "student, scores exchanged"
STUDY = Study(
    source="J. Choi et al., LG-ANNA-Embedding, arXiv 2506.07438, teacher, margin and soft labels; dossier f, 1 to 3",
    trial=trial,
    arms={
        WORDS: _ranked_by("words"),
        VECTORS: _ranked_by("vectors"),
        FUSED: _ranked_by("fused"),
        FIRST: _mined(TOP, 0.0),
        WINDOW: _mined(BLIND, 0.0),
        **{f"ranks 1 to 50, below {margin:g}": _mined(TOP, margin) for margin in (0.8, 0.9, 1.0)},
        RULE: _mined(TOP, 0.95),
        FAR: _mined(BLIND, 0.95),
        HARD: _learnt(),
        SOFT: _learnt(contrast_weight=0.0, scores_weight=1.0),
        BOTH: _learnt(scores_weight=1.0),
        CONTROL: _learnt("exchanged", contrast_weight=0.0, scores_weight=1.0),
    },
    control=CONTROL,
    more_data=("clinc150",),
    settings={"n_topics": 40, "n_steps": 150},
    quick={"n_topics": 8, "n_steps": 4},
    seeds=5,
    more_code=("raypipe.losses.info_nce", "raypipe.losses.teacher_scores"),
    claims=(
        Claim(sentence="Fusion is a point of nDCG@10 above BM25", metric="ndcg", of=FUSED, over=WORDS, at_least=0.01),
        Claim(sentence="and above vectors alone", metric="ndcg", of=FUSED, over=VECTORS),
        Claim(
            sentence="Below .95 of the positive fewer of the first 50 are relevant all the same than without the rule",
            metric="hidden_share", of=RULE, over=FIRST, lower_is_better=True,
        ),
        Claim(
            sentence="At ranks 50 to 100 too",
            metric="hidden_share", of=FAR, over=WINDOW, lower_is_better=True,
        ),
        Claim(
            sentence="The rule hides fewer than taking ranks 50 to 100 blindly",
            metric="hidden_share", of=RULE, over=WINDOW, lower_is_better=True,
        ),
        Claim(sentence="A student of soft labels is better than one of hard ones", metric="ndcg", of=SOFT, over=HARD),
        Claim(sentence="Both together are better than hard ones", metric="ndcg", of=BOTH, over=HARD),
        Claim(
            sentence="What is learnt is the teacher's order: five points over its scores exchanged",
            metric="ndcg", of=SOFT, over=CONTROL, at_least=0.05,
        ),
    ),
)  # fmt: skip
