"""Memory stays flat over corpora larger than it: they never come together, on the driver or on a worker."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.score.conftest import tiny_folder  # noqa: F401

pytestmark = [pytest.mark.ray, pytest.mark.slow]
N_ROWS = 200_000
N_TEXTS, TEXT_BYTES = 20_000, 10_000
KINDS = {
    "fruit": ("apple", "pear", "plum", "tree", "garden"),
    "stars": ("planet", "orbit", "moon", "comet", "dust"),
}
BOUND_MIB = 100


def memory_of(process):
    """Bytes of the driver, and of the largest of its workers, without what they share."""
    sizes = []
    for child in process.children(recursive=True):
        try:
            if " ".join(child.cmdline()).startswith("ray::"):
                sizes.append(child.memory_full_info().uss)
        except psutil.Error:
            continue
    return process.memory_full_info().uss, max(sizes, default=0)


def growth_of(job: str, stage: str, root: Path, *words: str) -> dict[str, float]:
    """MiB that driver and largest worker grew by from the first third to the last fifth of a stage's shards."""
    command = [sys.executable, "-m", f"jobs.{job}", "--output", str(root / "out"), *words]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    samples = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as driver:
        process = psutil.Process(driver.pid)
        while driver.poll() is None:
            done = len(list((root / "out" / stage).glob("*.parquet")))
            if done and (sizes := memory_of(process))[1]:
                samples.append((done, *sizes))
            time.sleep(0.5)
        assert driver.returncode == 0, driver.stderr.read().decode()
    n_files = json.loads((root / "out" / stage / "card.json").read_text())["counts"]["shards"]
    early = [sample for sample in samples if sample[0] <= 0.3 * n_files]
    late = [sample for sample in samples if sample[0] >= 0.8 * n_files]
    found = {}
    for at, who in ((1, "driver"), (2, "worker")):
        peak = max(sample[at] for sample in samples) / 2**20
        found[who] = (max(sample[at] for sample in late) - max(sample[at] for sample in early)) / 2**20
        print(
            f"{job}, {who}: {found[who]:+.0f} MiB from {len(early)} early to {len(late)} late samples, peak {peak:.0f}"
        )
    return found


def counts_of(root: Path, stage: str) -> dict:
    return json.loads((root / "out" / stage / "card.json").read_text())["counts"]


@pytest.mark.long
def test_memory_is_flat_over_200_000_short_rows(tiny_folder, tmp_path):  # noqa: F811
    with (tmp_path / "rows.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": f"row {at} is short"}) + "\n" for at in range(N_ROWS))
    grown = growth_of(
        "score_corpus", "scores", tmp_path, "--corpus", str(tmp_path / "rows.jsonl"), "--model", str(tiny_folder),
        "--scorer", "perplexity", "--max-tokens", "64", "--shard-bytes", "120000",
    )  # fmt: skip
    counts = counts_of(tmp_path, "scores")
    assert counts["rows"] == counts["scored"] == N_ROWS
    assert max(grown.values()) < BOUND_MIB, grown


def text_of(kind: str, draw: random.Random) -> str:
    """Sentences of six words, some 10 kB of them."""
    words = draw.choices(KINDS[kind], k=TEXT_BYTES // 6)
    return " ".join(f"{' '.join(words[at : at + 6])}." for at in range(0, len(words), 6))


@pytest.mark.long
def test_memory_is_flat_where_prototypes_classify_twice_what_it_may_grow_by(tmp_path):
    draw, names = random.Random(0), list(KINDS)
    labelled = [{"text": text_of(names[at % 2], draw)[:600], "label": names[at % 2]} for at in range(60)]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))
    fit = [
        sys.executable, "-m", "jobs.fit_classifier", "--rows", str(tmp_path / "labelled.jsonl"), "--method",
        "st-protopnet", "--folds", "2", "--dimensions", "16", "--output", str(tmp_path / "out"),
    ]  # fmt: skip
    subprocess.run(fit, check=True, stdout=subprocess.DEVNULL)
    with (tmp_path / "rows.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": text_of(names[at % 2], draw)}) + "\n" for at in range(N_TEXTS))
    assert (tmp_path / "rows.jsonl").stat().st_size > 1.5 * BOUND_MIB * 2**20
    grown = growth_of(
        "classify_corpus", "classes", tmp_path, "--corpus", str(tmp_path / "rows.jsonl"), "--shard-bytes", "4000000"
    )
    counts = counts_of(tmp_path, "classes")
    assert counts["rows"] == counts["scored"] == N_TEXTS
    assert max(grown.values()) < BOUND_MIB, grown
