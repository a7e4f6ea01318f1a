import zlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from raypipe.columns import REASON
from raypipe.corpus.rows import source_table
from raypipe.models.causal import DeviceLost
from raypipe.models.tokenizer import open_vocabulary
from raypipe.run.rows import BrokenOp, through
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.statistics.influence import Influence
from raypipe.score.statistics.lowercase import Lowercase
from raypipe.score.statistics.min_k import MinK
from raypipe.score.statistics.min_k_plus_plus import MinKPlusPlus
from raypipe.score.statistics.perplexity import Perplexity
from raypipe.score.statistics.zlib_loss import ZlibLoss
from raypipe.score.tokens import windows
from tests.tiny import reference_losses

TEXTS = ["one two three four five six", "a", "the same\nthe same\nother", "x " * 100, "<|endoftext|> is text here"]


def source(texts, reasons=None):
    reasons = reasons or [None] * len(texts)
    return source_table(
        ids=[str(at) for at in range(len(texts))],
        domains=["d"] * len(texts),
        texts=[text.encode() for text in texts],
        reasons=reasons,
    )


@pytest.fixture
def op(tiny_folder):
    made = ForwardPass(
        model=str(tiny_folder), statistics=(Influence(), Perplexity()), heads=((1, 1),), max_tokens=32, token_budget=64
    )
    made.check()
    made.setup(n_threads=1)
    return made


def scored(op, table):
    prepared = op.prepare(table)
    batches = op.batches(prepared)
    rows = np.concatenate(batches)
    parts = pa.concat_tables([op(prepared.take(batch)) for batch in batches])
    return prepared, rows, parts.take(np.argsort(rows))


def test_losses_equal_the_slow_reference(op, tiny_folder):
    from raypipe.models.causal import open_model

    model = open_model(str(tiny_folder)).weights(dtype="float32", device="cpu")
    model.set_attn_implementation("eager")
    prepared, rows, found = scored(op, source(TEXTS))
    for row, loss, masked in zip(np.sort(rows), found["loss"], found["loss_masked"], strict=True):
        ids = torch.tensor(prepared["token_ids"][int(row)].as_py())
        assert loss.as_py() == pytest.approx(float(reference_losses(model, ids, []).mean()), rel=1e-5)
        assert masked.as_py() == pytest.approx(float(reference_losses(model, ids, [(1, 1)]).mean()), rel=1e-5)


def test_one_pass_serves_all_scorers(op):
    op.decoder.layer_calls = 0
    prepared = op.prepare(source(TEXTS))
    batches = op.batches(prepared)
    for batch in batches:
        op(prepared.take(batch))
    assert op.decoder.layer_calls == len(batches) * (2 + (2 - 1))
    assert op.padding == 0


def test_perplexity_alone_runs_no_masked_variant(op):
    op.statistics = (Perplexity(),)
    op.decoder.layer_calls = 0
    prepared = op.prepare(source(TEXTS[:1]))
    op(prepared)
    assert op.decoder.layer_calls == 2


def test_rows_are_described_truncated_and_too_short_ones_named(op):
    prepared = op.prepare(source(TEXTS))
    assert prepared[REASON].to_pylist() == [None, "too short", None, None, None]
    assert prepared["truncated"].to_pylist() == [False, False, False, True, False]
    assert prepared["n_tokens"].to_pylist()[3] == 32
    assert prepared["n_tokens_total"].to_pylist()[3] > 32
    assert prepared["repeated_lines"].to_pylist()[2] == pytest.approx(1 / 3)
    assert prepared["n_bytes"].to_pylist() == [len(text) for text in TEXTS]
    assert all(1 not in batch for batch in op.batches(prepared))


def test_rows_with_a_reason_are_not_tokenised(op):
    prepared = op.prepare(source(["aa bb", "cc dd"], reasons=["filtered", None]))
    assert prepared["n_tokens"].to_pylist()[0] is None
    assert prepared[REASON].to_pylist() == ["filtered", None]
    assert op.batches(prepared)[0].tolist() == [1]


def test_a_shard_without_rows_to_score_has_no_batches(op):
    assert op.batches(op.prepare(source([]))) == []
    assert op.batches(op.prepare(source(["a"], reasons=["filtered"]))) == []


def test_each_document_is_tokenised_once(op, monkeypatch):
    texts = []
    real = open_vocabulary(op.model).backend

    class Counting:
        def encode_batch(self, batch, **options):
            texts.extend(batch)
            return real.encode_batch(batch, **options)

    counting = replace(open_vocabulary(op.model), backend=Counting())
    monkeypatch.setattr("raypipe.score.tokens.open_vocabulary", lambda model: counting)
    scored(op, source(TEXTS))
    assert texts == TEXTS


def test_control_strings_inside_documents_stay_text(tiny_folder):
    (window,) = windows(["<|endoftext|>"], model=str(tiny_folder), max_tokens=32)
    assert len(window.ids) > 1
    assert open_vocabulary(str(tiny_folder)).backend.token_to_id("<|endoftext|>") not in window.ids


def test_a_window_knows_the_text_it_stands_for(tiny_folder):
    text = "naïve café " * 30
    (window,) = windows([text], model=str(tiny_folder), max_tokens=20)
    assert len(window.ids) == 20
    assert text.startswith(window.text)
    assert 0 < len(window.text) < len(text)


@pytest.mark.slow
def test_a_compiled_forward_pass_is_ready_after_setup_and_gives_the_same_losses(op, tiny_folder):
    compiled = ForwardPass(
        str(tiny_folder), (Influence(),), ((1, 1),), max_tokens=32, token_budget=64, compiler="aot_eager"
    )
    compiled.setup(n_threads=1)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    prepared = op.prepare(source(TEXTS))
    for rows in op.batches(prepared):
        documents = [ids.values.to_numpy() for ids in prepared.take(rows)["token_ids"].combine_chunks()]
        plain, found = op.per_token(documents), compiled.per_token(documents)
        for name in ("nll", "nll_masked"):
            np.testing.assert_allclose(found[name], plain[name], rtol=1e-5, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs > 0


def test_memory_that_does_not_suffice_is_a_memory_error(op, monkeypatch):
    def fails(documents):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(op, "per_token", fails)
    with pytest.raises(MemoryError, match="no room"):
        op(op.prepare(source(TEXTS[:1])))


def test_a_device_that_fails_for_good_is_told_from_a_document_that_does(op, monkeypatch):
    def fails(documents):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(op, "per_token", fails)
    with pytest.raises(DeviceLost, match="device-side assert"):
        op(op.prepare(source(TEXTS[:1])))


def test_settings_that_cannot_work_are_refused(tiny_folder):
    base = {"model": str(tiny_folder), "statistics": (Influence(),), "heads": ((1, 1),)}
    with pytest.raises(ValueError, match="max_tokens must be at least 2"):
        ForwardPass(**base, max_tokens=1).check()
    with pytest.raises(ValueError, match="token_budget must be at least max_tokens"):
        ForwardPass(**base, max_tokens=64, token_budget=32).check()
    with pytest.raises(ValueError, match="at most the 256 tokens"):
        ForwardPass(**base, max_tokens=512).check()
    for heads, message in (((), "heads must name at least one head"), (((99, 0),), "within 2 layers x 4 heads")):
        with pytest.raises(ValueError, match=message):
            ForwardPass(**{**base, "heads": heads}, max_tokens=64).check()
    ForwardPass(model=str(tiny_folder), statistics=(Perplexity(),), max_tokens=64).check()


def test_scores_are_golden(op):
    """Changed numbers mean other scores for the same settings: raise ForwardPass.version, then these."""
    assert op.version == 2
    _, _, found = scored(op, source(TEXTS[:1]))
    values = [found[name][0].as_py() for name in ("loss", "loss_masked", "influence")]
    assert values == pytest.approx(GOLDEN, rel=1e-4)


GOLDEN = [6.381712436676025, 6.365717887878418, -0.0025063413195312023]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_a_skipped_row_with_its_reason(op, monkeypatch, value):
    prepared = op.prepare(source(["aa bb", "cc dd", "ee ff"]))
    clean = through(op, prepared, report=lambda *_: None).table
    real = op.per_token

    def spoilt(documents):
        found = {name: values.copy() for name, values in real(documents).items()}
        found["nll_masked"][len(documents[0]) + 1] = value  # in the second document
        return found

    monkeypatch.setattr(op, "per_token", spoilt)
    found = through(op, prepared, report=lambda *_: None).table
    assert found["reason"].to_pylist() == [None, "loss isn't finite", None]
    assert found["influence"].to_pylist() == [clean["influence"][0].as_py(), None, clean["influence"][2].as_py()]
    assert found["loss"][1].as_py() is None


def test_a_model_all_of_whose_losses_overflow_stops_the_job(op):
    op.decoder.norm.mul_(torch.finfo(torch.float32).max)
    with pytest.raises(BrokenOp, match="not one of 2 documents of one shard came through, the last: loss isn't finite"):
        through(op, op.prepare(source(["aa bb", "cc dd"])), report=lambda *_: None)


def test_scorers_that_need_moments_or_sizes_change_no_other_score(op):
    table = source(TEXTS)
    alone = through(op, op.prepare(table), report=lambda *_: None).table
    op.statistics = (MinK(), Influence(), MinKPlusPlus(0.5), ZlibLoss())
    beside = through(op, op.prepare(table), report=lambda *_: None).table
    for name in ("loss", "loss_masked", "influence"):
        assert beside[name].equals(alone[name])
    assert beside.column_names[-8:-2] == ["loss", "min_k", "loss_masked", "influence", "min_k_plus_plus", "zlib_loss"]
    whole = op.prepare(table)
    for row in (0, 2, 3):
        ids = whole["token_ids"][row].values.to_numpy()
        nll = op.per_token([ids])["nll"]
        assert beside["min_k"][row].as_py() == pytest.approx(-np.sort(nll)[::-1][: len(nll) // 5].mean(), rel=1e-5)
        size = len(zlib.compress(TEXTS[row][: 31 if row == 3 else None].encode()))
        assert beside["zlib_loss"][row].as_py() == pytest.approx(-nll.mean() / size, rel=0.05 if row == 3 else 1e-5)


def test_no_moments_are_computed_unless_they_are_needed(op, monkeypatch):
    def fails(*_):
        raise AssertionError("moments weren't asked for")

    monkeypatch.setattr("raypipe.lm.loss.token_log_probs", fails)
    assert set(op.per_token([np.arange(9)])) == {"nll", "nll_masked"}


def test_the_lower_cased_text_has_its_own_pass_within_the_same_budget(tiny_folder):
    texts = ["One TWO Three Four", "A", "THE SAME\nthe same\nOTHER", "X " * 100, "plain words", "ONE ONE"]
    made = ForwardPass(
        model=str(tiny_folder), statistics=(Perplexity(), Lowercase()), max_tokens=32, token_budget=64
    )  # fmt: skip
    made.setup(n_threads=1)
    plain = replace(made, statistics=(Perplexity(),))
    plain.setup(n_threads=1)
    prepared, rows, found = scored(made, source(texts))
    for batch in made.batches(prepared):
        assert sum(len(ids) for ids in prepared.take(batch)["lower_ids"].to_pylist()) <= 64
    _, lower_rows, lower = scored(plain, source([text.lower() for text in texts]))
    own = dict(zip(np.sort(lower_rows), lower["loss"].to_pylist(), strict=True))
    for row, loss, ratio in zip(np.sort(rows), found["loss"].to_pylist(), found["lowercase"].to_pylist(), strict=True):
        if row != 3:  # of a text that was cut, what was scored is lowered
            assert ratio == pytest.approx(own[row] / loss, rel=1e-5)
    assert found["lowercase"].null_count == 0
