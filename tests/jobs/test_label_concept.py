"""label_concept on a made concept: answers asked once and counted, a student that learns them, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml

from jobs import label_concept
from jobs.label_concept import Config, main
from jobs.parts import annotating, concepts, students, written_questions
from jobs.parts.annotating import NOTHING, AskedModel, key_of
from jobs.parts.concepts import f1_minus, figures, parts_of
from raypipe.classify.logistic_regression import LogisticRegression
from raypipe.models.fitted import open_fitted
from raypipe.storage.folder import Folder

N, QUESTIONS = 240, ("is it red?", "is it warm?", "is it blue?")
IS_SO = np.random.default_rng(0).random(N) < 0.4


def vectors(texts: list[str], encoder: str) -> np.ndarray:
    """In place of an encoder: red rows and what is called red point one way, with noise of the text's own."""
    X = np.array([
        np.where(("red" in text), 1.0, -1.0) * 0.4 + np.random.default_rng(key_of(text) % 2**32).normal(size=8)
        for text in texts
    ])  # fmt: skip
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(students, "embedded", vectors)
    rows = [{"id": f"r{at}", "text": f"{'red' if so else 'blue'} thing {at}"} for at, so in enumerate(IS_SO)]
    rows += [{"id": "again", "text": rows[3]["text"]}, {"id": "none", "text": " "}]
    write(tmp_path / "rows.jsonl", rows)
    write(tmp_path / "truth.jsonl", [{"id": f"r{at}", "label": "red" if IS_SO[at] else "no"} for at in range(0, N, 3)])
    rng = np.random.default_rng(1)
    answers = []
    for at, so in enumerate(IS_SO):
        for number, question in enumerate(QUESTIONS):
            is_yes = (so ^ (number == 2)) ^ (rng.random() < 0.1)
            answers.append({"id": f"r{at}", "question": question, "answer": float(is_yes) + rng.random() / 2})
    write(tmp_path / "answers.jsonl", answers)
    recipe = {"name": "red", "positive": list(QUESTIONS[:2]), "negative": [QUESTIONS[2]]}
    (tmp_path / "concept.yaml").write_text(yaml.safe_dump(recipe))
    return Config(
        rows=(f"{tmp_path}/rows.jsonl",), concept=f"{tmp_path}/concept.yaml", answers=(f"{tmp_path}/answers.jsonl",),
        truth=f"{tmp_path}/truth.jsonl", output=f"{tmp_path}/run", near=12, random=12, rounds=2, batch=10,
    )  # fmt: skip


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def found_in(config: Config) -> dict[str, Any]:
    return json.loads(Path(f"{config.output}/concept/results.json").read_text())


def test_a_student_learns_the_concept_and_every_answer_is_counted_once(config: Config, capsys) -> None:
    assert main(config) == 0
    found = found_in(config)
    assert (found["rows"], found["pool"], found["test"]) == (N, N - N // 3, N // 3)
    assert found["left_out"] == {"the text of another row": 1, "no text": 1}
    assert found["taught"]["margin"]["calls"] == 44 * len(QUESTIONS)
    of = found["taught"]
    assert found["calls"] == sum(one["calls"] for one in of.values()) + found["calls_of_judging"]
    assert found["calls_of_judging"] == found["test"] * len(QUESTIONS)  # no row that judges is in the pool
    f1 = {name: one["f1"] for name, one in found["judged"].items()}
    assert f1["student by margin"] > f1["shuffled verdicts"] + 0.1
    assert set(f1) == {
        "student by margin", "student by random", "student by top", "annotator", "cosine to the name",
        "shuffled verdicts",
    }  # fmt: skip
    assert set(found["minus"]) == set(f1) - {"student by margin"}
    assert found["minus"]["annotator"]["mean"] == pytest.approx(f1["student by margin"] - f1["annotator"])
    assert f"{found['calls']:,} answers asked for, 0 kept already" in capsys.readouterr().out
    assert f"{found['test']} rows with truth, %" in Path(f"{config.output}/report.html").read_text()
    rows = [json.loads(line) for line in Path(f"{config.output}/concept/concept.jsonl").read_text().splitlines()]
    assert len(rows) == N
    assert sum(row["annotator"] is not None for row in rows) == 44
    stored = open_fitted(LogisticRegression, Folder(f"{config.output}/concept-student"))
    X = vectors([f"{'red' if so else 'blue'} thing {at}" for at, so in enumerate(IS_SO)], "")
    at = list(stored.classes_).index("red")
    np.testing.assert_allclose(stored.predict_proba(X)[:, at], [row["probability"] for row in rows], atol=1e-6)


def test_the_same_command_asks_nothing_anew(config: Config) -> None:
    main(config)
    first = found_in(config)
    main(config)
    again = found_in(config)
    assert (again["calls"], again["kept"]) == (0, first["calls"])
    assert again["judged"] == first["judged"]


class Killed(BaseException):
    """As if the process were gone."""


class Spoken(AskedModel):
    """In place of a language model: red is likelier of red texts; killed at its hundredth answer if told so."""

    n_before_a_kill = 10**9
    asked: ClassVar[list[tuple[str, int]]] = []

    @property
    def version(self) -> str:
        return "spoken"

    def too_long(self, questions: Any) -> dict[int, int]:
        return {key_of("red thing of many words"): 9999}

    def _likelier(self, question: str, texts: Any) -> np.ndarray:
        if len(Spoken.asked) + len(texts) > Spoken.n_before_a_kill:
            raise Killed
        Spoken.asked += [(question, key_of(text)) for text in texts]
        sign = -1.0 if "blue" in question else 1.0
        return np.array([0.5 if text == NOTHING else sign * (2.0 * ("red" in text) - 1) for text in texts])


@pytest.fixture
def spoken(config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(label_concept, "AskedModel", Spoken)
    Spoken.asked, Spoken.n_before_a_kill = [], 10**9
    with Path(config.rows[0]).open("a") as file:
        file.write(json.dumps({"id": "long", "text": "red thing of many words"}) + "\n")
    return replace(config, answers=())


def test_after_a_kill_in_mid_run_only_what_was_not_kept_is_asked(spoken: Config) -> None:
    Spoken.n_before_a_kill = 100
    with pytest.raises(Killed):
        main(spoken)
    before = len(Spoken.asked)
    assert 0 < before <= 100
    Spoken.n_before_a_kill = 10**9
    assert main(spoken) == 0
    found = found_in(spoken)
    assert len(Spoken.asked) == len(set(Spoken.asked)) == found["calls"] + found["kept"]
    assert (found["calls"], found["kept"]) == (len(Spoken.asked) - before, before)
    assert found["judged"]["annotator"]["f1"] == 1.0
    assert found["left_out"]["a question longer than the window of 1,024 tokens"] == 1


def test_with_a_model_a_changed_question_asks_for_its_own_alone(spoken: Config) -> None:
    main(spoken)
    Spoken.asked = []
    Path(spoken.concept).write_text(Path(spoken.concept).read_text().replace("is it warm?", "is it hot?"))
    main(spoken)
    assert {question for question, _ in Spoken.asked} == {"is it hot?"}
    assert len(Spoken.asked) == found_in(spoken)["calls"]


@pytest.fixture
def defined(spoken: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A concept of words alone: the model writes one question of each sort, and one that tells nothing."""
    monkeypatch.setattr(written_questions, "AskedModel", Fond)
    monkeypatch.setattr(written_questions, "open_model", lambda ref: Named)
    monkeypatch.setattr(
        written_questions,
        "_writer",
        lambda how: lambda prompts, seeds: ["1. Is it red?\n2. Is it so blue?"] * len(seeds),
    )
    Path(spoken.concept).write_text("{name: red, definition: a red thing, near_misses: a blue thing}")
    return spoken


class Fond(Spoken):
    """It says yes to whatever is asked about the definition."""

    def _likelier(self, question: str, texts: Any) -> np.ndarray:
        return super()._likelier(question, texts) + np.array([9.0 * (text == "a red thing") for text in texts])


class Named:
    sha256 = tokenizer_sha256 = staticmethod(lambda: "named")


def test_without_questions_the_model_writes_them_and_keeps_what_tells(defined: Config) -> None:
    assert main(defined) == 0
    path = Path(f"{defined.output}/concept-questions/concept.yaml")
    written = yaml.safe_load(path.read_text())
    assert (written["positive"], written["negative"]) == (["Is it red?"], ["Is it so blue?"])
    assert found_in(defined)["judged"]["annotator"]["f1"] == 1.0
    assert main(replace(defined, concept=str(path), output=f"{defined.output}-of-its-own")) == 0


def test_questions_are_written_once_and_what_was_corrected_is_used(defined: Config, monkeypatch) -> None:
    main(defined)
    first = found_in(defined)
    path = Path(f"{defined.output}/concept-questions/concept.yaml")
    monkeypatch.setattr(written_questions, "_writer", lambda how: pytest.fail("written again"))
    main(defined)
    assert found_in(defined)["calls"] == 0
    path.write_text(path.read_text().replace("Is it red?", "Is it really red?"))
    main(defined)
    assert found_in(defined)["calls"] == first["calls"] // 2  # one of two questions
    Path(defined.concept).write_text("{name: red, definition: some red thing}")  # alone: no negative ones
    with pytest.raises(pytest.fail.Exception, match="written again"):
        main(defined)


def test_labels_tune_the_decision_and_are_in_no_other_part(config: Config) -> None:
    main(replace(config, tune_labels=30, choices=("margin",)))
    found = found_in(config)
    assert (found["tune"], found["test"]) == (30, N // 3 - 30)
    assert found["decided_by"] in ("rule", "regression")
    assert "regression on tune_labels" in found["judged"]


def test_parts_share_no_row_and_what_is_not_looked_at_is_in_the_pool() -> None:
    ids = [str(at) for at in range(100)]
    parts = parts_of(ids, dict.fromkeys(ids[:60], True), n_tune=10, test_share=0.5, seed=0)
    assert [len(part) for part in (parts.pool, parts.tune, parts.test)] == [65, 10, 25]
    assert sorted(np.concatenate([parts.pool, parts.tune, parts.test]).tolist()) == list(range(100))


def test_without_truth_it_labels_and_judges_nothing(config: Config) -> None:
    assert main(replace(config, truth=None, choices=("margin",))) == 0
    found = found_in(config)
    assert (found["test"], found["judged"], found["calls_of_judging"]) == (0, {}, 0)


def test_differences_are_of_the_same_rows() -> None:
    truth = np.random.default_rng(0).random(60) < 0.5
    said = {"same": truth, "half": truth & (np.arange(60) % 2 == 0), "none": np.zeros(60, bool)}
    found = f1_minus(truth, said, truth, seed=0)
    assert found["same"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert found["half"]["mean"] == pytest.approx(1 - figures(said["half"], said["half"] * 1.0, truth, seed=0)["f1"])
    assert 0 < found["half"]["low"] < found["half"]["mean"] < found["half"]["high"]
    assert found["none"] == {"mean": 1.0, "low": 1.0, "high": 1.0}


def test_figures_are_those_of_scikit_learns() -> None:
    truth, said = np.array([True, True, False, False]), np.array([True, False, True, False])
    found = figures(said, said * 1.0, truth, seed=0)
    assert (found["f1"], found["precision"], found["recall"], found["accuracy"]) == (0.5, 0.5, 0.5, 0.5)
    assert 0 <= found["low"] <= 0.5 <= found["high"] <= 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": None}, "must be a mapping with the name of a concept"),
        (
            {"questions": ["a?"]},
            "may have name, definition, near_misses, positive, .* prompt, got 'questions'",
        ),
        ({"positive": "a?"}, "positive must be a list of texts"),
        ({"positive": []}, "concept 'red' must have positive questions"),
        ({"positive": ["a?", "a?"]}, "every question must be asked once"),
        ({"prompt": "{text}"}, "prompt must hold {text} and {question} once each"),
        ({"definition": ["red"]}, "definition must be a text"),
        ({"positive": None, "definition": "red things"}, "negative questions go with positive ones"),
        (
            {"positive": None, "negative": None, "definition": "red things"},
            "must have positive .* where --answers",
        ),
        ({"positive": ["is it green?"]}, "must answer 'is it green\\?' about every row"),
    ],
)
def test_wrong_concepts_are_refused(config: Config, changes: dict, why: str) -> None:
    given = yaml.safe_load(Path(config.concept).read_text()) | changes
    Path(config.concept).write_text(yaml.safe_dump(given))
    with pytest.raises(ValueError, match=why):
        main(config)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"near": 300}, "the pool must hold 312 rows at least, got 160"),
        ({"rounds": 50}, "the pool must hold 524 rows to annotate, got 160"),
        ({"choices": ()}, "choices must be one at least"),
        ({"batch": 0}, "batch must be 1 or more, got 0"),
        ({"test_share": 0.0}, "test_share must be above 0"),
        ({"label": "green"}, "label must be one of .*, which has no, red; got 'green'"),
        ({"tune_labels": 500}, "tune_labels asks for 500 rows with truth, and 80 have it"),
        ({"tune_labels": 80}, "must have rows to judge by beside tune_labels"),
        ({"questions": 0}, "questions must be 1 or more, got 0"),
        ({"questions": 5}, "--questions has no effect as .* has questions"),
        ({"max_tokens": 99}, "--max-tokens has no effect with --answers"),
        ({"truth": None, "tune_labels": 9}, "--tune-labels has no effect without --truth"),
    ],
)
def test_wrong_settings_are_refused(config: Config, changes: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        main(replace(config, **changes))


def test_a_file_without_the_column_is_refused(config: Config) -> None:
    with pytest.raises(KeyError, match=r"no row of .* has a column 'body'"):
        main(replace(config, text_column="body"))


def test_answers_that_are_none_are_refused(config: Config) -> None:
    write(Path(config.answers[0]), [{"id": "r1", "question": "is it red?", "answer": None}])
    with pytest.raises(ValueError, match="an answer must have `id`, `question` and a finite `answer`"):
        main(config)


def test_an_annotator_of_one_opinion_is_refused(config: Config) -> None:
    rows = [json.loads(line) for line in Path(config.answers[0]).read_text().splitlines()]
    write(Path(config.answers[0]), [{**row, "answer": float(row["question"] != QUESTIONS[2])} for row in rows])
    with pytest.raises(ValueError, match="the annotator finds all of the concept"):
        main(config)
    assert annotating.key_of("a") != annotating.key_of("b")
    assert concepts.CHUNK >= 1
