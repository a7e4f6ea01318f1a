"""Rows that share a run of words with a benchmark."""

import json

import pyarrow as pa
import pytest

from raypipe.columns import SOURCE
from raypipe.contracts.parts import apply
from raypipe.select.dedup.decontaminate import Decontaminate, sought_in

LONG = "which of these is the largest of all the planets that go around the sun in our part of the sky"
PLAIN = "a document of some words that has nothing to do with any question of a test or of an exam at all"


@pytest.fixture
def benchmark(tmp_path):
    rows = [
        {"id": "q1", "query": LONG, "choices": ["Jupiter", "Mars"], "gold": 0},
        {"id": "q2", "query": "Why?", "choices": ["because", "the cat sat down on the mat at noon"], "gold": 1},
        {"id": "q3", "query": "Too short.", "choices": ["a", "b"], "gold": 0},
    ]
    (tmp_path / "arc.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path / "arc.jsonl")


def looked_through(texts, *benchmarks, **settings):
    n = len(texts)
    source = pa.table({
        "id": [str(row) for row in range(n)], "text_hash": list(range(n)), "domain": ["web"] * n, "text": texts,
        "n_bytes": [len(text or "") for text in texts], "reason": [None if text else "empty" for text in texts],
    }, schema=SOURCE)  # fmt: skip
    return apply(Decontaminate(benchmarks, **settings), source).to_pylist()


def test_a_row_with_a_run_of_a_benchmark_is_skipped_with_the_run_and_the_question(benchmark):
    texts = [PLAIN, f"{PLAIN}. {LONG.title()}!", None, "The CAT sat down, on the mat at noon.", "Too short. " * 9]
    clean, question, empty, choice, short = looked_through(texts, benchmark)
    assert (clean["status"], clean["ngram"], clean["n_ngrams"]) == ("scored", None, 0)
    assert (question["reason"], question["benchmark"]) == ("in benchmark arc", "arc: q1")
    assert question["ngram"] == " ".join(LONG.split()[:13])
    assert question["n_ngrams"] == len(LONG.split()) - 12
    assert (empty["reason"], empty["n_ngrams"]) == ("empty", None)
    assert (choice["status"], choice["ngram"]) == ("skipped", "the cat sat down on the mat at noon")
    assert short["status"] == "scored"


def test_twelve_words_of_thirteen_are_no_run(benchmark):
    assert looked_through([" ".join(LONG.split()[:12])], benchmark)[0]["status"] == "scored"
    assert looked_through([" ".join(LONG.split()[:12])], benchmark, n=12)[0]["status"] == "skipped"


def test_names_digests_and_short_rows(benchmark):
    sought = sought_in((f"exam={benchmark}",), 13, 8)
    assert (sought.n_rows, sought.n_short) == (3, 1)
    assert {name for name, _ in sought.rows} == {"exam"}
    assert sought_in((f"exam={benchmark}",), 12, 8).sha256 != sought.sha256


def test_a_benchmark_that_cant_be_sought_is_refused(tmp_path, benchmark):
    (tmp_path / "bad.jsonl").write_text('{"query": "a"}\n{')
    with pytest.raises(ValueError, match=r"every row of a benchmark must be read, bad.jsonl:1: unparsable"):
        sought_in((str(tmp_path / "bad.jsonl"),), 13, 8)
    (tmp_path / "short.jsonl").write_text('{"query": "a b c"}\n')
    with pytest.raises(ValueError, match="must have texts of 8 words or more to look for"):
        sought_in((str(tmp_path / "short.jsonl"),), 13, 8)
    with pytest.raises(FileNotFoundError):
        sought_in((str(tmp_path / "none.jsonl"),), 13, 8)
