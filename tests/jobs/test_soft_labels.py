"""fit_classifier learns the probabilities of label_corpus, judged by truth that it hasn't learned."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from jobs import fit_classifier, label_corpus
from raypipe.classify.logistic_regression import LogisticRegression
from raypipe.corpus.soft_labels import read_soft_labels
from raypipe.models.fitted import open_fitted
from raypipe.storage.folder import Folder
from tests.run.in_process import use_this_process

FUNCTIONS = {"classes": ["fruit", "tool"], "functions": [
    {"kind": "keywords", "name": "fruits", "vote": "fruit", "words": ["apple", "pear"]},
    {"kind": "keywords", "name": "tools", "vote": "tool", "words": ["hammer", "saw"]},
    {"kind": "keywords", "name": "sweet", "vote": "fruit", "words": ["sweet"]},
    {"kind": "keywords", "name": "hard", "vote": "tool", "words": ["hard"]},
]}  # fmt: skip
KINDS = ("a sweet apple to eat", "a hard hammer to work", "a pear to eat", "a saw to work", "something to eat",
         "something to work")  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fit_classifier.Config:
    """60 rows, of which a third isn't covered; every second has its truth."""
    use_this_process(monkeypatch)
    rows = [{"id": f"n{row}", "text": f"{KINDS[row % 6]} {row}",
             "label": ("fruit", "tool")[row % 2] if row < 30 else None} for row in range(60)]  # fmt: skip
    rows += [{"id": "empty", "text": ""}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "f.yaml").write_text(yaml.safe_dump(FUNCTIONS))
    asked = label_corpus.Config(
        corpus=(f"{tmp_path}/rows.jsonl",), id_column="id", output=f"{tmp_path}/run", functions=f"{tmp_path}/f.yaml",
        label_model="majority-vote",
    )  # fmt: skip
    assert label_corpus.main(asked) == 0
    return fit_classifier.Config(
        rows=(f"{tmp_path}/rows.jsonl",), output=f"{tmp_path}/run", soft_labels=f"{tmp_path}/run/labels", dimensions=8
    )


def test_labels_are_read_by_id(config: fit_classifier.Config) -> None:
    found = read_soft_labels(str(config.soft_labels))
    assert found.classes == ("fruit", "tool")
    assert len(found.probability) == 60
    assert found.covered == {f"n{row}" for row in range(60) if row % 6 < 4}
    np.testing.assert_allclose(found.probability["n0"], [1, 0], atol=0.2)
    np.testing.assert_allclose(found.probability["n4"], [0.5, 0.5], atol=0.2)


def test_probabilities_are_learned_and_truth_judges(config: fit_classifier.Config, capsys) -> None:
    assert fit_classifier.main(config) == 0
    found = json.loads(Path(f"{config.output}/classifier/evaluation.json").read_text())
    assert list(found["contenders"]) == ["logistic-regression", "logistic-regression on the truth", "labels alone",
                                         "majority"]  # fmt: skip
    assert (found["n"], found["n_learned"], found["left_out"]) == (30, 40, {"no soft label": 1})
    accuracy = {name: of["accuracy"]["mean"] for name, of in found["contenders"].items()}
    assert accuracy["logistic-regression"] == 1  # also where nobody voted: `to eat` and `to work` tell
    assert accuracy["labels alone"] == pytest.approx(2 / 3 + 1 / 6)  # by the prior half of the others
    assert accuracy["majority"] == pytest.approx(0.5, abs=0.1)
    assert "learned from the class probabilities of 40 rows" in capsys.readouterr().out
    fitted = open_fitted(LogisticRegression, Folder(f"{config.output}/classifier"))
    assert fitted.classes_.tolist() == ["fruit", "tool"]


def test_without_truth_it_learns_and_says_that_nothing_judges(config: fit_classifier.Config, capsys) -> None:
    path = Path(config.rows[0])
    rows = [json.loads(line) | {"label": None} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert fit_classifier.main(config) == 0
    assert "no row has a label to judge by" in capsys.readouterr().out
    assert Path(f"{config.output}/classifier/state.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"method": "nearest-centroid"}, "soft_labels need a method whose fit takes weights, got NearestCentroid"),
        ({"unknown": "tool"}, "without --unknown; leave those out"),
        ({"soft_labels": "{run}/votes"}, "must be a stage of label_corpus"),
        ({"soft_labels": "{run}/label"}, "has no stage 'label'"),
        ({"rows": ("{run}/../other.jsonl",)}, "no row of .* has soft labels; see that its ids"),
        ({"rows": ("{run}/../wrong.jsonl",)}, r"must be among the classes \['fruit', 'tool'\], got 'meat'"),
    ],
)
def test_what_can_not_be_learned_is_refused(config: fit_classifier.Config, changes: dict, why: str) -> None:
    folder = Path(config.output).parent
    (folder / "other.jsonl").write_text('{"id": "strange", "text": "a b"}\n')
    (folder / "wrong.jsonl").write_text('{"id": "n1", "text": "a b", "label": "meat"}\n')
    filled = {name: tuple(one.format(run=config.output) for one in value) if isinstance(value, tuple)
              else value.format(run=config.output) for name, value in changes.items()}  # fmt: skip
    with pytest.raises((ValueError, FileNotFoundError), match=why):
        fit_classifier.main(replace(config, **filled))
