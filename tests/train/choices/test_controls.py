"""The controls: the commonest answer, and word counts."""

from raypipe.train.choices.majority import majority_answers
from raypipe.train.choices.tf_idf import tf_idf_answers
from tests.train.choices.questions import answered, question


def test_the_majority_is_the_commonest_answer_of_the_task_in_training():
    train = answered(["no", "no", "yes"]) + answered(["3", "5", "5"], task="count", choices=())
    asked = [question(task=task) for task in ("count", "colour", "unseen")]
    assert majority_answers(train, asked) == ["5", "no", None]


def test_ties_go_to_the_first_by_name_and_every_accepted_answer_counts():
    assert majority_answers(answered(["b", "a"]), [question()]) == ["a"]
    train = [question(answers=("a", "b")), question(answers=("b", "c")), question(answers=("c", "b"))]
    assert majority_answers(train, [question()]) == ["b"]


def test_each_task_learns_its_own_words():
    train = [question(task=task, text=f"{word} thing number {n}", row=n)
             for task in ("a", "b") for n in range(12) for word in ("sky", "fire")]  # fmt: skip
    learnt = ["blue" if (("sky" in q.text) == (q.task == "a")) else "red" for q in train]
    asked = [question(task=task, text=f"{word} thing") for task in ("a", "b", "c") for word in ("sky", "fire")]
    assert tf_idf_answers(train, learnt, asked) == ["blue", "red", "red", "blue", None, None]


def test_one_class_and_unknown_words_still_give_an_answer():
    assert tf_idf_answers([question(text="x")], ["red"], [question(text="?")]) == ["red"]


def test_a_task_that_nobody_asks_about_is_left_alone():
    assert tf_idf_answers([question(text="word thing", task="a")], ["red"], [question(task="b")]) == [None]
