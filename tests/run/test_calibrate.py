import pytest

from raypipe.run.calibrate import MAX_SHARD_BYTES, MIN_SHARD_BYTES, Rate


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
