"""The tokenise job on Ray, and two workers under Ray Train: one test a seam."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs import pretrain
from jobs.parts import pretraining
from jobs.tokenize_corpus import Config, main
from raypipe.models.tokenizer import open_vocabulary
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder
from raypipe.train.data.index import read_listing
from raypipe.train.loop.journal import read_journal

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenise")
    texts = [f"document {n} of a small corpus, with some words" * (1 + n % 3) for n in range(40)]
    lines = [json.dumps({"text": text}) for text in texts] + ["{not json}", json.dumps({"text": ""})]
    (folder / "corpus").mkdir()
    (folder / "corpus/a.jsonl").write_text("\n".join(lines) + "\n")
    return Config(
        corpus=(str(folder / "corpus"),), output=str(folder / "run"), tokenizer=str(folder / "tokenizer"),
        train_vocabulary=300, shard_bytes=1000, export="megatron",
    )  # fmt: skip


@pytest.mark.slow
def test_a_corpus_is_tokenised_once_and_every_row_accounted_for(config, capsys):
    assert main(config) == 0
    card = json.loads(Path(config.output, "tokens/card.json").read_text())
    assert card["counts"]["rows"] == 42
    assert card["counts"]["skipped"] == {"empty": 1, "unparsable": 1}
    files = sorted(Path(config.output, "tokens").glob("*.parquet"))
    assert len(files) > 2
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    vocabulary = open_vocabulary(config.tokenizer)
    lines = Path(config.corpus[0], "a.jsonl").read_text().splitlines()
    for row, line in zip(rows[:40], lines, strict=False):
        assert vocabulary.tokenizer.decode(row["tokens"][:-1]) == json.loads(line)["text"]
    listing = read_listing(Folder(config.output) / "tokens")
    assert listing.place(37) == ("a.jsonl", 37)  # a row of the source, whatever the shards
    assert card["counts"]["tokens"] == listing.n_tokens.sum()
    stamps = [file.stat().st_mtime_ns for file in files]
    assert main(config) == 0
    assert [file.stat().st_mtime_ns for file in files] == stamps
    assert Path(config.output, "megatron/mix.idx").read_bytes().startswith(b"MMIDIDX")
    with pytest.raises(ValueError, match=r"append_end was True and is now False"):
        main(replace(config, append_end=False))


@pytest.mark.slow
def test_two_workers_under_ray_train_survive_the_loss_of_one(config, tmp_path, monkeypatch):
    if not Path(config.output, "tokens/card.json").exists():
        main(config)
    settings = built(
        pretrain.Config, output=config.output, tokenizer=config.tokenizer, selection="none", length=16, batch_tokens=64,
        steps=8, save_every=2, cpus_per_worker=1, learning_rate=3e-3,
    )  # fmt: skip
    alone = changed(settings, name="alone")
    assert pretrain.main(alone) == 0
    marker = tmp_path / "killed"
    monkeypatch.setattr(pretraining, "make", DiesOnce(str(marker)))
    assert pretrain.main(changed(settings, workers=2)) == 0
    assert marker.exists()
    found, expected = (read_journal(Folder(config.output) / stage / "metrics") for stage in ("train", "train-alone"))
    assert [line["step"] for line in found] == list(range(1, 9))
    assert found[-1]["order"] == expected[-1]["order"]
    assert [line["loss"] for line in found] == pytest.approx([line["loss"] for line in expected], abs=1e-3)


class DiesOnce:
    """Builds a task whose second worker is lost at its fifth step, the first time."""

    def __init__(self, marker: str) -> None:
        self.marker, self.make = marker, pretraining.make

    def __call__(self, config, workers, share):
        import os

        task, feed = self.make(config, workers, share)
        steps = iter(range(1000))
        marker = Path(self.marker)

        def after_step(weights, step):
            if workers.rank == 1 and next(steps) == 4 and not marker.exists():
                marker.touch()
                os._exit(9)

        task.after_step = after_step
        return task, feed
