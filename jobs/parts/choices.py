"""What `finetune --learn choices` adds: the evaluation before and after training."""

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from raypipe.contracts.rows import Document
from raypipe.evaluate.comparison import compare
from raypipe.evaluate.exact_match import exact_match
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.report.escape import terminal_text
from raypipe.storage.folder import Folder
from raypipe.train.choices.labels import Labels
from raypipe.train.choices.majority import majority_answers
from raypipe.train.choices.prepare import Prepared
from raypipe.train.choices.question import Question
from raypipe.train.choices.tf_idf import tf_idf_answers

from .answering import here, start_device, where_it_trained
from .training import TrainSettings

EVALUATION = "evaluation.json"
START, OURS = "zero-shot", "finetuned"
INTERVAL = "intervals hold 95 % of the resamples of cases"


@dataclass(frozen=True)
class ChoiceEvaluation:
    """Answers of the starting model and of the finetuned one, and what they are worth."""

    model: str
    """What training starts from."""
    training: TrainSettings
    choices: Prepared
    folder: Folder
    """Of the stage."""
    stopping: threading.Event

    def start(self) -> None:
        """Let the starting model answer, before anything is learnt."""
        self._answers(START, self.model)

    def finish(self) -> None:
        """Let the finetuned model answer, write evaluation.json and print the table."""
        choices = self.choices
        tuned = self.folder / "model"
        ours, lineage = self._answers(OURS, tuned), json.loads(tuned.read("raypipe.json"))
        given = {
            "majority": majority_answers(choices.all_train, choices.test),
            "tf-idf": tf_idf_answers(*_pairs(choices.learnt), choices.test),
            START: self._answers(START, self.model),
            OURS: ours,
        }
        asked = choices.test
        accepted = [question.answers for question in asked]
        found = compare(
            {name: exact_match(answers, accepted) for name, answers in given.items()},
            task=[question.task for question in asked],
            case=[question.case for question in asked],
            label=[question.answers[0] for question in asked],
            weights=choices.weights,
            ours=OURS,
        )
        known = {"steps": lineage["steps"], "validation_loss": lineage["heldout_loss"], "questions": choices.counts,
                 "left_out": dict(choices.left_out.counts), "model": self.model,
                 "interval": INTERVAL}  # fmt: skip
        self.folder.write(EVALUATION, json.dumps({**known, **found}, indent=1).encode())
        print(table_of(found))

    def _answers(self, name: str, model: str | Folder) -> list[str | None]:
        """The answers of a model, from the run folder where it has given them to the same prompts already."""
        file, key = f"responses-{name}.json", self._key(model)
        if self.folder.exists(file) and (known := json.loads(self.folder.read(file)))["key"] == key:
            return [response["answer"] for response in known["responses"]]
        print(f"{name}: {len(self.choices.test):,} test questions", file=sys.stderr)
        choices, training = self.choices, self.training
        arguments = (
            model, self.model, training.precision.dtype, training.n_threads, choices.labels, choices.test,
            choices.prompts,
        )  # fmt: skip
        given = where_it_trained(training, respond, *arguments, stopping=self.stopping)
        responses = [
            {"path": q.path, "row": q.row, "task": q.task, "answer": answer, "accepted": q.answers}
            for q, answer in zip(choices.test, given, strict=True)
        ]
        self.folder.write(file, json.dumps({"key": key, "responses": responses}).encode())
        return given

    def _key(self, model: str | Folder) -> str:
        """Of everything that an answer depends on."""
        with here(model) as local:
            digest = sha256(f"{open_model(local).sha256()} {self.training.precision.dtype}".encode())
        digest.update(self.choices.labels.ids.tobytes())
        for question, prompt in zip(self.choices.test, self.choices.prompts, strict=True):
            digest.update(prompt.ids.tobytes() + json.dumps(question.choices).encode())
        return digest.hexdigest()


def respond(
    model: str | Folder, tokenizer: str, dtype: str, n_threads: int | None, labels: Labels, questions: list[Question],
    prompts: list[Document], is_stopping: Callable[[], bool] = lambda: False,
) -> list[str | None]:  # fmt: skip
    """What a model answers, on this machine's first device; a folder of the run is fetched to it."""
    from raypipe.train.choices.respond import Responder

    device = start_device(n_threads)
    with here(model) as local:
        causal = open_model(local).weights(dtype=dtype, device=device)
    return Responder(causal, open_vocabulary(tokenizer), labels, is_stopping).answers(questions, prompts)


def table_of(found: dict[str, Any]) -> str:
    """The evaluation for a terminal, in percent: a line a task, the mean, and what is shown by it."""
    names, mean, ours = found["contenders"], found["mean_over_tasks"], found["ours"]
    width = max(len("mean, natural"), *(len(terminal_text(task, max_chars=32)) for task in found["tasks"]))
    lines = ["  ".join([f"{'task':<{width}}", f"{'n':>6}", *(f"{name:>19}" for name in names)])]
    rows = [(task, of, "accuracy") for task, of in found["tasks"].items()]
    for label, of, kind in [*rows, ("mean of tasks", mean, "accuracy"), ("mean, natural", mean, "natural")]:
        cells = [f"{_percent(of[kind][name]):>19}" for name in names]
        lines.append("  ".join([f"{terminal_text(label, max_chars=32):<{width}}", f"{of['n']:>6,}", *cells]))
    differences = mean[f"{ours} minus"]
    said = [f"{ours} minus {name}: {_points(of)}" for name, of in differences.items()]
    return "\n".join([f"Exact match, %; {INTERVAL}.", *lines, *said])


def _percent(estimate: dict[str, float]) -> str:
    mean, low, high = (100 * estimate[name] for name in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _points(of: dict[str, Any]) -> str:
    mean, low, high = (100 * of[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f} points [{low:+.1f}, {high:+.1f}]" + ("" if of["shown"] else ": no difference shown")


def _pairs(learnt: list[tuple[Question, str]]) -> tuple[list[Question], list[str]]:
    return [question for question, _ in learnt], [answer for _, answer in learnt]
