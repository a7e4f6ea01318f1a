"""Lbl2TransformerVec: classes from keywords alone, by the documents nearest to them; does retrieval add to keywords?

Descriptions of Debian packages (five classes), the sample's documents (their eight domains) and with --data the
requests of clinc150 (ten domains), embedded by MiniLM; a seed draws three quarters of the rows. Rivals are the classes'
names, the means of their keywords, zero-shot answers by a small language model (how much likelier the text makes each
name) and, where --data has a folder nli_model, by that NLI model (any transformers sequence classifier with a label of
entailment), and a logistic regression on the labels of half of the rows. Ablations are how many
documents make a class (one is the package's default), and without outliers. In the control each class has another's
keywords. Bars are the dossier's (section f), found there on AG News; macro F1 stands beside accuracy. What an answer
costs is counted: passes of the encoder here, N + keywords, against N K pairs of a zero-shot cross-encoder.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.evaluate.claims import Claim
from raypipe.label.label_vectors import NearestDocuments, label_vectors, probabilities
from raypipe.label.zero_shot import name_likelihoods
from raypipe.models.tokenizer import open_vocabulary
from raypipe.retrieve.entailment import Entailment
from raypipe.runs.trials import Metrics
from raypipe.sample import SAMPLE
from raypipe.storage.folder import Folder

from .named_texts import NamedTexts, minilm, named_texts
from .open_data import real
from .study import Study


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy and macro F1 of one rule on one set."""
    from sklearn.metrics import f1_score

    rows = named_texts(settings["data"], settings["max_rows"])
    X = minilm(rows.texts, settings["max_tokens"])
    chosen = np.random.default_rng([seed, 71]).permutation(len(X))[: 3 * len(X) // 4]
    X, y = X[chosen], rows.y[chosen]
    if settings["by"] in ("likelihood", "entailment"):
        said, tested = _zero_shot(settings, chosen)
    else:
        said, tested = _answers(settings, rows, X, y, seed)
    n_words = sum(map(len, rows.keywords))
    return {
        "accuracy": float((said == y[tested]).mean()),
        "macro_f1": float(f1_score(y[tested], said, average="macro")),
        "passes": float(len(X) + n_words), "pairs": float(len(X) * len(rows.names)),
    }  # fmt: skip


def _zero_shot(settings: dict[str, Any], chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a language model, or an NLI model, says of the chosen rows that it is asked about, and their places."""
    scores = _asked(settings["by"], settings["data"], settings["max_rows"], settings["n_asked"], settings["max_tokens"])
    tested = np.flatnonzero(chosen < len(scores))
    return scores[chosen[tested]].argmax(axis=1), tested


@lru_cache(maxsize=8)
def _asked(by: str, data: str, max_rows: int, n_asked: int, max_tokens: int) -> np.ndarray:
    """Scores [n, k] of the first rows, whose texts are cut as they are for the encoder."""
    rows, vocabulary = named_texts(data, max_rows), open_vocabulary(SAMPLE)
    texts = [text[: _end(vocabulary.backend.encode(text).offsets, max_tokens)] for text in rows.texts[:n_asked]]
    if by == "likelihood":
        return name_likelihoods(texts, rows.names, model=SAMPLE, max_tokens=128)
    return Entailment(str(real(NLI_FOLDER))).probabilities(texts, rows.names)


def _end(offsets: list[tuple[int, int]], max_tokens: int) -> int:
    """Where the first so many tokens of a text end."""
    return offsets[:max_tokens][-1][1] if offsets else 0


def _answers(
    settings: dict[str, Any], rows: NamedTexts, X: np.ndarray, y: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the arm says of the rows that it is tested on, and which these are."""
    every = np.arange(len(X))
    if settings["by"] == "labels":
        from sklearn.linear_model import LogisticRegression

        known, rest = every[: len(X) // 2], every[len(X) // 2 :]
        return LogisticRegression(max_iter=500).fit(X[known], y[known]).predict(X[rest]), rest
    vectors = _directions(settings, rows)
    if settings["by"] == "documents":
        found = NearestDocuments("embeddings.embedding", vectors, settings["documents"])
        ids = [str(number) for number in range(len(X))]
        found.update(pa.table({"id": ids, "embeddings.embedding": X.tolist(), "reason": pa.nulls(len(X), pa.string())}))
        vectors = label_vectors(found, min_documents=settings["documents"], cleans=settings["cleans"])
    return probabilities(X, vectors).argmax(axis=1), every


def _directions(settings: dict[str, Any], rows: NamedTexts) -> np.ndarray:
    """Of each class, its name's vector or the mean of its keywords'; in the control, of the next class."""
    groups = [(name,) for name in rows.names] if settings["by"] == "name" else list(rows.keywords)
    words = minilm(tuple(word for group in groups for word in group), settings["max_tokens"])
    ends = np.cumsum([len(group) for group in groups])[:-1]
    found = np.stack([part.mean(axis=0) for part in np.split(words, ends)])
    return np.roll(found, 1, axis=0) if settings["wrong"] else found


def _arm(by: str, **more: Any) -> dict[str, Any]:
    return {"by": by, "documents": 0, "cleans": False, "wrong": False, **more}


NLI_FOLDER = "nli_model"
LIKELIHOOD, ENTAILMENT = "zero-shot by a language model", "zero-shot by an NLI model"
NAME, WORDS, LABELS, CONTROL = "class names", "means of keywords", "labels of half of the rows", "another's keywords"
DOCUMENTS = {n: f"{n} documents" if n > 1 else "one document" for n in (1, 5, 20, 50)}
CLEANED = "20 documents, without outliers"
LONG = ("debtags", "clinc150")
STUDY = Study(
    source="T. Schopf et al., NLPIR 2022, arXiv 2211.16285, table 3; dossier d and f",
    trial=trial,
    arms={
        NAME: _arm("name"),
        WORDS: _arm("keywords"),
        **{name: _arm("documents", documents=n) for n, name in DOCUMENTS.items()},
        CLEANED: _arm("documents", documents=20, cleans=True),
        LIKELIHOOD: _arm("likelihood"),
        ENTAILMENT: _arm("entailment"),
        LABELS: _arm("labels"),
        CONTROL: _arm("documents", documents=20, wrong=True),
    },
    control=CONTROL,
    data=("debtags", "sample"),
    more_data=("clinc150",),
    needs={ENTAILMENT: NLI_FOLDER},
    settings={"max_rows": 240, "max_tokens": 24, "n_asked": 240},
    quick={"max_rows": 60, "max_tokens": 16, "n_asked": 8},
    claims=(
        Claim(
            sentence="Fifty documents are above the means of keywords by .02",
            metric="accuracy", of=DOCUMENTS[50], over=WORDS, at_least=0.02, data=LONG,
        ),
        Claim(
            sentence="Fifty documents are above the classes' names by .1",
            metric="accuracy", of=DOCUMENTS[50], over=NAME, at_least=0.1, data=LONG,
        ),
        Claim(
            sentence="One document, the package's default, is worse than twenty by .05",
            metric="accuracy", of=DOCUMENTS[20], over=DOCUMENTS[1], at_least=0.05,
        ),
        Claim(
            sentence="One document is worse than the means of keywords",
            metric="accuracy", of=WORDS, over=DOCUMENTS[1],
        ),
        Claim(
            sentence="Five documents are better than one",
            metric="accuracy", of=DOCUMENTS[5], over=DOCUMENTS[1],
        ),
        Claim(
            sentence="The curve is flat from twenty to fifty documents: .02",
            metric="accuracy", of=DOCUMENTS[50], over=DOCUMENTS[20], within=0.02, data=LONG,
        ),
        Claim(
            sentence="Leaving outliers out changes nothing: .01",
            metric="accuracy", of=CLEANED, over=DOCUMENTS[20], within=0.01,
        ),
        Claim(
            sentence="Labels of half of the rows are above twenty documents",
            metric="accuracy", of=LABELS, over=DOCUMENTS[20],
        ),
        Claim(
            sentence="Keywords of the class itself are above those of another class by .3",
            metric="accuracy", of=DOCUMENTS[20], over=CONTROL, at_least=0.3,
        ),
        Claim(
            sentence="Fifty documents are above zero-shot answers by a small language model: .1",
            metric="accuracy", of=DOCUMENTS[50], over=LIKELIHOOD, at_least=0.1, data=LONG,
        ),
        Claim(
            sentence="Fifty documents are above zero-shot answers by an NLI model",
            metric="accuracy", of=DOCUMENTS[50], over=ENTAILMENT, data=LONG,
        ),
        Claim(
            sentence="In macro F1 too fifty documents are above the means of keywords",
            metric="macro_f1", of=DOCUMENTS[50], over=WORDS, data=LONG,
        ),
    ),
)  # fmt: skip
