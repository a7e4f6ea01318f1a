"""Retrieval measures by ir-measures and ranx: python retrieval_side.py ASKED.json ANSWERED.json.

ASKED holds qrels (query -> document -> whole number), run (query -> document -> score, none twice in a query) and k, a
list. ANSWERED gets by program and measure (nDCG@10) the value of each query that a program gives one, and versions.
Imports nothing of raypipe.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]


def main(asked: Path, answered: Path) -> None:
    """Answer what is asked."""
    given = json.loads(asked.read_text())
    qrels, run, ks = given["qrels"], given["run"], given["k"]
    names = {"ir-measures": of_ir_measures(qrels, run, ks), "ranx": of_ranx(qrels, run, ks)}
    answered.write_text(json.dumps({"versions": {name: version(name) for name in names}, "measures": names}))


def of_ir_measures(qrels: Qrels, run: Run, ks: list[int]) -> dict[str, dict[str, float]]:
    """What ir-measures, over pytrec_eval, makes of it."""
    import ir_measures
    from ir_measures import RR, R, nDCG

    measures = {str(measure @ k): measure @ k for k in ks for measure in (nDCG, R, RR)}
    found: dict[str, dict[str, float]] = {name: {} for name in measures}
    for one in ir_measures.iter_calc(list(measures.values()), qrels, run):
        found[str(one.measure)][one.query_id] = float(one.value)
    return found


def of_ranx(qrels: Qrels, run: Run, ks: list[int]) -> dict[str, dict[str, float]]:
    """What ranx makes of the queries that both have."""
    from ranx import Qrels as RanxQrels
    from ranx import Run as RanxRun
    from ranx import evaluate

    both = sorted(qrels.keys() & run.keys())
    names = {f"{of}@{k}": f"{name}@{k}" for k in ks for of, name in (("ndcg", "nDCG"), ("recall", "R"), ("mrr", "RR"))}
    made: Any = RanxRun({query: run[query] for query in both})
    evaluate(RanxQrels({query: qrels[query] for query in both}), made, list(names), return_mean=False)
    return {to: {query: float(made.scores[name][query]) for query in both} for name, to in names.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
