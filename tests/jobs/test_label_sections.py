"""The label_sections job: lines by headers, a tagger on them, and documents without headers tagged too."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from jobs.label_sections import Config, main
from raypipe.classify.section_tagger import SectionTagger
from raypipe.models.fitted import open_fitted
from raypipe.storage.folder import Folder

WORDS = {"S": "cough fever since tuesday", "O": "lungs clear pulse normal", "P": "rest fluids return friday"}
HEADERS = {"S": ["HPI"], "O": ["Physical exam"], "P": ["Plan"]}


def note(rng: np.random.Generator, *, headers: bool = True) -> str:
    lines = []
    for label, words in WORDS.items():
        lines += [f"{HEADERS[label][0]}:"] if headers else []
        lines += [" ".join(rng.permutation(words.split())) for _ in range(int(rng.integers(1, 4)))]
    return "\n".join(lines)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    rng = np.random.default_rng(0)
    rows = [{"id": f"n{row}", "text": note(rng, headers=row < 12)} for row in range(15)]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": "x", "text": " "}]))
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"headers": HEADERS}))
    return Config(
        rows=(f"{tmp_path}/notes.jsonl",), rules=f"{tmp_path}/rules.yaml", output=f"{tmp_path}/run", hidden=8,
        epochs=12, dimensions=8,
    )  # fmt: skip


def test_documents_without_headers_are_tagged_as_those_with(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(config) == 0
    assert "learned from 10 documents with headers, of 15" in capsys.readouterr().out
    rows = [json.loads(line) for line in Path(f"{config.output}/sections/sections.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"n{row}" for row in range(15)]
    assert rows[0]["headers_say"][0] == "S"
    assert set(rows[14]["headers_say"]) == {None}
    of = {word: label for label, words in WORDS.items() for word in words.split()}
    right = [said == of[line.split()[0]] for row in rows[12:] for line, said in
             zip(row["lines"], row["tagger_says"], strict=True)]  # fmt: skip
    assert np.mean(right) > 0.8
    found = json.loads(Path(f"{config.output}/sections/evaluation.json").read_text())
    assert (found["heldout"], set(found["accuracy"])) == (2, {"each line by itself", "Bi-LSTM-CRF"})
    stored = open_fitted(SectionTagger, Folder(f"{config.output}/section-tagger"))
    assert stored.classes_.tolist() == ["O", "P", "S"]


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"headers": {"S": ["HPI"]}}, "headers must be of two classes at least"),
        ({"headers": {**HEADERS, "A": ["assessment"]}}, "no line of 15 documents stands below a header of 'A'"),
        ({"sections": HEADERS}, "must map headers to classes with their headers"),
    ],
)
def test_rules_that_fit_nothing_are_refused(config: Config, rules: dict, why: str) -> None:
    Path(config.rules).write_text(yaml.safe_dump(rules))
    with pytest.raises(ValueError, match=why):
        main(config)
    assert not Path(f"{config.output}/sections").exists()


def test_wrong_settings_are_refused(config: Config) -> None:
    with pytest.raises(ValueError, match="heldout_share must be above 0 and below 1, got 1"):
        main(replace(config, heldout_share=1.0))
    with pytest.raises(KeyError, match=r"no row of .* has a column 'body'"):
        main(replace(config, text_column="body"))
    few = Path(config.rows[0])
    few.write_text("\n".join(few.read_text().splitlines()[:3]) + "\n")
    with pytest.raises(ValueError, match="4 documents at least must have lines below headers, got 3"):
        main(config)
