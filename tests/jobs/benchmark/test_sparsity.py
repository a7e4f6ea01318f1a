"""The benchmark of pruning on a tiny model: what is left on paper is what was asked for; the bar decides the status."""

import json

import pytest

from jobs.benchmark.sparsity import Config, main


@pytest.mark.parametrize(("bar", "status"), [(1e9, 0), (0.0, 1)])
def test_multiplications_and_time_stand_side_by_side(tmp_path, capsys, bar, status):
    config = Config(shape="tiny", vocabulary_size=64, length=8, texts=2, steps=1, max_time_left=bar, sparsity=0.5,
                    units=0.5, json=str(tmp_path / "found.json"))  # fmt: skip
    assert main(config) == status
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found) == ["dense", "magnitude", "pattern", "units"]
    assert found["dense"]["flops_left"] == 1
    n, head = 2 * (64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 160), 64 * 64
    norms = 5 * 64
    assert found["magnitude"]["flops_left"] == pytest.approx((n / 2 + head + norms) / (n + head + norms))
    assert found["pattern"]["flops_left"] == pytest.approx(found["magnitude"]["flops_left"])
    assert found["units"]["flops_left"] == pytest.approx(1 - 3 * 64 * 160 / (n + head + norms))
    assert ("MISSED" in capsys.readouterr().out) == (status == 1)
