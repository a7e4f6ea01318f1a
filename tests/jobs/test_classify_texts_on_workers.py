"""classify_texts over a corpus on Ray, a worker and then the driver killed: every row once, classes dropped on the way.

What must come out is told by passes over whole prefixes in this process: who is left after the first tokens, and their
losses at the last.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from raypipe.contracts.parts import apply
from raypipe.corpus.rows import source_of
from raypipe.models.tokenizer import open_vocabulary
from raypipe.score.class_likelihoods import ClassLikelihoods, ClassModel
from tests.conftest import ROOT
from tests.score.conftest import save_tiny

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]
KINDS = {"counts": "one two six ", "letters": "abcd efgh ", "rivers": "river and stone ", "sums": "3+4=7 8-2=6 "}
FIRST, LAST, KEPT = 4, 48, 2
N_FILES, N_ROWS = 6, 60


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClassModel, ...]:
    """A small language model of each kind of texts."""
    root, found = tmp_path_factory.mktemp("classes"), []
    save_tiny(root / "begun")
    for label, kind in KINDS.items():
        shutil.copytree(root / "begun", root / label)
        model = AutoModelForCausalLM.from_pretrained(root / "begun")
        ids = torch.tensor([open_vocabulary(str(root / "begun")).backend.encode(kind * 8).ids[:LAST]])
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(20):
            optimiser.zero_grad()
            model(input_ids=ids, labels=ids).loss.backward()
            optimiser.step()
        model.save_pretrained(root / label)
        found.append(ClassModel(label, str(root / label)))
    return tuple(found)


def texts_of() -> tuple[list[str], list[str]]:
    """Texts, some of mixed kinds, some too short to be read on, and the kind that each begins as."""
    rng, names = np.random.default_rng(0), list(KINDS)
    kinds = [names[row % len(names)] for row in range(N_FILES * N_ROWS)]
    texts = []
    for row, name in enumerate(kinds):
        other = KINDS[names[int(rng.integers(len(names)))]] if row % 3 == 0 else ""
        whole = KINDS[name][int(rng.integers(3)) :] + other + KINDS[name] * 6
        texts.append(whole[: int(rng.integers(2, 4)) if row % 20 == 7 else int(rng.integers(30, 70))])
    return texts, kinds


def in_this_process(classes: tuple[ClassModel, ...], texts: list[str], schedule: str, token_budget: int) -> pa.Table:
    """What the same classes say, without Ray."""
    op = ClassLikelihoods(classes, schedule, token_budget=token_budget)
    op.check()
    op.setup(n_threads=1)
    return apply(op, source_of(texts))


def start(root: Path, classes: tuple[ClassModel, ...]) -> subprocess.Popen:
    """The job in a process of its own, with a Ray of its own."""
    command = [
        sys.executable, "-m", "jobs.classify_texts", "--corpus", f"{root}/corpus", "--id-column", "id",
        "--output", f"{root}/run", "--schedule", f"{KEPT}:{FIRST} 1:{LAST}", "--shard-bytes", "400",
        "--token-budget", "256", "--dtype", "float32", "--max-workers", "2",
        "--classes", *(f"{one.label}={one.model}" for one in classes),
    ]  # fmt: skip
    given = {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    settings = {**{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}, **given}
    with (root / "driver.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=settings, stdout=log, stderr=log, start_new_session=True)


def wait_for_files(root: Path, n: int, driver: subprocess.Popen) -> None:
    deadline = time.monotonic() + 600
    while len(list((root / "run/text_classes").glob("*.parquet"))) < n:
        assert driver.poll() is None, (root / "driver.log").read_text()
        assert time.monotonic() < deadline, (root / "driver.log").read_text()
        time.sleep(0.02)


def kill_a_worker(driver: subprocess.Popen) -> bool:
    """Whether there was one."""
    for child in psutil.Process(driver.pid).children(recursive=True):
        try:
            if "MapWorker" in " ".join(child.cmdline()):
                child.kill()
                return True
        except psutil.Error:
            continue
    return False


def stamps(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (root / "run/text_classes").glob("*.parquet")}


def test_kills_cost_no_row_and_what_comes_out_is_what_whole_prefixes_say(classes, tmp_path):
    texts, kinds = texts_of()
    (tmp_path / "corpus").mkdir()
    for number in range(N_FILES):
        rows = range(number * N_ROWS, (number + 1) * N_ROWS)
        lines = [json.dumps({"id": f"n{row}", "text": texts[row]}) + "\n" for row in rows]
        (tmp_path / f"corpus/part-{number}.jsonl").write_text("".join(lines))

    driver = start(tmp_path, classes)
    try:
        wait_for_files(tmp_path, 1, driver)
        assert kill_a_worker(driver)
        wait_for_files(tmp_path, 3, driver)
    finally:
        driver.kill()
        driver.wait()
    before = stamps(tmp_path)
    resumed = start(tmp_path, classes)
    assert resumed.wait(timeout=600) == 0, (tmp_path / "driver.log").read_text()

    card = json.loads((tmp_path / "run/text_classes/card.json").read_text())
    assert card["counts"]["rows"] == card["counts"]["scored"] == len(texts)
    assert 3 <= len(before) < card["counts"]["shards"]
    assert len(before.items() - stamps(tmp_path).items()) <= 2  # a worker may outlive its driver for a moment
    files = sorted((tmp_path / "run/text_classes").glob("*.parquet"))
    found = pa.concat_tables([pq.read_table(path).replace_schema_metadata(None) for path in files])
    assert found["id"].to_pylist() == [f"n{row}" for row in range(len(texts))]

    # in batches of other sizes, all classes read to either end
    early, whole = (in_this_process(classes, texts, f"1:{n}", 1024) for n in (FIRST, LAST))
    first, last = (np.array(of["losses"].to_pylist()) for of in (early, whole))
    is_left = np.argsort(np.argsort(first, axis=1), axis=1) < KEPT
    n = np.minimum([len(text) for text in texts], LAST)
    reads_on = n > FIRST
    losses, rows = np.array(found["losses"].to_pylist()), np.arange(len(texts))
    kept = is_left | ~reads_on[:, None]
    np.testing.assert_allclose(losses[kept], last[kept], rtol=1e-3, atol=1e-5)
    names = np.array([one.label for one in classes])
    label = np.array(found["label"].to_pylist())
    assert (label == names[np.where(kept, last, np.inf).argmin(axis=1)]).all()
    survives = kept[rows, last.argmin(axis=1)]
    assert (label == np.array(whole["label"].to_pylist()))[survives].all()  # staging costs nothing there
    assert survives.mean() > 0.6
    assert (label == kinds)[reads_on].mean() > 0.6  # of four kinds, a third of the texts mixed

    evaluated, k = np.array(found["n_evaluated"].to_pylist()), len(classes)
    assert (evaluated == k * (1 + np.minimum(n, FIRST)) + np.where(reads_on, KEPT * (1 + n), 0)).all()
    assert (np.array(whole["n_evaluated"].to_pylist()) == k * (1 + n)).all()
    assert evaluated.sum() < 0.65 * k * (1 + n).sum()
