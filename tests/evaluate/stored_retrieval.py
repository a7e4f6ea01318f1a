"""Judgements and a run without ties, and what ir-measures and ranx make of them."""

from pathlib import Path
from typing import Any

import numpy as np

from raypipe.evaluate.retrieval import ndcg_of_first, recall_of_first, reciprocal_rank

STORED = Path(__file__).parent / "stored/retrieval.json"
KS = (1, 3, 10, 100)
MEASURES = {"nDCG": ndcg_of_first, "R": recall_of_first, "RR": reciprocal_rank}


def asked() -> dict[str, Any]:
    """Forty queries: of one and of many relevant documents, of grades, of judged 0, of few found, of none found."""
    rng = np.random.default_rng(0)
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for query in range(40):
        documents = rng.permutation(150)
        n_judged = 1 + query % 12
        grades = rng.integers(0, 1 + query % 4, n_judged) if query % 5 else np.ones(n_judged)
        qrels[f"q{query}"] = {f"d{one}": int(grade) for one, grade in zip(documents, grades, strict=False)}
        ranked = rng.permutation(150)[: 0 if query == 7 else 5 if query == 8 else 120]
        scores = rng.permutation(1000)[: len(ranked)] / 1000
        run[f"q{query}"] = {f"d{one}": float(score) for one, score in zip(ranked, scores, strict=True)}
    return {"qrels": qrels, "run": {name: of for name, of in run.items() if of}, "k": list(KS)}


def ours() -> dict[str, dict[str, float]]:
    """Measure -> query -> value, NaN where nothing is relevant."""
    given = asked()
    queries = sorted(given["qrels"])
    gain, judged = np.zeros((len(queries), 120)), np.zeros((len(queries), 12))
    for row, query in enumerate(queries):
        of, run = given["qrels"][query], given["run"].get(query, {})
        ranked = sorted(run, key=lambda one: -run[one])
        gain[row, : len(ranked)] = [of.get(one, 0) for one in ranked]
        judged[row, : len(of)] = [*of.values()]
    return {
        f"{name}@{k}": dict(zip(queries, measure(gain, judged, k=k).tolist(), strict=True))
        for name, measure in MEASURES.items()
        for k in KS
    }
