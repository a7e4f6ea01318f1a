"""choose_answers on made candidates: the right one is chosen beside its rivals, and a student learns why."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobs.choose_answers import Config, main
from jobs.parts.candidates import read_candidates
from jobs.parts.choosing import agreement
from raypipe.classify.logistic_regression import LogisticRegression
from raypipe.models.fitted import open_fitted
from raypipe.storage.folder import Folder

RIGHT, WRONG = "so it follows carefully", "hence guess maybe"


def made(n: int = 120, k: int = 6, *, known: int = 120) -> list[dict]:
    """Verifiers of unlike worth and scale; wrong answers crowd on one, so that the majority is often wrong."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(n):
        correct = rng.random(k) < 0.4
        raw = correct[:, None] * [2.0, 1.5, 1.5, 1.2, 0.0] + rng.normal(size=(k, 5))
        scores = raw * [1, 100, 0.01, 5, 1]
        rows.append({
            "question": f"what is {number}?", "id": f"q{number}",
            "candidates": [f"{RIGHT if is_right else WRONG} {at}" for at, is_right in enumerate(correct)],
            "answers": [42 if is_right else 7 for is_right in correct],
            "scores": {name: scores[:, at].tolist() for at, name in enumerate("abcde")},
            "correct": correct.tolist() if number < known else None,
        })  # fmt: skip
    return rows


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    rows = made()
    del rows[5]["scores"]["b"]
    rows[6]["scores"]["c"][2] = None
    return Config(
        data=(write(tmp_path / "rows.jsonl", rows),), output=f"{tmp_path}/run", development=0.05, dimensions=32, seed=1
    )


def test_right_answers_are_chosen_and_a_student_learns_to(config: Config, capsys) -> None:
    assert main(config) == 0
    found = json.loads(Path(f"{config.output}/choices/results.json").read_text())
    assert (found["development"], found["n_judged"]) == (6, 114)
    assert found["verifiers"] == list("abcde")
    rules = {name.partition(":")[0]: of["success"] for name, of in found["rules"].items()}
    assert list(rules) == ["weaver", "majority", "best single", "mean of scores", "first", "oracle"]
    assert rules["weaver"] > max(rules["majority"], rules["first"]) + 0.1
    assert rules["oracle"] == 1 or rules["oracle"] > rules["weaver"]
    student = found["student"]
    assert student["of the posterior"]["success"] >= 0.95 * student["weaver itself"]["success"]
    assert student["of the posterior"]["success"] > student["of the majority"]["success"]
    lines = [json.loads(line) for line in Path(f"{config.output}/choices/choices.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"q{number}" for number in range(120)]
    assert all(line["chosen"] == int(np.argmax(line["probabilities"])) for line in lines)
    fitted = open_fitted(LogisticRegression, Folder(f"{config.output}/student"))
    assert fitted.classes_.tolist() == ["right", "wrong"]
    assert "114 questions that aren't the development set" in capsys.readouterr().out


def test_without_other_truth_it_chooses_and_judges_nothing(config: Config, tmp_path: Path) -> None:
    config = replace(config, data=(write(tmp_path / "few.jsonl", made(known=6)),))
    assert main(config) == 0
    found = json.loads(Path(f"{config.output}/choices/results.json").read_text())
    assert (found["n_judged"], found["rules"]) == (0, {})
    assert len(Path(f"{config.output}/choices/choices.jsonl").read_text().splitlines()) == 120


def test_answers_agree_by_what_they_come_to_within_their_question(tmp_path: Path) -> None:
    rows = [{"question": "a", "candidates": ["x", "y", "z"], "answers": [1, 1, 2], "scores": {}},
            {"question": "b", "candidates": ["x", "x"], "scores": {}}]  # fmt: skip
    found = agreement(read_candidates((write(tmp_path / "rows.jsonl", rows),)))
    np.testing.assert_allclose(found, [2 / 3, 2 / 3, 1 / 3, 1, 1])


ROW = {"question": "a", "candidates": ["x", "y"], "scores": {"v": [1, 2]}, "correct": [True, False]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"question": None}, "row 0: question isn't text; a row must be like"),
        ({"candidates": []}, "candidates isn't a list of texts"),
        ({"scores": [1, 2]}, "scores doesn't map verifiers to lists"),
        ({"scores": {"v": [1]}}, "scores of 'v' aren't 2, one for each candidate"),
        ({"scores": {"v": [1, "x"]}}, "scores of 'v' aren't finite numbers"),
        ({"correct": [True]}, "correct isn't a list of 2"),
        ({"correct": [1, 0]}, "correct isn't a list of true and false"),
        ({"answers": [4, 4]}, "correct contradicts itself: the answer 4 is right and wrong"),
        ({"correct": None}, "development asks for 2 questions with `correct`, and 0 have it"),
        ({"correct": [True, True]}, "must have right and wrong answers, got 4 right of 4"),
        ({}, "3 verifiers at least must give positive votes"),
    ],
)
def test_wrong_rows_are_refused(config: Config, tmp_path: Path, changes: dict, why: str) -> None:
    rows = write(tmp_path / "wrong.jsonl", [ROW | changes, ROW | changes])
    with pytest.raises(ValueError, match=why):
        main(replace(config, data=(rows,), development=0.5))


def test_shares_are_shares(config: Config) -> None:
    with pytest.raises(ValueError, match="development must be above 0 and below 1, got 1"):
        main(replace(config, development=1.0))
