"""Memory stays flat over many short rows: the corpus never comes together, on the driver or on a worker."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from tests.score.conftest import tiny_folder  # noqa: F401

pytestmark = [pytest.mark.ray, pytest.mark.slow]
N_ROWS = 200_000


def memory_of(process):
    """Resident bytes of the driver, and of the largest of its workers."""
    sizes = []
    for child in process.children(recursive=True):
        try:
            if "MapWorker" in " ".join(child.cmdline()):
                sizes.append(child.memory_info().rss)
        except psutil.Error:
            continue
    return process.memory_info().rss, max(sizes, default=0)


@pytest.mark.long
def test_memory_is_flat_over_200_000_short_rows(tiny_folder, tmp_path):  # noqa: F811
    with (tmp_path / "rows.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": f"row {at} is short"}) + "\n" for at in range(N_ROWS))
    command = [
        sys.executable, "-m", "jobs.score_corpus", "--corpus", str(tmp_path / "rows.jsonl"), "--output",
        str(tmp_path / "out"), "--model", str(tiny_folder), "--scorer", "perplexity", "--max-tokens", "64",
        "--shard-bytes", "120000",
    ]  # fmt: skip
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    samples = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as driver:
        process = psutil.Process(driver.pid)
        while driver.poll() is None:
            done = len(list((tmp_path / "out" / "scores").glob("*.parquet")))
            if done and (sizes := memory_of(process))[1]:
                samples.append((done, *sizes))
            time.sleep(0.5)
        assert driver.returncode == 0, driver.stderr.read().decode()
    card = json.loads((tmp_path / "out" / "scores" / "card.json").read_text())
    assert card["counts"]["rows"] == card["counts"]["scored"] == N_ROWS
    n_files = card["counts"]["shards"]
    early = [sample for sample in samples if sample[0] <= 0.3 * n_files]
    late = [sample for sample in samples if sample[0] >= 0.8 * n_files]
    for at, who in ((1, "driver"), (2, "worker")):
        growth = (max(sample[at] for sample in late) - max(sample[at] for sample in early)) / 2**20
        print(f"{who}: {growth:+.0f} MiB from {len(early)} early to {len(late)} late samples")
        assert growth < 100, f"the {who} grew by {growth:.0f} MiB over {n_files} shards"
