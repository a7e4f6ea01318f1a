"""The study lawma: tasks and their splits are what it says, and its networks learn what they are said to."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jobs.studies.lawma import mean_over_tasks, split_cases
from jobs.studies.open_data import FOLDER
from jobs.studies.task_network import Examples, TaskNetwork, fit
from jobs.studies.task_sets import VARIABLES, tasks_of


@pytest.fixture
def digits():
    return tasks_of("digits", 80)


def learnt_of(tasks, rows):
    questions = [tasks.questions[row] for row in rows]
    return questions, [question.answers[0] for question in questions]


def test_no_case_is_learnt_from_and_tested_on_whatever_its_task(digits):
    train, test = split_cases(digits, 3, n=20, n_test=15)
    assert not {digits.questions[at].case for at in train} & {digits.questions[at].case for at in test}
    for task in VARIABLES:
        assert sum(digits.questions[at].task == task for at in train) == 20
        assert sum(digits.questions[at].task == task for at in test) == 15
    fewer, same = split_cases(digits, 3, n=5, n_test=15)
    assert set(fewer) < set(train)
    assert same.tolist() == test.tolist() != split_cases(digits, 4, n=20, n_test=15)[1].tolist()
    with pytest.raises(ValueError, match="must have 70 examples to learn from, it has"):
        split_cases(digits, 3, n=70, n_test=15)


def test_the_commonest_answer_is_at_most_half_of_a_task(digits):
    for task in VARIABLES:
        given = [question.answers[0] for question in digits.questions if question.task == task]
        assert len(given) == 80
        assert max(np.unique(given, return_counts=True)[1]) <= 0.65 * 80  # a draw of a set where it is half


def test_facets_are_tasks_of_descriptions_that_have_one_of_their_tags(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "debtags_xc").mkdir()
    several = [["role::a", "use::x"], ["role::b", "use::x", "use::y"], ["role::a", "use::y", "one::z"]]
    labels = [*several * 10, ["role::rare"]]
    for part in ("train", "test"):
        rows = [
            {"id": f"{part}{at}", "title": f"t{at}", "text": "some  words\nmore", "labels": own}
            for at, own in enumerate(labels)
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "debtags_xc" / f"{part}.parquet")
    tasks = tasks_of("debtags_xc", 20)
    assert tasks.tasks == ["role", "use"]  # a facet of one tag asks nothing
    of_use = [question for question in tasks.questions if question.task == "use"]
    assert {question.row % 31 % 3 for question in of_use} == {0, 2}  # the others have two of its tags
    assert {question.choices for question in tasks.questions} == {("role::a", "role::b"), ("use::x", "use::y")}
    assert of_use[0].text.endswith(": some words more")
    with pytest.raises(ValueError, match="no task of debtags_xc has 500 rows"):
        tasks_of("debtags_xc", 500)


def test_a_network_for_each_task_is_the_networks_of_the_tasks_alone(digits):
    train, _ = split_cases(digits, 0, n=20, n_test=10)
    X = np.random.default_rng(0).normal(size=(len(digits.cases), 6))
    questions, learnt = learnt_of(digits, train)
    network = TaskNetwork(Examples.of(questions, X[digits.row[train]], learnt), is_shared=False, seed=1)
    changed = fit(TaskNetwork(network.examples, is_shared=False, seed=1), 3, seed=0)
    with torch.no_grad():
        network.inner[0] += 1.0
    again = fit(network, 3, seed=0)
    assert not torch.equal(again.inner[0], changed.inner[0])
    assert torch.equal(again.inner[1:], changed.inner[1:])


def test_one_network_of_all_tasks_is_the_same_as_one_for_each_until_it_is_taught_further(digits):
    train, test = split_cases(digits, 0, n=20, n_test=10)
    X = np.random.default_rng(0).normal(size=(len(digits.cases), 6))
    questions, learnt = learnt_of(digits, train)
    network = fit(TaskNetwork(Examples.of(questions, X[digits.row[train]], learnt), is_shared=True, seed=1), 5, seed=0)
    asked, read = [digits.questions[at] for at in test], X[digits.row[test]]
    each = network.one_a_task()
    assert each.answers(asked, read) == network.answers(asked, read)
    assert each.inner.shape[0] == len(VARIABLES)
    assert all(answer in question.choices for answer, question in zip(network.answers(asked, read), asked, strict=True))


def test_a_mean_over_tasks_counts_each_task_once(digits):
    some = [question for question in digits.questions if question.task in ("digit", "parity")][:100]
    n_digit = sum(question.task == "digit" for question in some)
    assert 0 < n_digit < 100
    said = [question.answers[0] if question.task == "digit" else "none" for question in some]
    assert mean_over_tasks(said, some) == 0.5
