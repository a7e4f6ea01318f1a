"""This project's answers beside lm-eval's, item by item; skips itself where lm-eval isn't."""

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jobs.benchmark.oracles.lm_eval_side import main as ask_lm_eval
from jobs.parts.evaluation.lm_eval_tasks import LmEvalTask
from jobs.parts.evaluation.model import EvaluatedModel
from jobs.parts.evaluation.settings import Evaluated
from jobs.parts.evaluation.suite import figures_of
from tests.evaluate.stored_questions import STORED, questions, save_model, stored

pytestmark = pytest.mark.parity
pytest.importorskip("lm_eval")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def theirs(model: str, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """lm-eval's own hf model on the stored questions."""
    folder = tmp_path_factory.mktemp("asked")
    rows = [{"text": item.contexts[0], "choices": item.choices, "gold": item.gold} for item in questions()]
    asked = {"model": model, "threads": 1, "batch_sizes": [4], "tasks": {"words": rows}}
    (folder / "asked.json").write_text(json.dumps(asked))
    ask_lm_eval(folder / "asked.json", folder / "answered.json")
    return json.loads((folder / "answered.json").read_text())


def test_what_is_stored_is_what_lm_eval_says(theirs: dict) -> None:
    items = theirs["tasks"]["words"]["items"]
    if os.environ.get("STORE"):
        STORED.parent.mkdir(exist_ok=True)
        STORED.write_text(json.dumps({"versions": theirs["versions"], "items": items}, indent=0) + "\n")
    for one, then in zip(items, stored()["items"], strict=True):
        assert one["right"] == then["right"]
        assert one["log_likelihood"] == pytest.approx(then["log_likelihood"], rel=1e-4)


TASK = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
"""
CHOICES = """output_type: multiple_choice
doc_to_text: "{{text}}"
doc_to_choice: choices
doc_to_target: gold
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
WRITTEN = """output_type: generate_until
doc_to_text: "{{text}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 6, do_sample: false}
metric_list: [{metric: exact_match}]
"""


def run_both(tmp_path: Path, model: str, kind: str) -> tuple[dict, dict]:
    """A task in lm-eval's own format by this project's model, and by lm-eval's."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    rows = [{"text": item.contexts[0], "choices": item.choices, "gold": item.gold} for item in questions()]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(TASK.format(name="ours_and_theirs", file=tmp_path / "rows.jsonl") + kind)
    evaluated = Evaluated(model=model, max_tokens=128, token_budget=256, n_threads=1, new_tokens=6, batch=3)
    task = LmEvalTask("ours_and_theirs", str(tmp_path), None)
    items = task.ask(EvaluatedModel(evaluated, threading.Event()))
    out = lm_eval.simple_evaluate(
        HFLM(pretrained=model, dtype="float32", device="cpu", batch_size=3), tasks=["ours_and_theirs"],
        bootstrap_iters=0, log_samples=True, task_manager=TaskManager(include_path=str(tmp_path)),
    )  # fmt: skip
    samples = sorted(out["samples"]["ours_and_theirs"], key=lambda one: one["doc_id"])
    ours = {name: of.tolist() for name, of in task.values(items).items()}
    assert figures_of(task, items)["n"] == len(rows)
    return ours, {name: [one[name] for one in samples] for name in ours}


@pytest.mark.parametrize("kind", [CHOICES, WRITTEN], ids=["choices", "written"])
def test_tasks_of_lm_eval_come_out_alike_item_by_item(tmp_path: Path, model: str, kind: str) -> None:
    ours, theirs = run_both(tmp_path, model, kind)
    assert ours
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name


def test_an_unknown_task_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(ValueError, match="must be tasks that lm-eval has, or files in --lm-eval-path: 'arc_esy'"):
        LmEvalTask("arc_esy", str(tmp_path), None).ask(SimpleNamespace())
