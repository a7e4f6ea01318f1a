"""What a run measures at its first start."""

import itertools
import json
from dataclasses import replace

import pytest

from jobs import score_corpus
from jobs.parts.autotune import COMPARED_S, BudgetSearch, compared, cost_of_8_bits, fastest, settle
from jobs.parts.scoring import ScoreSettings
from jobs.score_corpus import Config
from raypipe.contracts.op import Pool
from raypipe.corpus import Known, Plan, Shard
from raypipe.run.calibrate import (
    MIN_SHARD_BYTES,
    SAMPLE_SHARDS,
    SMALL_BYTES,
    SMALL_FOR_GPUS,
    Rate,
    sampled_shards,
    unmeasured,
)
from raypipe.run.cluster import Wanted
from raypipe.run.rows import BrokenOp
from raypipe.run.stage import Sizes
from raypipe.score.forward_pass import IDS, ForwardPass
from raypipe.score.statistics.influence import Influence
from raypipe.score.statistics.perplexity import Perplexity
from raypipe.settings.nested import built
from tests.score.conftest import tiny_folder  # noqa: F401
from tests.score.test_forward_pass import source

TEXTS = [f"{'word ' * (at % 13)}document {at} of {at * at}" for at in range(60)]
RATE = Rate(1.0, rows=1, tokens=1, text_bytes=1, setup_s=0.0)


def make(tiny_folder, **changes):  # noqa: F811
    settings = {"heads": ((1, 1),), "max_tokens": 64, "token_budget": 256, "dtype": "float8"} | changes
    return ForwardPass(model=str(tiny_folder), statistics=(Influence(), Perplexity()), **settings)


@pytest.fixture
def op(tiny_folder):  # noqa: F811
    return ForwardPass(model=str(tiny_folder), statistics=(Perplexity(),), max_tokens=64)


def test_budgets_to_try_stand_for_the_op_each(op):
    assert [each.token_budget for each in BudgetSearch(try_budgets=(64, 512, 64)).ops(op)] == [64, 512]
    assert BudgetSearch().ops(op) == [op]


def test_a_budget_is_given_or_found_and_holds_a_document(op):
    with pytest.raises(ValueError, match="token_budget and try_budgets exclude each other, got 64"):
        built(ScoreSettings, token_budget=64, try_budgets=(128,)).check()
    with pytest.raises(ValueError, match=r"token_budget must be at least max_tokens \(64\), got 32"):
        BudgetSearch(try_budgets=(128, 32)).ops(op)


def test_the_fastest_is_taken_and_all_rates_are_said(op, monkeypatch, capsys):
    speeds = {64: 10.0, 128: 30.0, 256: 0.0}  # 0: out of memory
    monkeypatch.setattr(
        "jobs.parts.autotune.calibrate",
        lambda ops, *rest: [replace(RATE, tokens_per_s=speeds[one.token_budget]) for one in ops],
    )
    best, rate = fastest([replace(op, token_budget=budget) for budget in speeds], None, None, Pool())
    assert (best.token_budget, rate.tokens_per_s) == (128, 30.0)
    assert "64: 10, 128: 30, 256: 0; 128 it is" in capsys.readouterr().out


def test_only_8_bits_are_compared(op):
    assert cost_of_8_bits(op, None, None, Wanted()) == {}


def test_8_bits_are_compared_with_the_same_model_in_bfloat16(tiny_folder):  # noqa: F811
    influence, perplexity = compared(make(tiny_folder), source(TEXTS), 1)
    assert (influence["score"], perplexity["score"]) == ("influence", "perplexity")
    assert influence["documents"] == len(TEXTS)
    assert 0.5 < influence["rank_correlation"] < 1  # a random model: the orders differ, though not much
    assert 0.9 < perplexity["rank_correlation"] < 1
    assert influence["worst_domain"] == "d"
    json.dumps([influence, perplexity])  # they go into a card


def test_the_same_format_agrees_with_itself(tiny_folder):  # noqa: F811
    for found in compared(make(tiny_folder, dtype="bfloat16"), source(TEXTS), 1):
        assert found["rank_correlation"] == pytest.approx(1)
        assert found["same_top"] == 1


def test_comparing_ends_after_its_time(tiny_folder):  # noqa: F811
    clock = itertools.chain([0.0, 1.0], itertools.repeat(COMPARED_S + 1)).__next__
    op = make(tiny_folder)
    (first, *_) = compared(op, source(TEXTS), 1, clock=clock)
    batches = op.batches(op.prepare(source(TEXTS)))
    assert len(batches) > 2
    assert first["documents"] == len(batches[0]) + len(batches[1])


def test_a_sample_without_rows_to_score_says_nothing(tiny_folder):  # noqa: F811
    assert compared(make(tiny_folder), source(["", "x"], ["empty", None]), 1) == []


def test_documents_that_fail_in_either_format_are_left_out_as_in_a_run(tiny_folder, monkeypatch):  # noqa: F811
    op, call, sizes = make(tiny_folder), ForwardPass.__call__, []
    unwanted = op.prepare(source(TEXTS))[IDS][7].as_py()

    def failing(op, batch):
        """Short of memory with more than 8 documents, and one document that bfloat16 alone can't take."""
        sizes.append(len(batch))
        if len(batch) > 8:
            raise MemoryError("too many")
        if op.dtype == "bfloat16" and unwanted in batch[IDS].to_pylist():
            raise RuntimeError("not this one")
        return call(op, batch)

    monkeypatch.setattr(ForwardPass, "__call__", failing)
    found = compared(op, source(TEXTS), 1)
    assert max(sizes) > 8
    assert [each["documents"] for each in found] == [len(TEXTS) - 1] * 2


def test_documents_that_all_fail_are_not_blamed_one_by_one(tiny_folder, monkeypatch):  # noqa: F811
    def failing(op, batch):
        """No document can be scored."""
        raise RuntimeError("no kernel")

    monkeypatch.setattr(ForwardPass, "__call__", failing)
    with pytest.raises(BrokenOp, match="11 documents of one shard failed, the last: failed: RuntimeError: no kernel"):
        compared(make(tiny_folder), source(TEXTS), 1)


def test_the_sample_is_of_shards_all_over_the_corpus():
    for n in (1, 15, 16, 31, 1000):
        shards = [Shard("a.parquet", "a.parquet", "rows", at, at + 1, "f") for at in range(n)]
        sampled = sampled_shards(Plan(shards, 1, 1, 0, Known()))
        assert len({shard.start for shard in sampled}) == len(sampled) == min(n, SAMPLE_SHARDS)
        assert sampled[-1].start >= n - n / SAMPLE_SHARDS - 1


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_in_8_bits_measures_itself_once_and_keeps_its_budget(ray_session, tiny_folder, tmp_path, capsys):  # noqa: F811
    rows = [json.dumps({"text": f"{'word ' * (at % 17)}and {at}"}) for at in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    config = built(
        Config, corpus=(str(tmp_path / "rows.jsonl"),), output=str(tmp_path / "run"), model=str(tiny_folder),
        scorer=("perplexity",), dtype="float8", max_tokens=64, try_budgets=(64, 256), max_workers=1,
    )  # fmt: skip
    assert score_corpus.main(config) == 0
    said = capsys.readouterr().out
    assert "tokens/s of a worker by token budget: 64: " in said
    assert "perplexity in 8-bit floats against bfloat16, 60 documents of this corpus: " in said
    card = json.loads((tmp_path / "run" / "scores" / "card.json").read_text())
    assert card["counts"]["scored"] == 60
    assert card["identity"]["dtype"] == "float8"
    assert card["identity"]["token_budget"] in (64, 256)
    (found,) = card["number_format"]
    assert found["documents"] == 60
    assert found["rank_correlation"] > 0.9
    assert score_corpus.main(config) == 0  # nothing to do, nothing to measure
    assert "by token budget" not in capsys.readouterr().out


def test_a_small_corpus_is_cut_without_measuring():
    on_cpus, on_gpus = Pool(1, 2), Pool(1, 2, num_gpus=1.0)
    assert unmeasured(1000, on_cpus).shard_bytes == pytest.approx(MIN_SHARD_BYTES, rel=0.05)
    assert unmeasured(SMALL_BYTES + 1, on_cpus) is None
    assert unmeasured(SMALL_FOR_GPUS, on_gpus).shard_bytes == pytest.approx(SMALL_FOR_GPUS / 16, rel=0.05)
    assert unmeasured(SMALL_FOR_GPUS + 1, on_gpus) is None


def test_what_a_stage_was_begun_with_needs_neither_measuring_nor_a_cluster(op):
    class Nowhere:
        @property
        def pool(self):
            raise AssertionError("Ray was asked for")

    sizes = Sizes(shard_bytes=400, part_rows=10)
    assert settle([op], sizes, None, None, Nowhere()) == (op, sizes)
    assert cost_of_8_bits(op, None, None, Nowhere()) == {}
