"""Each job through the ends of its life: lock held, wrong name, restart, failure, stop. The work itself is left out."""

import importlib
import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs import choose_answers, debate, find_heads, label_concept, label_sections, learn_functions
from jobs.benchmark.chaos_inputs import make_model
from jobs.parts import ablate_run, ablate_work, augmenting, bags, choices, debates, judging, studying, tune_run
from jobs.parts.common import run_job
from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.classify.weakstil import WeakSTIL
from raypipe.fitting.sample import ColumnSample
from raypipe.fitting.words import WordCounts
from raypipe.models.fitted import save_fitted
from raypipe.models.tokenizer import open_vocabulary
from raypipe.run import cluster
from raypipe.run import stage as run_stage
from raypipe.run.cluster import Node, Resources
from raypipe.run.gather import GatherStage
from raypipe.runs import lock as locks
from raypipe.runs.lock import LOCK, Lock, Locked, LockLost
from raypipe.runs.signals import Stopped
from raypipe.select import stage as select_stage
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder
from tests.jobs.ablation import write_scored_run
from tests.jobs.committed import commit_chunks, commit_vectors
from tests.retrieve.folders import write_set
from tests.select.conftest import corpus as scored_rows
from tests.select.conftest import write_run
from tests.train.synthetic import finished, write_selection, write_tokens

TEXTS = [f"some words to begin with, and more of number {number}" for number in range(30)]
MINED = {
    "model": "{inputs}/model", "pooling": "mean", "depth": 6, "first_rank": 1, "last_rank": 6, "n_negatives": 1,
    "positive_within": 6,
}  # fmt: skip
Work = Callable[[threading.Event | None], Any]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a corpus, and rows for each kind of training."""
    folder = tmp_path_factory.mktemp("inputs")
    make_model(folder / "model", [*TEXTS, *["it is A or B or A or B"] * 20], seed=0)
    rows = [
        {"text": text, "prompt": text, "answer": "yes", "label": number % 2, "task": "kind", "case": number}
        for number, text in enumerate(TEXTS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"task": "kind", "instruction": "Answer.", "question": "which?", "choices": ["yes", "no"]}
    (folder / "tasks.jsonl").write_text(json.dumps(task) + "\n")
    asked = [
        {"question": text, "candidates": ["a", "b"], "correct": [True, False], "scores": {"one": [2, number % 3]}}
        for number, text in enumerate(TEXTS)
    ]
    (folder / "notes.jsonl").write_text(json.dumps({"text": "Plan:\nrest\nExam:\nclear"}) + "\n")
    (folder / "sections.yaml").write_text(json.dumps({"headers": {"P": ["plan"], "O": ["exam"]}}))
    (folder / "concept.yaml").write_text(json.dumps({"name": "words", "positive": ["is it of words?"]}))
    (folder / "answers.jsonl").write_text(json.dumps({"id": "0", "question": "is it of words?", "answer": 1}) + "\n")
    labels = [{"id": str(number), "label": number % 2} for number in range(9)]
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labels))
    (folder / "candidates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (folder / "questions.jsonl").write_text(json.dumps({"query": " ".join(TEXTS[:2])}) + "\n")
    base = {**TRAINED, "data": [f"{folder}/rows.jsonl"], "model": f"{folder}/model", "steps": 2}
    (folder / "base.yaml").write_text(json.dumps(base))
    save_fitted(NearestCentroid().fit(np.eye(4), ["a", "b", "a", "b"]), Folder(f"{folder}/fitted"))
    words = WordCounts(("text",)).fit(pa.table({"text": TEXTS}))
    X, _ = words.encode(pa.table({"text": TEXTS}))
    classes = NearestCentroid().fit(X.toarray(), np.arange(len(TEXTS)) % 2)
    save_fitted(classes, Folder(f"{folder}/of_words"), feed=words)
    of_bags = [{"n": number % 3, "parts": [[number, 1.0], [0.0, number]]} for number in range(9)]
    (folder / "bags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_bags))
    save_fitted(WeakSTIL(max_iter=1).fit(np.eye(4), [0.0, 1.0, 0.0, 1.0]), Folder(f"{folder}/of_bags"))
    write_set(folder / "set")
    (folder / "space.yaml").write_text(json.dumps({"learning_rate": [0.01, 0.1]}))
    return folder


def annotated(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Stages of shards do `work` in place of their pool."""
    monkeypatch.setattr(run_stage.Annotate, "_work", lambda self, *_: work(self.stopping))


def trained(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Trainings do `work` in place of Ray Train."""
    monkeypatch.setattr("raypipe.run.trainer.fit", lambda *_, stopping, **__: work(stopping))


def selected(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Selections do `work` in place of their files."""
    monkeypatch.setattr(select_stage, "write_arms", lambda *_: work(None))


def gathered(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Columns are folded by `work`."""
    monkeypatch.setattr(GatherStage, "_folded", lambda self, *_: work(self.stopping))


def found(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Heads are found by `work`."""
    monkeypatch.setattr(find_heads, "detect", lambda *_, **__: work(None))


def debated(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Debates are held by `work`, about one file."""
    monkeypatch.setattr(debates, "open_sampler", lambda *_: None)
    monkeypatch.setattr(debate, "hold", lambda *arguments: work(arguments[-1]))


def answered(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """The evaluation of choices does `work`, before anything is trained."""
    monkeypatch.setattr(choices.ChoiceEvaluation, "start", lambda self: work(self.stopping))


def evaluated(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Models are evaluated by `work`."""
    monkeypatch.setattr("jobs.parts.evaluation.measure.measure", lambda _, model, *__: work(model.stopping))


def retrieved(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Rankings are made by `work`."""
    monkeypatch.setattr("jobs.parts.retrieval.rank.RankingFiles.rankings", lambda self: work(self.stopping))


def ranked(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """A ranking to mine from is made by `work`."""
    monkeypatch.setattr("jobs.parts.retrieval.rank.RankingFiles.of", lambda self, _: work(self.stopping))


def classified(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Classifiers are cross-validated by `work`."""
    monkeypatch.setattr(judging, "evaluate", lambda *_, patch: work(None))


def learned(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Rules are learned by `work`, from no rows."""
    monkeypatch.setattr(learn_functions, "gathered", lambda *_: ColumnSample(("embeddings.embedding",)))
    monkeypatch.setattr(learn_functions, "_learned", lambda *_: work(None))


def weighed(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Regressors of bags are cross-validated by `work`."""
    monkeypatch.setattr(bags, "evaluate", lambda *_, **__: work(None))


def sectioned(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Documents of sections are tagged by `work`."""
    monkeypatch.setattr(label_sections, "judged", lambda *_, **__: work(None))


def augmented(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Texts of a class are generated by `work`."""
    monkeypatch.setattr(augmenting, "drafts_of_class", lambda *_, stopping, **__: work(stopping))


def distilled(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Students of a concept are taught by `work`."""
    monkeypatch.setattr(label_concept, "_taught", lambda *_: work(None))


def chosen(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Answers are weighed by `work`."""
    monkeypatch.setattr(choose_answers, "posterior_of", lambda *_: work(None))


def studied(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Studies do `work` in place of their trials."""
    monkeypatch.setattr(studying, "run_trials", lambda _study, _config, life, **_: work(life.stopping))


def tuned(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Searches do `work` in place of their trials."""
    monkeypatch.setattr(tune_run, "run_trials", lambda _, __, ___, life: work(life.stopping))


def ablated(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    """Ablations do `work` in place of their selections and trials."""
    monkeypatch.setattr(ablate_work.Ablation, "with_mixes", lambda self, _: self)
    monkeypatch.setattr(ablate_run, "run_trials", lambda _, __, ___, life: work(life.stopping))


@dataclass(frozen=True)
class Case:
    """A job, how its work is replaced, and what it may be told."""

    job: str
    replace: Callable[[pytest.MonkeyPatch, Work], None]
    settings: dict[str, Any]
    stage: str | None
    """What --restart may name; None: nothing."""
    run: str = "output"
    """The setting of the run folder."""
    within: str = ""
    """The run's own folder in that one."""
    key: str = ""
    """Beside the job's own name, for the test's."""
    where: str = ""
    """What stands before a failure of its work."""


SCORED: dict[str, Any] = {
    "corpus": ("{inputs}/rows.jsonl",), "model": "{inputs}/model", "scorer": ("perplexity",), "max_tokens": 64,
    "token_budget": 256, "dtype": "float32", "shard_bytes": 400,
}  # fmt: skip
BINARY: dict[str, Any] = {"data": ("{inputs}/rows.jsonl",), "test_share": 0.3}
TRAINED: dict[str, Any] = {"batch_examples": 4, "micro_batch": 4, "length": 64, "cpus_per_worker": 1}
CHOICES = {"learn": "choices", "case_column": "case", "tasks": "{inputs}/tasks.jsonl"}
CASES = [
    Case("curate", annotated, SCORED, "scores"),
    Case("score_corpus", annotated, SCORED, "scores"),
    Case("tokenize_corpus", annotated, {"corpus": SCORED["corpus"], "tokenizer": "{inputs}/model"}, "tokens"),
    Case("chunk_corpus", annotated, {"corpus": SCORED["corpus"], "max_chars": 9, "shard_bytes": 400}, "chunks"),
    Case(
        "predict", annotated,
        {"corpus": SCORED["corpus"], "columns": ("embeddings.embedding",), "fitted": "{inputs}/fitted"}, "classes",
    ),
    Case(
        "learn_functions", learned,
        {"corpus": SCORED["corpus"], "id_column": "case", "labels": "{inputs}/labels.jsonl"}, "functions",
    ),
    Case(
        "join_chunks", annotated, {"corpus": SCORED["corpus"], "columns": ("embeddings.number",)}, "chunk_columns",
    ),
    Case("fit_bags", weighed, {"rows": ("{inputs}/bags.jsonl",), "number": "n", "column": "parts"}, "bag_scorer"),
    Case(
        "score_bags", annotated,
        {"corpus": SCORED["corpus"], "column": "embeddings.embedding", "fitted": "{inputs}/of_bags"}, "bag_scores",
    ),
    Case(
        "label_sections", sectioned, {"rows": ("{inputs}/notes.jsonl",), "rules": "{inputs}/sections.yaml"}, "sections"
    ),
    Case("augment_texts", augmented, {"rows": ("{inputs}/rows.jsonl",), "model": "{inputs}/model"}, "generated"),
    Case(
        "label_concept", distilled,
        {"rows": ("{inputs}/rows.jsonl",), "concept": "{inputs}/concept.yaml", "answers": ("{inputs}/answers.jsonl",)},
        "concept",
    ),
    Case("fit_classifier", classified, {"rows": ("{inputs}/rows.jsonl",)}, "classifier"),
    Case("choose_answers", chosen, {"data": ("{inputs}/candidates.jsonl",)}, "choices"),
    Case(
        "classify_corpus", annotated,
        {"corpus": SCORED["corpus"], "fitted": "{inputs}/of_words", "shard_bytes": 400}, "classes",
    ),
    Case(
        "classify_texts", annotated,
        {"corpus": SCORED["corpus"], "model": "{inputs}/model", "prompts": ("a=A: ", "b=B: "), "schedule": "1:32",
         "shard_bytes": 400}, "text_classes",
    ),
    Case(
        "embed_corpus", annotated,
        {"corpus": SCORED["corpus"], "model": "{inputs}/model", "pooling": "last", "shard_bytes": 400}, "embeddings",
    ),
    Case("gather", gathered, {"corpus": SCORED["corpus"], "columns": ("embeddings.number",)}, "quantiles"),
    Case(
        "decontaminate", annotated,
        {"corpus": SCORED["corpus"], "benchmarks": ("{inputs}/questions.jsonl",), "shard_bytes": 400},
        "decontamination",
    ),
    Case(
        "find_duplicates", annotated, {"corpus": SCORED["corpus"], "by": "exact", "shard_bytes": 400},
        "exact_duplicates",
    ),
    Case(
        "describe_corpus", annotated,
        {"corpus": SCORED["corpus"], "parts": ("fineweb",), "shard_bytes": 400}, "columns",
    ),
    Case("select_corpus", selected, {}, None, run="run"),
    Case("find_heads", found, {"corpus": SCORED["corpus"], "model": "{inputs}/model"}, None),
    Case(
        "pretrain", trained,
        {"tokenizer": "{inputs}/model", "length": 32, "batch_tokens": 128, "steps": 2, "cpus_per_worker": 1}, "train",
    ),
    Case(
        "finetune", trained, {**TRAINED, "data": BINARY["data"], "model": "{inputs}/model", "steps": 2}, "finetune",
    ),
    Case(
        "finetune", answered, {**TRAINED, **CHOICES, "data": BINARY["data"], "model": "{inputs}/model", "steps": 2},
        "finetune", key="choices",
    ),
    Case(
        "weak_to_strong", trained, {**TRAINED, **BINARY, "strong": "{inputs}/model", "seeds": 1}, "weak_to_strong",
        where="'seed-0/weak' of weak_to_strong: ",
    ),
    Case(
        "tune", tuned,
        {"job": "finetune", "config": "{inputs}/base.yaml", "space": "{inputs}/space.yaml"}, "trials",
    ),
    Case(
        "ablate", ablated,
        {"tokenizer": "{inputs}/model", "length": 32, "batch_tokens": 128, "steps": 2, "cpus_per_worker": 1},
        "ablation",
    ),
    Case("debate", debated, {**BINARY, "debater": "{inputs}/model"}, "debate"),
    Case(
        "evaluate_model", evaluated, {"corpus": SCORED["corpus"], "model": "{inputs}/model", "max_tokens": 64},
        "evaluation",
    ),
    Case("evaluate_retrieval", retrieved, {"data": "{inputs}/set", "retrievers": ("bm25",)}, "retrieval"),
    Case("mine_negatives", ranked, {"data": "{inputs}/set", "mine_from": "bm25", **MINED}, "negatives"),
    Case("study", studied, {"name": "attention-influence", "quick": True}, "trials", within="attention-influence"),
]  # fmt: skip
WITHOUT_CARD = ("find_heads", "study")
each_job = pytest.mark.parametrize("case", CASES, ids=lambda case: case.job + case.key)


@dataclass(frozen=True)
class Job:
    """A job over inputs of its own, in this process."""

    case: Case
    config: Any
    main: Callable[[Any], int]
    run: Folder

    def noted(self) -> dict[str, Any]:
        """What run.json says."""
        return json.loads(self.run.read("run.json"))

    def cards(self) -> dict[str, str]:
        """The status of each stage that wasn't there before, with a card."""
        names = [entry.path for entry in self.run.files(recursive=True) if entry.path.endswith("card.json")]
        found = {name.removesuffix("/card.json"): json.loads(self.run.read(name)) for name in names}
        return {name: card["status"] for name, card in found.items() if "versions" in card}

    def files(self) -> dict[str, int]:
        """All files of the run and when they were put."""
        return {entry.path: entry.mtime_ns for entry in self.run.files(recursive=True) if entry.path != LOCK}


@pytest.fixture
def made(case: Case, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr(cluster, "connect", lambda: Resources((Node(4),)))
    module = importlib.import_module(f"jobs.{case.job}")
    run = tmp_path / "run"
    if case.job == "select_corpus":
        write_run(run, scored_rows(sizes={"web": 40}))
    if case.job == "join_chunks":
        commit_chunks(f"{inputs}/rows.jsonl", run)
    if case.job == "ablate":
        write_scored_run(Path(run), str(inputs / "model"))
    if case.job in ("predict", "gather", "learn_functions", "score_bags"):
        commit_vectors(f"{inputs}/rows.jsonl", run)
    if case.job == "pretrain":
        vocabulary = open_vocabulary(str(inputs / "model"))
        tokens = write_tokens(run / "tokens")
        identity = {"tokenizer_sha256": vocabulary.sha256, "vocabulary_size": vocabulary.size}
        tokens.write("card.json", finished(identity))
        write_selection(run / "selection", tokens, weight=lambda n: 1.0, identity={"share": 0.2})
    settings = {name: filled(value, inputs) for name, value in case.settings.items()}
    return Job(
        case, built(module.Config, **settings, **{case.run: str(run)}), module.main, Folder(str(run / case.within))
    )


def filled(value: Any, inputs: Path) -> Any:
    if isinstance(value, tuple):
        return tuple(filled(one, inputs) for one in value)
    return value.format(inputs=inputs) if isinstance(value, str) else value


def fail(_: threading.Event | None) -> None:
    raise RuntimeError("the work broke at s3://me:hush@bucket/x")


def be_stopped(stopping: threading.Event | None) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert stopping is not None, "a job that looks at no event is stopped where it is"
    assert stopping.wait(5)
    raise Stopped("stopped in the work; go on with the same command.")


def never(_: threading.Event | None) -> None:
    raise AssertionError("the work was begun")


@each_job
def test_a_run_that_another_job_writes_is_refused_and_left_alone(made: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    made.case.replace(monkeypatch, never)
    with Lock(made.run):
        before = made.files()
        with pytest.raises(Locked, match="is being written by process"):
            made.main(made.config)
        assert made.files() == before


@each_job
def test_a_failure_is_in_run_json_and_in_the_card(
    made: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made.case.replace(monkeypatch, fail)
    with pytest.raises(SystemExit) as ended:
        run_job(lambda: made.main(made.config))
    assert ended.value.code == 1
    assert f"error: RuntimeError: {made.case.where}the work broke at s3://bucket/x" in capsys.readouterr().err
    assert made.noted()["status"] == "failed"
    assert made.noted()["why"] == f"{made.case.where}the work broke at s3://bucket/x"
    assert set(made.cards().values()) <= {"failed"}
    assert len(made.cards()) >= (made.case.job not in WITHOUT_CARD)
    assert not made.run.exists(LOCK)


@each_job
def test_a_request_to_stop_ends_with_143_and_is_in_run_json_and_in_the_card(
    made: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.case.replace(monkeypatch, be_stopped)
    assert made.main(made.config) == 143
    assert made.noted()["status"] == "incomplete"
    assert "stopped" in made.noted()["why"]
    assert set(made.cards().values()) <= {"incomplete"}
    assert len(made.cards()) >= (made.case.job not in WITHOUT_CARD)
    assert not made.run.exists(LOCK)


@each_job
def test_a_lock_that_was_lost_in_the_work_lets_nothing_more_be_written(
    made: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "CONFIRM_S", 0.0)
    before: dict[str, int] = {}

    def be_robbed(_: threading.Event | None) -> None:
        made.run.write(LOCK, json.dumps({**json.loads(made.run.read(LOCK)), "token": "other"}).encode())
        before.update(made.files())
        raise Stopped("paused for a minute")

    made.case.replace(monkeypatch, be_robbed)
    with suppress(LockLost):  # from those that write a report at the end
        assert made.main(made.config) == 143
    assert made.files() == before


@each_job
def test_restart_names_a_stage_that_the_job_does_and_throws_only_that_away(
    made: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    if made.case.job == "select_corpus":
        pytest.skip("it has no --restart: a selection is made again without asking")
    made.case.replace(monkeypatch, never)
    nearest = f"the nearest is {made.case.stage!r}" if made.case.stage else "--restart has no effect"
    with pytest.raises(ValueError, match=nearest):
        made.main(changed(made.config, restart=f"{made.case.stage}x", yes=True))
    if made.case.stage is None:
        return
    with pytest.raises(ValueError, match=f"no stage '{made.case.stage}' to restart"):
        made.main(changed(made.config, restart=made.case.stage, yes=True))
    (made.run / made.case.stage).write("card.json", finished({"of": "other settings"}))
    (made.run / made.case.stage).write("old", b"")
    (made.run / "beside").write("old", b"")
    with pytest.raises(ValueError, match="needs --yes where nobody can be asked"):
        made.main(changed(made.config, restart=made.case.stage))
    assert (made.run / made.case.stage).exists("old")
    made.case.replace(monkeypatch, fail)
    with pytest.raises(RuntimeError, match="the work broke"):
        made.main(changed(made.config, restart=made.case.stage, yes=True))
    assert not (made.run / made.case.stage).exists("old")
    assert (made.run / "beside").exists("old")


@each_job
def test_retry_is_refused_where_nothing_can_be_set_aside(made: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    if made.case.job == "select_corpus":
        pytest.skip("it has no --retry")
    made.case.replace(monkeypatch, be_stopped)
    again = changed(made.config, retry="failed")
    if made.case.replace in (annotated, studied, tuned, ablated):  # sweeps have trials that failed
        assert made.main(again) == 143
        return
    with pytest.raises(ValueError, match="--retry failed has no effect"):
        made.main(again)
    assert not made.run.exists("run.json")
