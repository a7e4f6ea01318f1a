"""The main job from its command line, on real Ray, with a tiny model and hostile rows."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus import Corpus, plan_shards, read_shard
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.statistics.influence import Influence
from tests.score.conftest import tiny_folder  # noqa: F401

pytestmark = pytest.mark.ray
SECRET = "planted-and-never-written"
HOSTILE = ["</script><script>alert(1)</script>", "\x1b[31mred\x00", "\u202egnp.exe", "x" * 5000]


def run(*arguments, timeout=400, without=None):
    planted = {"AWS_SECRET_ACCESS_KEY": f"aws-{SECRET}", "HF_TOKEN": f"hf_{SECRET}"}
    path = os.pathsep.join(filter(None, [without, os.getcwd()]))
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path, **planted}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)


def nowhere(tmp_path, *packages):
    """A folder that, first on the path, makes these packages fail when they are imported."""
    folder = tmp_path / "nowhere"
    folder.mkdir(exist_ok=True)
    for name in packages:
        (folder / f"{name}.py").write_text(f"raise AssertionError('{name} was asked for')\n")
    return str(folder)


@pytest.fixture
def heads_file(tiny_folder, tmp_path):  # noqa: F811
    from raypipe.models.causal import open_model

    record = {
        "model": {"ref": "tiny", "sha256": open_model(str(tiny_folder)).sha256(), "n_layers": 2, "n_heads": 4},
        "probes": {"n_probes": 4},
        "share": 0.05,
        "chosen": [[1, 2]],
        "left_out": [],
        "wreckers": [],
        "retrieval_scores": np.eye(2, 4).tolist(),
        "lax_scores": np.eye(2, 4).tolist(),
        "causal_check": {
            "n_probes": 4,
            "intact": {"loss": 1.0, "accuracy": 0.9, "prose_loss": 3.0},
            "chosen": {"loss": 5.0, "accuracy": 0.1, "prose_loss": 3.5},
            "draws": [{"heads": [[1, 0]], "loss": 1.1, "accuracy": 0.9, "prose_loss": 3.1}] * 5,
            "rules": [{"rule": "rise", "value": 40.0, "bar": 3.0, "passed": True}],
            "passed": True,
        },
        "created": "2026-01-01T00:00:00+00:00",
        "versions": {},
    }
    path = tmp_path / "heads.json"
    path.write_text(json.dumps(record))
    return path


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    (folder / "web").mkdir(parents=True)
    texts = ["many words " * 50] + [f"document {at} says {'word ' * (at % 9)}" for at in range(1, 40)] + HOSTILE
    pq.write_table(pa.table({"text": texts, "lang": ["en"] * 43 + ["de"]}), folder / "web" / "a.parquet")
    rows = [json.dumps({"text": f"line {at}", "lang": "en"}) for at in range(20)] + [
        "not json",
        '{"text": 3}',
        '{"text": ""}',
    ]
    (folder / "b.jsonl").write_text("\n".join(rows) + "\n")
    with gzip.open(folder / "c.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": f"packed {at}", "lang": "en"}) + "\n" for at in range(25))
    return folder


def test_rows_in_are_rows_out_scored_as_in_one_process(corpus, heads_file, tiny_folder, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    command = [
        "jobs.curate", "--corpus", f"mine={corpus}", "--output", str(out), "--model", str(tiny_folder),
        "--heads", str(heads_file), "--max-tokens", "64", "--shard-bytes", "600", "--shard-rows", "10",
        "--where", "lang = 'en'", "--min-domain-rows", "5", "--corpus-format", "jsonl.zst",
    ]  # fmt: skip
    first = run(*command)
    assert first.returncode == 0, first.stderr + first.stdout
    files = sorted((out / "scores").glob("*.parquet"))
    rows = pa.concat_tables([pq.read_table(file) for file in files])
    assert len(rows) == 44 + 23 + 25
    reasons = [reason for reason in rows["reason"].to_pylist() if reason]
    assert sorted(reasons) == ["empty", "filtered", "not a string", "unparsable"]
    assert rows.filter(pa.compute.equal(rows["status"], "scored"))["influence"].null_count == 0
    check_against_one_process(corpus, tiny_folder, rows)
    card = json.loads((out / "scores" / "card.json").read_text())
    assert card["status"] == "finished"
    assert card["counts"]["rows"] == 92
    note = json.loads((out / "run.json").read_text())
    assert note["status"] == "finished"
    assert next(control["value"] for control in note["controls"]) == 0.0
    assert (out / "report.html").read_text().count("<script") == 0
    everything = {file.name: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert {"report.html", "card.json", "run.json"} < set(everything)
    assert [name for name, content in everything.items() if SECRET.encode() in content] == []
    assert SECRET not in first.stdout + first.stderr
    written = [file.stat().st_mtime_ns for file in files]
    again = run(*command, without=nowhere(tmp_path, "ray", "torch", "transformers"))
    assert again.returncode == 0, again.stderr
    assert [file.stat().st_mtime_ns for file in files] == written
    changed = run(*command, "--max-tokens", "32", without=nowhere(tmp_path, "ray", "torch", "transformers"))
    assert changed.returncode == 2
    assert "max_tokens was 64 and is now 32" in changed.stderr
    assert "--name NEW" in changed.stderr


def check_against_one_process(corpus, model, rows):
    op = ForwardPass(
        model=str(model), statistics=(Influence(),), heads=((1, 2),), max_tokens=64, dtype="float32", token_budget=4096
    )
    op.setup(n_threads=1)
    plain = Corpus(sources=(str(corpus / "web"),), where="lang = 'en'")
    (shard,) = plan_shards(plain, shard_bytes=1 << 30, part_rows=10).shards
    prepared = op.prepare(read_shard(plain, shard))
    (batch,) = op.batches(prepared)
    expected = op(prepared.take(batch))
    web = rows.slice(len(rows) - 44, 44) if "web" in rows["id"].to_pylist()[-1] else None
    assert web is not None, "corpus order is the order of quoted paths"
    found = web.take(batch)
    for name in ("loss", "loss_masked"):
        np.testing.assert_allclose(found[name].to_numpy(), expected[name].to_numpy(), rtol=1e-5)
