"""The augment_texts job, in this process: generators, what is kept, and that a stopped run ends as a whole one."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs import augment_texts
from jobs.augment_texts import Config, main
from jobs.benchmark.chaos_inputs import make_model
from jobs.parts import augmenting, class_generators
from raypipe.label.augment.generators import Draft
from raypipe.runs.card import IdentityChanged, read_card
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder

THINGS = {"a": ("apple", "pear", "plum", "fig"), "t": ("hammer", "saw", "drill", "plane")}
PLACES = ("tree", "table", "wall", "shed")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight rows of two classes and a model of random weights."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = [
        {"id": f"{label}{at}", "text": f"the {thing} is on the {place} today", "label": label}
        for label, things in THINGS.items()
        for at, (thing, place) in enumerate(zip(things, PLACES, strict=True))
    ]
    rows += [{"id": "x", "text": " ", "label": "a"}, {"id": "y", "text": "no class"}]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make_model(folder / "model", [row["text"] for row in rows[:8]], seed=0)
    return folder


@pytest.fixture
def config(inputs: Path, tmp_path: Path) -> Config:
    return built(
        Config, rows=(f"{inputs}/rows.jsonl",), model=f"{inputs}/model", output=f"{tmp_path}/run", epochs=10.0,
        batch_examples=2, max_new_tokens=12, quantile=0.0, temperatures=(1.5,), learning_rate=1e-2, save_every=9,
    )  # fmt: skip


def by_triples(config: Config, **more: Any) -> Config:
    """Word triples, and nothing of the language model's."""
    return built(
        Config, rows=config.texts.rows, output=config.run.output, generator="word-triples", quantile=0.0, **more
    )


def rows_of(config: Config, name: str = "augmented.jsonl") -> list[dict[str, Any]]:
    """What a file of the stage holds."""
    return [json.loads(line) for line in Path(config.run.output, "augmented", name).read_text().splitlines()]


def files(config: Config) -> dict[str, bytes]:
    """What the run made, without cards and report."""
    run = Path(config.run.output)
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.jsonl"))}


def test_rows_come_out_with_where_they_are_from(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    config = by_triples(config, per_class=40)
    assert main(config) == 0
    kept, left_out = rows_of(config), rows_of(config, "left_out.jsonl")
    assert len(kept) + len(left_out) == 80
    assert len({row["id"] for row in kept + left_out}) == 80
    for row in kept:
        assert row["generator"] == "word-triples"
        assert row["nearest"] in {f"{row['label']}{at}" for at in range(4)}
        assert not any(thing in row["text"].split() for thing in THINGS["t" if row["label"] == "a" else "a"])
    assert {row["reason"] for row in left_out} == {"a copy", "a double"}
    similar = [row["similarity"] for row in kept if row["label"] == "a"]
    assert similar == sorted(similar, reverse=True)
    counts = read_card(Folder(config.run.output) / "augmented")["counts"]
    assert counts["rows"] == len(kept)
    assert sum(of["left_out"]["a copy"] for of in counts["classes"].values()) == sum(
        row["reason"] == "a copy" for row in left_out
    )
    assert f"{len(kept)} of 80 texts are kept" in capsys.readouterr().out
    report = Path(config.run.output, "report.html").read_text()
    assert "classes.a.left_out.a copy" in report
    figures = json.loads(Path(config.run.output, "augmented/evaluation.json").read_text())
    assert figures["rows_left_out"] == {"no text": 1, "no label": 1}


def test_another_bound_generates_nothing_anew(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = by_triples(config)
    assert main(config) == 0
    first = rows_of(config)
    bound = max(row["similarity"] for row in first if row["label"] == "a") - 1e-6
    monkeypatch.setattr(augmenting, "word_triples", None)
    assert main(changed(config, bound=(f"a={bound}",))) == 0
    assert min(row["similarity"] for row in rows_of(config) if row["label"] == "a") >= bound
    assert len(rows_of(config)) < len(first)
    with pytest.raises(IdentityChanged, match="seed was 0 and is now 1"):
        main(changed(config, seed=1))


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the second class's training, behind a checkpoint; the first class isn't made again."""
    whole = changed(config, output=f"{tmp_path}/whole")
    assert main(whole) == 0
    asked, train = [], class_generators.drafts_of_class

    def stop_in_the_second(*given: Any, stopping: threading.Event, folder: Folder, **more: Any) -> list[Draft]:
        asked.append(given[1][0])
        if len(asked) == 2:
            stopping.set()
        return train(*given, stopping=stopping, folder=folder, **more)

    monkeypatch.setattr(augmenting, "drafts_of_class", stop_in_the_second)
    assert main(config) == 143
    assert read_card(Folder(config.run.output) / "generated")["status"] == "incomplete"
    assert list(Path(config.run.output, "generated/training").rglob("manifest.json"))
    assert main(config) == 0
    assert [text.split()[1] for text in asked] == ["apple", "hammer", "hammer"]
    assert files(config) == files(whole)
    assert not Path(config.run.output, "generated/training").exists()
    assert {row["prompt"] for row in rows_of(config)} <= {f"{at}:" for at in range(4)}


@pytest.mark.learns
def test_a_model_learns_its_class_and_batches_change_nothing(inputs: Path, tmp_path: Path) -> None:
    texts = [f"the {thing} is on the {place} today" for thing in THINGS["a"] for place in PLACES]
    how = class_generators.Adapting(epochs=15.0, learning_rate=1e-2, max_new_tokens=8)
    makes = {}
    for name, batch_rows in (("whole", 32), ("alone", 1)):
        folder = Folder(str(tmp_path / name))
        makes[name] = class_generators.drafts_of_class(
            f"{inputs}/model", texts, 16, 0, how=changed(how, batch_rows=batch_rows), folder=folder
        )
    assert makes["whole"] == makes["alone"]
    first = [one.text.split()[0] for one in makes["whole"] if one.text]
    assert first.count("the") > 12  # of weights that know nothing it would be none


def test_what_can_t_be_is_refused(config: Config, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for settings, why in (
        ({"epochs": 0.0}, "epochs and learning_rate must be above 0, got 0.0"),
        ({"length": 4096}, "length must be at most the"),
        ({"per_text": 0.0}, "per_text must be above 0"),
        ({"generator": "swaps"}, "no effect with --generator swaps"),
        ({"lora_alpha": 8.0}, "--lora-alpha has no effect without --lora-rank"),
        ({"bound": ("z=.3",)}, r"bound must be of a class of the rows \(a, t\), got 'z'"),
        ({"bound": ("a",)}, "bound must be CLASS=COSINE, got 'a'"),
        ({"quantile": 1.0}, "quantile must be from 0 to below 1"),
        ({"label_column": "class"}, "no row of .* has a column 'class'"),
        ({"label_column": "text"}, "every class must have two texts at least"),
    ):
        with pytest.raises((ValueError, KeyError), match=why):
            main(changed(config, **settings))
    assert not Path(config.run.output, "run.json").exists()
    parrot = lambda texts, n, seed: [Draft(text, at) for at, text in enumerate(texts)]  # noqa: E731
    monkeypatch.setattr(augmenting, "swaps_and_deletions", parrot)
    copying = changed(by_triples(config), generator="swaps")
    with pytest.raises(ValueError, match="nothing that swaps made of class 'a' can be kept: 4 a copy"):
        main(copying)
    assert "4 a copy" in read_card(Folder(config.run.output) / augment_texts.STAGE)["why"]
