"""Lawma: one model of many small tasks against one model a task, and accuracy over the examples of each.

The paper finetunes a language model of eight billion parameters on 260 tasks. Here a network of one hidden layer is
taught on what is read once: the pixels of digits, or the mean states of the sample model's first layers. One network
has a hidden layer for all tasks; or each task has its own, of the same size. Either way each step has as many examples
of each task, so that every example is seen as often. Cases are split, as in the paper, once for all tasks, and accuracy
is the unweighted mean over tasks. Ten questions about the same pictures stand for its variables of one opinion; with
--data the ten domains of clinc150, as the dossier asks (f3 and f4), and facets of Debian packages.
Departures: no generation and no prompt, whose code has tests of its own; the class cap is of the whole set.
Nothing was rehearsed: sizes, steps and rates are those that other studies here have, and a guess.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from raypipe.evaluate.claims import Claim
from raypipe.run.chain import Step
from raypipe.runs.trials import Metrics
from raypipe.sample import SAMPLE
from raypipe.storage.folder import Folder
from raypipe.train.choices.majority import majority_answers
from raypipe.train.choices.question import Question
from raypipe.train.choices.tf_idf import tf_idf_answers

from .debate_w2s_text import states_of
from .open_data import made, vectors
from .study import Study
from .task_network import Examples, TaskNetwork, fit
from .task_sets import TaskSet, tasks_of
from .texts import Texts

TEST_SHARE = 0.35
STATES = "states.npy"


def stage(settings: Mapping[str, Any], data: str, own: Folder) -> Step:
    """What the networks read of all cases of a data set, once for all trials."""
    names = ("pool", "model", "n_layers", "max_tokens")
    chosen, tasks = {name: settings[name] for name in names}, tasks_of(data, settings["pool"])

    def work(card: dict[str, Any], stopping: Any) -> None:
        """Write it as one array."""
        X = _read(tasks, data, **{name: chosen[name] for name in names[1:]})
        own.write(STATES, np.ascontiguousarray(X, np.float32).tobytes())
        card["counts"] = {"rows": len(X)}

    return Step({"data": data, "cases_sha256": tasks.sha256, **chosen}, work)


def _read(tasks: TaskSet, data: str, *, model: str, n_layers: int, max_tokens: int) -> np.ndarray:
    """[cases, d], standardised: pixels of digits, states of texts."""
    if data == "digits":
        X = vectors(data)[0][[int(case) for case in tasks.cases]]
    else:
        none = np.zeros(len(tasks.cases))
        X = states_of(Texts(tasks.texts, none, none), model=model, n_layers=n_layers, max_tokens=max_tokens)
    standard: np.ndarray = (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9)
    return standard


@cache
def _material(data: str, pool: int, model: str, n_layers: int, max_tokens: int) -> tuple[TaskSet, np.ndarray]:
    """Tasks and what is read of their cases, from the stage where there is one."""
    tasks, kept = tasks_of(data, pool), made(data)
    if kept is None:
        return tasks, _read(tasks, data, model=model, n_layers=n_layers, max_tokens=max_tokens)
    return tasks, np.frombuffer(kept.read(STATES), np.float32).reshape(len(tasks.cases), -1)


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Mean accuracy over tasks of the arm, and of each task's commonest answer, on cases that no task learns from."""
    torch.set_num_threads(1)
    data = settings["data"]
    tasks, X = _material(data, *(settings[name] for name in ("pool", "model", "n_layers", "max_tokens")))
    train, test = split_cases(tasks, seed, n=min(settings["n"], settings["n_most"]), n_test=settings["n_test"])
    questions = [tasks.questions[at] for at in train]
    learnt, asked = [question.answers[0] for question in questions], [tasks.questions[at] for at in test]
    if settings["labels"] == "shuffled":
        learnt = _shuffled(questions, learnt, seed)
    said: Sequence[str | None]
    if settings["learner"] == "linear":
        said = _linear(X, tasks, train, learnt, test, data=data)
    else:
        examples, n_steps = Examples.of(questions, X[tasks.row[train]], learnt), settings["n_steps"]
        network = fit(TaskNetwork(examples, is_shared=settings["learner"] != "each", seed=seed), n_steps, seed=seed)
        if settings["learner"] == "then each":
            network = fit(network.one_a_task(), n_steps, seed=seed + 1)
        said = network.answers(asked, X[tasks.row[test]])
    return {
        "accuracy": mean_over_tasks(said, asked),
        "majority": mean_over_tasks(majority_answers(questions, asked), asked),
    }


def split_cases(tasks: TaskSet, seed: int, *, n: int, n_test: int) -> tuple[np.ndarray, np.ndarray]:
    """Questions to learn from, `n` a task, and to test on, `n_test` at most a task; no case is in both.

    More examples hold the fewer, and the seed alone decides which cases are tested on.

    Raises
    ------
    ValueError
        If a task has fewer to learn from.
    """
    place = np.random.default_rng(seed).permutation(len(tasks.cases))[tasks.row]
    is_test = place < TEST_SHARE * len(tasks.cases)
    order, task = np.argsort(place, kind="stable"), np.array([question.task for question in tasks.questions])
    train, test = [], []
    for name in tasks.tasks:
        of_task = order[task[order] == name]
        test.append(of_task[is_test[of_task]][:n_test])
        train.append(of_task[~is_test[of_task]][:n])
        if len(train[-1]) < n:
            raise ValueError(f"task {name!r} must have {n} examples to learn from, it has {len(train[-1])}.")
    return np.concatenate(train), np.concatenate(test)


def _shuffled(questions: Sequence[Question], answers: Sequence[str], seed: int) -> list[str]:
    """Every task's answers among its own examples."""
    task, found = np.array([question.task for question in questions]), np.array(answers)
    for name in np.unique(task):
        found[task == name] = np.random.default_rng([seed, 1]).permutation(found[task == name])
    return [str(answer) for answer in found]


def mean_over_tasks(said: Sequence[str | None], asked: Sequence[Question]) -> float:
    """The unweighted mean of the tasks' accuracies."""
    is_right = np.array([answer in question.answers for answer, question in zip(said, asked, strict=True)])
    task = np.array([question.task for question in asked])
    return float(np.mean([is_right[task == name].mean() for name in np.unique(task)]))


def _linear(
    X: np.ndarray, tasks: TaskSet, train: np.ndarray, learnt: list[str], test: np.ndarray, *, data: str
) -> list[str | None]:
    """The simple rival, a logistic regression a task: on counted words, or on the pixels themselves."""
    asked = [tasks.questions[at] for at in test]
    if data != "digits":
        return tf_idf_answers([tasks.questions[at] for at in train], learnt, asked)
    task = np.array([question.task for question in tasks.questions])
    said, answers = np.empty(len(test), dtype=object), np.array(learnt)
    for name in tasks.tasks:
        of_train, of_test = task[train] == name, task[test] == name
        if len(set(answers[of_train])) == 1:
            said[of_test] = answers[of_train][0]
            continue
        model = LogisticRegression(max_iter=1000).fit(X[tasks.row[train[of_train]]], answers[of_train])
        said[of_test] = model.predict(X[tasks.row[test[of_test]]])
    return [None if answer is None else str(answer) for answer in said]


_SIZES = (10, 40, 160)
_MOST = _SIZES[-1]
_EACH = {"learner": "each", "labels": "true"}
_TEXTS = ("clinc150", "debtags_xc")


def _shared(n: int) -> str:
    return f"one model of all tasks, {n} examples each"


def _each(n: int) -> str:
    return f"a model for each task, {n} examples"


def _lines(n: int) -> str:
    return f"a linear model for each task, {n} examples"


THEN_EACH, SHUFFLED = f"{_shared(_MOST)}, then one for each", f"{_shared(_MOST)}, answers shuffled"
STUDY = Study(
    source="R. Dominguez-Olmedo et al., arXiv 2407.16615, specialisation and sample efficiency; dossier f, checks 3, 4",
    trial=trial,
    stage=stage,
    arms={
        **{_shared(n): {**_EACH, "learner": "shared", "n": n} for n in _SIZES},
        **{_each(n): {**_EACH, "n": n} for n in _SIZES},
        **{_lines(n): {**_EACH, "learner": "linear", "n": n} for n in (_SIZES[0], _MOST)},
        THEN_EACH: {**_EACH, "learner": "then each", "n": _MOST},
        SHUFFLED: {**_EACH, "learner": "shared", "n": _MOST, "labels": "shuffled"},
    },
    control=SHUFFLED,
    data=("digits",),
    more_data=_TEXTS,
    settings={
        "pool": 400, "n_most": _MOST, "n_test": 120, "n_steps": 300, "model": SAMPLE, "n_layers": 8, "max_tokens": 24,
    },
    quick={"pool": 80, "n_most": 20, "n_test": 20, "n_steps": 5},
    more_code=tuple(f"{__package__}.{name}" for name in ("task_network", "task_sets", "debate_w2s_text")),
    claims=(
        Claim(
            sentence="From 10 examples a task to 160 the model of all tasks gains more than 2 points a doubling",
            metric="accuracy", of=_shared(_MOST), over=_shared(_SIZES[0]), at_least=0.08,
        ),
        Claim(
            sentence="So do the models for each task",
            metric="accuracy", of=_each(_MOST), over=_each(_SIZES[0]), at_least=0.08,
        ),
        Claim(
            sentence="From 160 examples a task one model of all tasks is as good as one for each, within 2 points",
            metric="accuracy", of=_shared(_MOST), over=_each(_MOST), within=0.02,
        ),
        Claim(
            sentence="So it is on clinc150, of which the dossier asks it",
            metric="accuracy", of=_shared(_MOST), over=_each(_MOST), within=0.02, data=("clinc150",),
        ),
        *(
            Claim(
                sentence=f"From {n} examples a task one model of all tasks is better than one for each{where}",
                metric="accuracy", of=_shared(n), over=_each(n), data=data,
            )
            for n, where, data in ((10, "", ()), (10, ", on clinc150", ("clinc150",)), (40, "", ()))
        ),
        Claim(
            sentence="Ten examples a task already beat the commonest answer",
            metric="accuracy", of=_shared(_SIZES[0]), over=_shared(_SIZES[0]), over_metric="majority",
        ),
        *(
            Claim(
                sentence=f"From {n} examples a task the model of all tasks is better than a linear one for each",
                metric="accuracy", of=_shared(n), over=_lines(n),
            )
            for n in (_SIZES[0], _MOST)
        ),
        Claim(
            sentence="Finetuned further on each task alone, it changes by less than 2 points",
            metric="accuracy", of=THEN_EACH, over=_shared(_MOST), within=0.02,
        ),
        Claim(
            sentence="It learns from its answers, not from how often they are given: .1 above one of shuffled answers",
            metric="accuracy", of=_shared(_MOST), over=SHUFFLED, at_least=0.1,
        ),
    ),
)  # fmt: skip
