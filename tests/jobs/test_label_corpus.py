"""The label_corpus job: votes, what the functions are worth, labels; again only where something changed."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from jobs import label_corpus
from jobs.label_corpus import Config, main
from jobs.parts.asking import Asking
from jobs.parts.labelling import read_functions
from raypipe.runs.card import IdentityChanged
from tests.jobs.committed import commit_vectors
from tests.run.deadly import DeadlyVotes
from tests.run.in_process import use_this_process
from tests.run.stages import fault
from tests.score.conftest import save_tiny

FUNCTIONS: dict[str, Any] = {
    "classes": ["fruit", "tool"],
    "functions": [
        {"kind": "keywords", "name": "fruits", "vote": "fruit", "words": ["apple", "pear", "ripe"]},
        {"kind": "keywords", "name": "tools", "vote": "tool", "words": ["hammer", "saw", "steel"]},
        {"kind": "regex", "name": "sweet", "vote": "fruit", "pattern": "sweet|juicy"},
        {"kind": "sql", "name": "hard", "sql": "CASE WHEN text LIKE '%hard%' THEN 'tool' END"},
    ],
}
KINDS = (("fruit", "a ripe apple, sweet"), ("tool", "a hard hammer"), ("fruit", "pear, juicy"), ("tool", "steel saw"))


def changed(number: int | None = None, **changes: Any) -> dict[str, Any]:
    """The functions with one of them, or the whole, changed."""
    if number is None:
        return FUNCTIONS | changes
    functions = [dict(one) for one in FUNCTIONS["functions"]]
    functions[number] = {name: value for name, value in (functions[number] | changes).items() if value is not ...}
    return FUNCTIONS | {"functions": functions}


def write_corpus(folder: Path) -> None:
    folder.mkdir()
    for number in range(3):
        rows = [{"n": f"n{row}", "text": f"{KINDS[row % 4][1]} number {row}" if row % 10 else ""}
                for row in range(20 * number, 20 * number + 20)]  # fmt: skip
        rows[5]["text"] = "nothing to be told"
        (folder / f"part-{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_corpus(tmp_path / "corpus")
    truths = [{"id": f"n{row}", "label": KINDS[row % 4][0]} for row in range(0, 60, 3) if row % 10]
    truths += [{"id": "n1", "label": "tool"}]
    (tmp_path / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in truths))
    (tmp_path / "functions.yaml").write_text(yaml.safe_dump(FUNCTIONS))
    return Config(
        corpus=(f"{tmp_path}/corpus",), id_column="n", output=f"{tmp_path}/run", shard_bytes=400, max_workers=2,
        functions=f"{tmp_path}/functions.yaml", truth=f"{tmp_path}/truth.jsonl",
    )  # fmt: skip


def write(config: Config, functions: Any) -> None:
    Path(config.functions).write_text(
        functions if isinstance(functions, str) else yaml.safe_dump(functions, sort_keys=False)
    )


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ("- a", "must map `classes` and `functions` to lists"),
        (changed(classes=["fruit"]), "classes must be a list of 2 to 127 different names"),
        (changed(classes=["fruit", "tool", " tool"]), "classes must be a list of 2 to 127 different names"),
        (changed(classes=["fruit", "tool", "meat"], functions=FUNCTIONS["functions"][:3]),
         "no function votes for class 'meat'; give it one, or leave it out"),
        (changed(functions=[]), "functions must be a list of mappings"),
        (changed(0, kind="keyword"), "'fruits': kind must be one of .*did you mean 'keywords'"),
        (changed(0, wrods=["a"]), "'fruits': there is no setting 'wrods'; the nearest is 'words'"),
        (changed(0, words=...), "'fruits': words must be given"),
        (changed(0, words="apple"), "'fruits': words must be a list of words, got 'apple'"),
        (changed(0, vote="fruits"), r"'fruits': vote must be one of \['fruit', 'tool'\], got 'fruits'"),
        (changed(1, name="fruits"), "a name of its own, got 'fruits' more than once"),
        (changed(2, pattern="(a"), "'sweet': pattern .* can't be used"),
        (changed(3, sql="text > (SELECT 1)"), "'hard': sql .* can't be used: a subquery"),
        (changed(3, kind="threshold", sql=..., vote="tool", column="n_bytes", at_least="9"),
         "'hard': at_least must be a number, got '9'"),
        (changed(3, sql="no_column > 1", vote="tool"), "no column 'no_column' of the corpus"),
        (changed(3, sql="scores.loss > 1", vote="tool"), "has no stage 'scores'"),
    ],
)  # fmt: skip
def test_wrong_functions_are_refused_by_name_before_anything_is_written(config, monkeypatch, functions, said):
    use_this_process(monkeypatch)
    write(config, functions)
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=said):
        main(config)
    assert not Path(f"{config.output}/votes").exists()


def test_classes_may_be_numbers_or_truths(config):
    write(config, {"classes": [0, True], "functions": [
        {"kind": "regex", "name": "a", "vote": 0, "pattern": "a"}, {"kind": "regex", "name": "b", "vote": True,
                                                                     "pattern": "b"}]})  # fmt: skip
    found = read_functions(config.functions)
    assert found.classes == ("0", "true")
    assert [one.vote for one in found.functions] == ["0", "true"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label_model": "triplets", "uses_abstentions": False}, "--uses-abstentions has no effect with --label-model"),
        ({"class_balance": (0.5, 0.3, 0.2)}, "class_balance must give each of 2 classes a share"),
        ({"truth": "{root}/other.jsonl"}, r"must be among the classes \['fruit', 'tool'\], got 'meat'"),
        ({"truth": "{root}/twice.jsonl"}, "id 'a' has two labels"),
    ],
)
def test_wrong_settings_are_refused(config, tmp_path, monkeypatch, changes, said):
    use_this_process(monkeypatch)
    (tmp_path / "other.jsonl").write_text('{"id": "a", "label": "meat"}\n{"id": "b", "label": "tool"}\n')
    (tmp_path / "twice.jsonl").write_text('{"id": "a", "label": "fruit"}\n{"id": "a", "label": "tool"}\n')
    given = {name: value.format(root=tmp_path) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(ValueError, match=said):
        main(replace(config, **given))
    assert not Path(f"{config.output}/labels").exists()


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        (changed(functions=[{"kind": "regex", "name": name, "vote": name, "pattern": "zzz"} for name in
                            ("fruit", "tool")]), "every labelling function abstains on all 54 rows"),
        (changed(functions=[FUNCTIONS["functions"][0], {"kind": "regex", "name": "t", "vote": "tool",
                                                        "pattern": "zzz"}]), "class 'tool' got no vote on 54 rows"),
        (changed(functions=[{"kind": "sql", "name": "one", "sql": "CASE WHEN text LIKE '%a%' THEN 'fruit' ELSE "
                             "'tool' END"}]), "moment-matching .* needs two .* got 1; .*--label-model majority-vote"),
    ],
)  # fmt: skip
def test_votes_that_teach_nothing_are_refused_after_the_table(config, monkeypatch, capsys, functions, said):
    use_this_process(monkeypatch)
    write(config, functions)
    with pytest.raises(ValueError, match=said):
        main(config)
    assert "coverage" in capsys.readouterr().out
    assert not Path(f"{config.output}/labels").exists()


def rows_of(config: Config, stage: str) -> list[dict]:
    paths = sorted(Path(f"{config.output}/{stage}").glob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def stamps(config: Config, stage: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(f"{config.output}/{stage}").glob("*.parquet")}


def check_labels(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """All rows that are covered have the class that they are of; the table says what the functions are worth."""
    assert main(config) == 0
    said = capsys.readouterr().out
    assert "51 of 54 rows covered by 4 functions" in said
    assert "accuracy of covered rows 100.0 %" in said
    rows = rows_of(config, "labels")
    assert len(rows) == 60
    for number, row in enumerate(rows):
        if number % 10 == 0:
            assert (row["label"], row["reason"]) == (None, "empty")
        elif number % 20 == 5:
            assert (row["label"], row["covered"]) == (None, False)
        else:
            assert (row["label"], row["covered"]) == (KINDS[number % 4][0], True)
            assert row["probability"] == max(row["probabilities"]) > 0.5


def test_rows_are_labelled_and_again_only_where_something_changed(config, tmp_path, monkeypatch, capsys):
    use_this_process(monkeypatch)
    check_labels(config, capsys)
    before = {stage: stamps(config, stage) for stage in ("votes", "labels")}
    card = json.loads(Path(f"{config.output}/vote-counts/card.json").read_text())["result"]
    assert (card["rows"], card["covered"], card["truths"]) == (54, 51, 19)
    assert main(config) == 0
    assert {stage: stamps(config, stage) for stage in before} == before
    assert main(replace(config, label_model="majority-vote")) == 0  # votes stay, labels are made anew
    assert stamps(config, "votes") == before["votes"]
    assert not before["labels"].items() & stamps(config, "labels").items()
    write(config, changed(2, pattern="juicy"))
    assert main(config) == 0
    assert not before["votes"].items() & stamps(config, "votes").items()


def test_columns_of_other_stages_vote_and_functions_that_raise_or_are_silent_are_named(config, monkeypatch, capsys):
    use_this_process(monkeypatch)
    commit_vectors(config.corpus[0], config.output, id_column="n")
    more = [{"kind": "threshold", "name": "low", "vote": "tool", "column": "embeddings.number", "at_most": 3},
            {"kind": "sql", "name": "cast", "sql": "CAST(text AS INT) > 1 AND embeddings.number > 1", "vote": "tool"},
            {"kind": "regex", "name": "silent", "vote": "fruit", "pattern": "zzz"},
            {"kind": "regex", "name": "constant", "vote": "tool", "pattern": "."}]  # fmt: skip
    write(config, FUNCTIONS | {"functions": [*FUNCTIONS["functions"], *more]})
    with pytest.raises(ValueError, match="--shard-bytes has no effect beside a stage, which is cut already"):
        main(config)
    assert main(replace(config, shard_bytes=64 << 20)) == 0
    said = capsys.readouterr().out
    assert "never votes on 54 rows: cast, silent" in said
    assert "raises on 54 of 54 rows, where it abstains: cast (ConversionException" in said
    assert "votes for the same class on all rows, and teaches nothing: constant" in said
    assert "covered by 5 functions" in said
    numbers = [row["number"] for row in rows_of(config, "embeddings")]
    low = [row["votes"] and row["votes"][4] for row in rows_of(config, "votes")]
    assert low == [None if one is None else 1 if one <= 3 else -1 for one in numbers]


PROMPTS = [
    {"kind": "prompt", "name": "fruit?", "question": "{text}\nIs it fruit?", "answers": {"yes": "fruit", "no": None}},
    {"kind": "prompt", "name": "which", "question": "A {text} is a", "answers": {"fruit": "fruit", "tool": "tool"}},
]  # fmt: skip


def test_a_language_model_is_asked_once_and_its_answers_vote(config, tmp_path, monkeypatch, capsys):
    use_this_process(monkeypatch)
    (tmp_path / "model").mkdir()
    save_tiny(tmp_path / "model")
    write(config, FUNCTIONS | {"functions": [*FUNCTIONS["functions"], *PROMPTS]})
    asking = Asking(model=f"{tmp_path}/model", max_tokens=48, dtype="float32", token_budget=256, cpus_per_worker=1.0)
    write(config, FUNCTIONS | {"functions": [PROMPTS[1] | {"answers": {"a": "meat", "b": "tool"}}]})
    with pytest.raises(ValueError, match=r"'which': vote must be one of .*, got 'meat'"):
        main(config)
    write(config, FUNCTIONS | {"functions": [*FUNCTIONS["functions"], *PROMPTS]})
    config = replace(config, asking=asking)
    assert main(config) == 0
    answers, votes = rows_of(config, "answers"), rows_of(config, "votes")
    expected = [one["log_likelihoods"] and [("fruit", None)[int(np.argmax(one["log_likelihoods"][0]))],
                                             ("fruit", "tool")[int(np.argmax(one["log_likelihoods"][1]))]]
                for one in answers]  # fmt: skip
    numbers = {"fruit": 0, "tool": 1, None: -1}
    assert [row["votes"] and row["votes"][4:] for row in votes] == [
        one and [numbers[vote] for vote in one] for one in expected
    ]
    before = stamps(config, "answers")
    write(config, FUNCTIONS | {"functions": [*FUNCTIONS["functions"], PROMPTS[0] | {"at_least": 0.9}, PROMPTS[1]]})
    assert main(config) == 0  # another bound votes anew and asks nothing anew
    assert stamps(config, "answers") == before
    write(config, FUNCTIONS | {"functions": [*FUNCTIONS["functions"], PROMPTS[1]]})
    with pytest.raises(IdentityChanged, match=r"stage 'answers' .* questions was"):
        main(config)
    short = replace(config, name="short", asking=replace(asking, max_tokens=41))
    capsys.readouterr()
    write(config, FUNCTIONS | {"functions": [*FUNCTIONS["functions"], *PROMPTS]})
    assert main(short) == 0
    assert "rows, where it abstains: fruit? (ValueError: a question of 4" in capsys.readouterr().out
    write(config, FUNCTIONS)
    with pytest.raises(ValueError, match=r"--model, --max-tokens.* no effect without a function of kind prompt"):
        main(config)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_on_workers_too_of_which_one_is_killed(config, tmp_path, monkeypatch, capsys):
    once = fault(tmp_path, "kill-forward")
    monkeypatch.setattr(label_corpus, "CastVotes", partial(DeadlyVotes, once=once))
    monkeypatch.setattr(label_corpus.CastVotes, "version", 1, raising=False)
    check_labels(config, capsys)
    assert os.listdir(once) == []
