"""The mine_negatives job, in this process: rows that finetune reads, below the margin of their positive."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.mine_negatives import Config, main
from raypipe.settings.nested import built, changed
from raypipe.train.data.pairs import PairColumns, read_pairs
from tests.jobs.test_evaluate_retrieval import write_stage
from tests.retrieve.folders import ANIMALS, write_set

ANGLES = np.array([0.0, 0.1, 0.5, 0.9, 1.2, 1.5])
"""Of documents in a plane; a query points where its own does."""


def plane(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def config(folder: Path, **settings: Any) -> Config:
    given: dict[str, Any] = {
        "data": write_set(folder / "set", split="train"), "split": "train", "output": str(folder / "run"), "depth": 6,
        "document_vectors": write_stage(folder / "d/embeddings", [f"d{at}" for at in range(6)], plane(ANGLES)),
        "query_vectors": write_stage(folder / "q/embeddings", [f"q{at}" for at in range(6)], plane(ANGLES)),
        "mine_from": "dense", "n_negatives": 2, "first_rank": 1, "last_rank": 6, "positive_within": 6,
    }  # fmt: skip
    return built(Config, **{**given, **settings})


def rows_of(config: Config) -> list[dict[str, Any]]:
    text = Path(f"{config.run.output}/negatives/pairs.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_rows_are_pairs_with_negatives_below_the_margin_and_their_cosines(tmp_path, capsys):
    asked = config(tmp_path)
    assert main(asked) == 0
    rows = rows_of(asked)
    assert len(rows) == 6
    for row in rows:
        own = int(row["query_id"][1:])
        assert row["positive_id"] == f"d{own}"
        assert row["positive"] == f"Person {own} likes {ANIMALS[own]}."
        cosines = [float(np.cos(ANGLES[own] - ANGLES[int(name[1:])])) for name in row["negative_ids"]]
        assert row["scores"] == pytest.approx([1.0, *cosines], abs=1e-5)
        assert max(cosines) < 0.95
    assert "6 of 6 pairs have negatives" in capsys.readouterr().out
    near = {row["query_id"]: row["negative_ids"] for row in rows}
    assert "d1" not in near["q0"]  # .995 like its positive: presumably relevant
    pairs = read_pairs(
        [f"{asked.run.output}/negatives/pairs.jsonl"], PairColumns(), heldout_share=0.0, has_scores=True,
        queries=lambda texts: [np.arange(2, dtype=np.int32) for _ in texts],
        documents=lambda texts: [np.arange(3, dtype=np.int32) for _ in texts],
    )  # fmt: skip
    assert (len(pairs.train), pairs.n_negatives) == (6, 2)


def test_without_a_margin_the_nearest_may_be_negatives_and_pairs_that_have_too_few_are_dropped(tmp_path, capsys):
    asked = config(tmp_path, margin=0.0, n_negatives=5)
    assert main(asked) == 0
    assert all(len(set(row["negative_ids"])) == 5 for row in rows_of(asked))
    capsys.readouterr()
    strict = config(tmp_path / "strict", n_negatives=4, margin=0.9)
    assert main(strict) == 0
    assert "dropped: 4 x few negatives" in capsys.readouterr().out  # only the outermost have four so far away
    assert {row["query_id"] for row in rows_of(strict)} == {"q0", "q5"}


def test_words_and_vectors_are_fused_and_cosines_decide(tmp_path):
    asked = config(tmp_path, mine_from="fused", n_negatives=1)
    assert main(asked) == 0
    files = {file.name for file in Path(f"{asked.run.output}/negatives").glob("ranking-*")}
    assert files == {"ranking-bm25.parquet", "ranking-dense.parquet", "ranking-fused.parquet"}
    assert all(score < 0.95 for row in rows_of(asked) for score in row["scores"][1:])


def test_the_same_command_does_nothing_and_another_setting_is_refused(tmp_path):
    asked = config(tmp_path)
    assert main(asked) == 0
    written = Path(f"{asked.run.output}/negatives/pairs.jsonl")
    before = written.stat().st_mtime_ns
    assert main(asked) == 0
    assert written.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"margin was 0.95 and is now 0.9"):
        main(changed(asked, margin=0.9))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"last_rank": 7}, r"first_rank and last_rank must be ranks from 1 to --depth \(6\)"),
        ({"pair_tokens": 9}, "--pair-tokens has no effect without --reranker"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, said):
    with pytest.raises(ValueError, match=said):
        config(tmp_path, **settings).check()
