import pytest

from raypipe.corpus.rows import source_table
from raypipe.run import calibrate
from raypipe.run.calibrate import MAX_SHARD_BYTES, MIN_SHARD_BYTES, Rate, _measure

from .fake_op import TOO_LARGE, FakeOp


@pytest.mark.parametrize(
    ("tokens_per_s", "shard_bytes", "part_rows"),
    [
        (1000.0, 120_000, 300),  # 30,000 tokens, 4 bytes each, 100 of them a row
        (1234.0, 150_000, 370),  # two digits
        (1.0, MIN_SHARD_BYTES // 1000 * 1000 + 1000, 16),
        (1e9, MAX_SHARD_BYTES // 10**7 * 10**7 + 10**7, 10_000_000),
    ],
)
def test_a_shard_is_half_a_minute_of_a_workers_work(tokens_per_s: float, shard_bytes: int, part_rows: int) -> None:
    sizes = Rate(tokens_per_s, rows=100, tokens=10_000, text_bytes=40_000, setup_s=1.0).sizes
    assert sizes.shard_bytes == pytest.approx(shard_bytes, rel=0.05)
    assert sizes.part_rows == part_rows


def test_an_empty_sample_gives_sizes_all_the_same() -> None:
    sizes = Rate(0.0, rows=0, tokens=0, text_bytes=0, setup_s=1.0).sizes
    assert sizes.shard_bytes >= 1
    assert sizes.part_rows >= 1


def test_an_op_whose_batches_do_not_fit_has_no_speed() -> None:
    texts = [f"a text {TOO_LARGE if at == 3 else ''}" for at in range(8)]
    source = source_table(
        ids=list("abcdefgh"), domains=["d"] * 8, texts=[text.encode() for text in texts], reasons=[None] * 8
    )
    fits, too_large = (_measure(FakeOp(batch_rows=rows), source, 1, limit_s=1.0) for rows in (1, 4))
    assert fits.tokens_per_s > 0
    assert too_large.tokens_per_s == 0
    assert fits.rows == too_large.rows == 8


def test_measuring_ends_after_its_time() -> None:
    source = source_table(ids=["a"] * 40, domains=["d"] * 40, texts=[b"two words"] * 40, reasons=[None] * 40)
    op = FakeOp(batch_rows=1, batch_s=0.02)
    rate = _measure(op, source, 1, limit_s=0.1)
    assert rate.rows == 40
    assert 2 <= op.padding <= 8  # batches: the one to warm up, and what fits into the time
    assert 0 < rate.tokens_per_s < 110  # two tokens in 20 ms at best, whatever was left undone


def test_ops_share_the_time_and_each_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    monkeypatch.setattr(calibrate, "sampled_rows", lambda corpus, shards: None)
    monkeypatch.setattr(calibrate, "_measure", lambda op, source, n_threads, *, limit_s: limits.append((op, limit_s)))
    calibrate._measure_all([1, 2, 3, 4], None, [], 1)
    assert limits == [(op, calibrate.LIMIT_S / 4) for op in (1, 2, 3, 4)]
