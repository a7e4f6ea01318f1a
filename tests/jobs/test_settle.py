"""What a run measures at its first start."""

import json
from dataclasses import replace

import pytest

from jobs import score_corpus
from jobs.score_corpus import Config
from jobs.settle import budgets_of, cost_of_8_bits, fastest
from raypipe.run.calibrate import Rate
from raypipe.run.op import Pool
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.perplexity import Perplexity
from tests.score.conftest import tiny_folder  # noqa: F401

RATE = Rate(1.0, rows=1, tokens=1, text_bytes=1, setup_s=0.0)


@pytest.fixture
def op(tiny_folder):  # noqa: F811
    return ForwardPass(model=str(tiny_folder), statistics=(Perplexity(),), max_tokens=64)


def test_budgets_to_try_stand_for_the_op_each(op):
    config = Config(corpus=("c",), output="o", try_budgets=(64, 512, 64))
    assert [each.token_budget for each in budgets_of(config, op, {})] == [64, 512]
    assert budgets_of(config, op, {"token_budget": 4096}) == [op]  # the stage has been begun: its own stays
    assert budgets_of(Config(corpus=("c",), output="o"), op, {}) == [op]


def test_a_budget_is_given_or_found_and_holds_a_document(op):
    with pytest.raises(ValueError, match="token_budget and try_budgets exclude each other, got 64"):
        budgets_of(Config(corpus=("c",), output="o", token_budget=64, try_budgets=(128,)), op, {})
    with pytest.raises(ValueError, match=r"token_budget must be at least max_tokens \(64\), got 32"):
        budgets_of(Config(corpus=("c",), output="o", try_budgets=(128, 32)), op, {})


def test_the_fastest_is_taken_and_all_rates_are_said(op, monkeypatch, capsys):
    speeds = {64: 10.0, 128: 30.0, 256: 0.0}  # 0: out of memory
    monkeypatch.setattr(
        "jobs.settle.calibrate",
        lambda ops, *rest: [replace(RATE, tokens_per_s=speeds[one.token_budget]) for one in ops],
    )
    best, rate = fastest([replace(op, token_budget=budget) for budget in speeds], None, None, Pool())
    assert (best.token_budget, rate.tokens_per_s) == (128, 30.0)
    assert "64: 10, 128: 30, 256: 0; 128 it is" in capsys.readouterr().out


def test_only_8_bits_are_compared(op):
    assert cost_of_8_bits(op, None, None, Pool()) == {}


@pytest.mark.ray
def test_a_run_in_8_bits_measures_itself_once_and_keeps_its_budget(ray_session, tiny_folder, tmp_path, capsys):  # noqa: F811
    rows = [json.dumps({"text": f"{'word ' * (at % 17)}and {at}"}) for at in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    config = Config(
        corpus=(str(tmp_path / "rows.jsonl"),), output=str(tmp_path / "run"), model=str(tiny_folder),
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
