import gzip
import json
import random

import pytest

from raypipe.corpus import Corpus, plan_shards
from raypipe.run.calibrate import Rate
from raypipe.run.forecast import forecast

RATE = Rate(tokens_per_s=1000.0, rows=100, tokens=5000, text_bytes=20_000, setup_s=1.0)


def lines(n):
    words = "alpha beta gamma delta epsilon zeta eta theta".split()  # noqa: SIM905
    return "".join(
        json.dumps({"text": " ".join(words[(row * k) % 8] for k in range(1, 30))}) + "\n" for row in range(n)
    )


def foresee(folder):
    corpus = Corpus(sources=(str(folder),))
    return forecast(corpus, plan_shards(corpus, shard_bytes=200_000, part_rows=1000), RATE)


def test_rows_of_parquet_are_exact(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a b c"] * 1234}), tmp_path / "a.parquet")
    found = foresee(tmp_path)
    assert found.rows == 1234
    assert found.tokens == 1234 * 50
    assert found.device_hours == pytest.approx(1234 * 50 / 1000 / 3600)


def test_rows_of_lines_are_near_the_truth(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines(9000))
    assert foresee(tmp_path).rows == pytest.approx(9000, rel=0.05)


def test_rows_of_compressed_lines_are_near_the_truth(tmp_path):
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(lines(9000))
    assert foresee(tmp_path).rows == pytest.approx(9000, rel=0.2)


def test_rows_of_a_long_stream_and_of_an_array_are_near_the_truth(tmp_path, monkeypatch):
    monkeypatch.setattr("raypipe.run.forecast.STREAM_BYTES", 100_000)
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps({"text": random.randbytes(200).hex()}) + "\n" for _ in range(3000)))
    (tmp_path / "b.json").write_text("[" + ",".join(lines(3000).splitlines()) + "]")
    assert foresee(tmp_path).rows == pytest.approx(6000, rel=0.2)


def test_a_price_gives_a_cost():
    from raypipe.run.forecast import Forecast

    shown = Forecast(10.0, 3.6e9, 1000, 1000.0).lines(price_per_hour=2.5)
    assert shown[-1] == "cost 2,500.00"
    assert "tokens 3,600,000,000" in shown


def test_a_sample_without_a_row_to_score_forecasts_nothing(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines(3))
    corpus = Corpus(sources=(str(tmp_path),))
    plan = plan_shards(corpus, shard_bytes=1000, part_rows=10)
    with pytest.raises(ValueError, match="none of the 7 rows sampled can be scored"):
        forecast(corpus, plan, Rate(0.0, 7, 0, 0, 1.0))
