"""The benchmark of output layers at tiny sizes, in this process: every size has a time, bars decide the status."""

import json

import pytest

from jobs.benchmark import output_layer
from jobs.benchmark.output_layer import Config, main


@pytest.mark.parametrize(("min_speed", "status"), [(0.0, 0), (1e12, 1)])
def test_every_size_has_a_time_and_the_bars_decide(monkeypatch, tmp_path, capsys, min_speed, status):
    monkeypatch.setattr(output_layer, "apart", lambda function, *arguments: function(*arguments))
    config = Config(outputs=(30, 40), full_outputs=(50,), inputs=4, rows=6, steps=2, max_growth=1e12,
                    min_speed=min_speed, json=str(tmp_path / "found.json"))  # fmt: skip
    assert main(config) == status
    found = json.loads((tmp_path / "found.json").read_text())
    assert {name: list(of) for name, of in found["seconds"].items()} == {
        "factored": ["30", "40"], "full softmax": ["50"],
    }  # fmt: skip
    assert all(seconds > 0 for of in found["seconds"].values() for seconds in of.values())
    said = capsys.readouterr().out
    assert ("MISSED: full softmax's step" in said) == (status == 1)
