"""The gather job: quantiles of columns, on workers; again only where what is read has changed."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from jobs import gather
from jobs.gather import Config, main
from tests.jobs.committed import commit_vectors
from tests.run.deadly import DeadlyQuantiles
from tests.run.in_process import use_this_process
from tests.run.stages import fault, write_lines


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_lines(tmp_path / "corpus/a.jsonl", ["", *(f"document {row} of 3 apples" for row in range(40))])
    commit_vectors(f"{tmp_path}/corpus", tmp_path / "run")
    return Config(
        corpus=(f"{tmp_path}/corpus",), output=f"{tmp_path}/run", columns=("embeddings.number",), fractions=(0, 0.5, 1)
    )


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"columns": ("number",)}, ValueError, "columns are named STAGE.COLUMN, got 'number'"),
        ({"columns": ("embeddings.numbre",)}, KeyError, "did you mean 'embeddings.number'"),
        ({"columns": ("embedings.number",)}, FileNotFoundError, "no stage 'embedings'; the nearest is 'embeddings'"),
        ({"retry": "failed"}, ValueError, "--retry failed has no effect in gather"),
        ({"fractions": (0.5, 2.0)}, ValueError, r"fractions must be in \[0, 1\], got \[0.5, 2.0\]"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(config, changes, error, said):
    with pytest.raises(error, match=said):
        main(replace(config, **changes))
    assert not Path(f"{config.output}/run.json").exists()
    assert not Path(f"{config.output}/quantiles").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_kills_in_a_part_and_in_a_merge_change_nothing(config, tmp_path, monkeypatch):
    assert main(config) == 0
    right = json.loads(Path(f"{config.output}/quantiles/card.json").read_text())["result"]
    once = fault(tmp_path, "kill-forward", "kill-setup")
    monkeypatch.setattr(gather, "ColumnQuantiles", partial(DeadlyQuantiles, once=once))
    assert main(replace(config, name="killed")) == 0
    assert os.listdir(once) == []  # both have happened
    assert json.loads(Path(f"{config.output}/quantiles-killed/card.json").read_text())["result"] == right


def test_quantiles_are_said_stored_and_made_again_only_if_what_is_read_changed(config, tmp_path, monkeypatch, capsys):
    use_this_process(monkeypatch)
    assert main(config) == 0
    numbers = np.sort([(row + 3) % 10 for row in range(40)])
    card = json.loads(Path(f"{config.output}/quantiles/card.json").read_text())
    found = card["result"]["embeddings.number"]
    assert (found["n"], found["null"], list(found["quantiles"].values())) == (40, 0, [0.0, float(numbers[19]), 9.0])
    assert "embeddings.number: 40 rows, 0 null, 0 not finite; 0 % 0, 50 % 4, 100 % 9" in capsys.readouterr().out
    state = Path(f"{config.output}/quantiles/state.safetensors")
    before = state.stat().st_mtime_ns
    assert main(config) == 0
    assert state.stat().st_mtime_ns == before
    write_lines(tmp_path / "corpus/a.jsonl", [f"document {row} of 7 apples" for row in range(20)])
    with pytest.raises(ValueError, match=r"made before a\.jsonl changed"):
        main(config)
    commit_vectors(f"{tmp_path}/corpus", tmp_path / "run")
    assert main(config) == 0
    card = json.loads(Path(f"{config.output}/quantiles/card.json").read_text())
    assert card["result"]["embeddings.number"]["n"] == 20
    assert state.stat().st_mtime_ns != before
