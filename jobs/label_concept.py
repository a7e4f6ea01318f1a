"""A concept in words to a small classifier: python -m jobs.label_concept --rows R.jsonl --concept C.yaml --output RUN.

As in Modeling Collaborator: questions about a text are answered by a language model (or by `--answers`), the answers
decide, and a student of the texts' embeddings learns the verdicts on rows near the concept's phrases and then, round by
round, on those that it doubts most. Questions and answers are in words, the concept's in a YAML file:

    name: sound                                  # and as `label` of --truth, unless --label says another
    positive: [Does it play music?, Does it edit or record sound?]
    negative: [Is it a game?]                    # what looks similar and isn't; the best positive must beat these
    phrases: [music player, sound editor]        # perhaps: where to look first; else the name
    prompt: "{text}\\n\\nQuestion: {question} Answer yes or no.\\nAnswer:"      # perhaps; this one otherwise

A concept without questions needs a `definition` in words, such as "programs that play or record music", and perhaps
`near_misses`; the model then writes questions and keeps the most telling ones, in
RUN/concept-questions/concept.yaml. What you correct there is used the next time.

An answer is asked for once: RUN/concept-answers keeps it by question, text, model and prompt, so that the same command
asks nothing anew, a changed question only its own, and a killed job goes on where it was. RUN/concept/concept.jsonl has
a row a text with what the student says and, where it was asked, the annotator; RUN/concept-student is for `predict`.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np

from raypipe.label.collaborator.answers import KeptAnswers
from raypipe.label.collaborator.student import Choice
from raypipe.runs.stage import at_work
from raypipe.sample import SAMPLE
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.annotating import AskedModel, GivenAnswers
from .parts.classifiers import read_labels
from .parts.common import RunSettings, life_of, run_job, stage_name
from .parts.concept_files import Recipe, read_recipe
from .parts.concepts import (
    Annotator,
    AskedRows,
    Json,
    Rounds,
    RowParts,
    parts_of,
    read_rows,
    table_of,
)
from .parts.idle import refuse_idle
from .parts.students import Distilled, judged, said_of, saved
from .parts.written_questions import Writing, with_questions

QUESTIONS, ANSWERS, STAGE, STUDENT = "concept-questions", "concept-answers", "concept", "concept-student"
FILE = "concept.jsonl"
OF_MODEL = ("model", "max_tokens", "dtype", "calibrate")


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings):
    """Settings of label_concept."""

    rows: tuple[str, ...]
    """Parquet or JSON files of rows with a text and, for --truth and --answers, an `id`. Repeatable."""
    concept: str
    """YAML file of the concept and its questions."""
    text_column: str = "text"
    """Column of the text."""
    answers: tuple[str, ...] = ()
    """Files of `id`, `question` and `answer` (a number, higher for yes) in place of the model. Repeatable."""
    model: str = SAMPLE
    """That answers: folder, org/name[@revision], GGUF file, or `sample`: the embedded SmolLM2-135M-Instruct."""
    max_tokens: int = 1024
    """Longest question with its text; a row with a longer one is left out, and counted."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the model; auto: bfloat16 on a GPU, float32 on a CPU."""
    calibrate: bool = True
    """Take the answer about a text that says nothing off each answer."""
    questions: int = 3
    """Positive questions that the model writes where the concept's file has none, and negative ones, at most."""
    encoder: str = "mini"
    """Model of the embeddings that the student reads, as of embed_corpus."""
    choices: tuple[Choice, ...] = ("margin", "random", "top")
    """Rows to ask about next: those that a student doubts, any, or its likeliest; a student each, the first is kept."""
    near: int = 50
    """Rows nearest to the phrases that are asked about first."""
    random: int = 50
    """Random rows that are asked about first."""
    rounds: int = 5
    """Times that a student asks for more."""
    batch: int = 100
    """Rows of a round."""
    truth: str | None = None
    """Parquet or JSON file of `id` and `label`: rows to judge by, which nobody learns from."""
    label: str | None = None
    """Label of --truth that the concept's rows have; None: the concept's name."""
    test_share: float = 1.0
    """Share of the rows with truth that judge; the truth of the others isn't looked at, they are in the pool."""
    tune_labels: int = 0
    """Rows with truth that choose between the rule and a regression on the answers; 0: the rule."""
    seed: int = 0
    """Of every draw."""


def main(config: Config) -> int:
    """Ask what isn't known yet, teach, judge and label all rows."""
    from raypipe.report import write_report

    _check(config)
    recipe, rows = read_recipe(config.concept), read_rows(config.rows, text_column=config.text_column)
    _check_questions(config, recipe)
    truth = _truth(config, recipe)
    names = (QUESTIONS, ANSWERS, STAGE, STUDENT)
    questions, answers, stage, student = (stage_name(name, config) for name in names)
    with life_of(config, "label_concept", stages=[questions, answers, stage, student]) as life:
        if not recipe.positive:
            life.begin()
            with life.at_once():
                recipe = with_questions(recipe, _writing(config), life.run / questions)
        rows, annotator = _annotator(config, recipe, rows, life.run / answers)
        parts = parts_of(rows.ids, truth, n_tune=config.tune_labels, test_share=config.test_share, seed=config.seed)
        if truth and not len(parts.test):
            raise ValueError(f"{config.truth} must have rows to judge by beside tune_labels, none of its ids is left.")
        life.begin()
        folder, card = (
            life.run / stage,
            {"stage": stage, "kind": "concept", "identity": _identity(config, annotator, rows)},
        )
        with at_work(folder, card) as own, life.at_once():
            made = _taught(config, recipe, rows, parts, truth, annotator)
            saved(made, recipe.name, life.run / student)
            labelled = said_of(made, rows, annotator)
            folder.write(FILE, "".join(json.dumps(row) + "\n" for row in labelled).encode())
            found = _found(recipe, made, rows, parts, annotator)
            folder.write("results.json", json.dumps(found, indent=1).encode())
            own["counts"] = {"rows": len(rows.ids), "calls": annotator.kept.calls}
        print("\n".join(table_of(found)))
        print(f"Labels: {folder.uri}/{FILE}")
        life.conclude()
        print(f"Report: {write_report(life.run).removeprefix('file://')}")
    return life.status


def _check(config: Config) -> None:
    if not config.choices or len(set(config.choices)) < len(config.choices):
        raise ValueError(f"choices must be one at least, each once, got {', '.join(config.choices) or 'none'}.")
    for name, least in (("near", 0), ("random", 0), ("rounds", 0), ("batch", 1), ("tune_labels", 0), ("questions", 1)):
        if getattr(config, name) < least:
            raise ValueError(f"{name} must be {least} or more, got {getattr(config, name)}.")
    if not 0 < config.test_share <= 1:
        raise ValueError(f"test_share must be above 0 and 1 at most, got {config.test_share}.")
    if config.answers:
        refuse_idle(config, OF_MODEL, because="with --answers")
    if config.truth is None:
        refuse_idle(config, ["label", "test_share", "tune_labels"], because="without --truth")


def _check_questions(config: Config, recipe: Recipe) -> None:
    if recipe.positive:
        refuse_idle(config, ["questions"], because=f"as {config.concept} has questions")
    elif config.answers:
        raise ValueError(f"{config.concept} must have positive questions where --answers answers them.")


def _writing(config: Config) -> Writing:
    dtype, device = _dtype_and_device(config)
    return Writing(config.model, dtype, device, config.max_tokens, config.questions, config.seed)


def _dtype_and_device(config: Config) -> tuple[str, str]:
    from .parts.answering import start_device

    device = start_device(None)
    return config.dtype if config.dtype != "auto" else ("bfloat16" if device == "cuda" else "float32"), device


def _truth(config: Config, recipe: Recipe) -> dict[str, bool]:
    if config.truth is None:
        return {}
    labels, name = read_labels(config.truth), config.label or recipe.name
    if name not in labels.values():
        there = ", ".join(sorted(set(labels.values()))[:20])
        raise ValueError(f"label must be one of {config.truth}, which has {there}; got {name!r}.")
    return {row: label == name for row, label in labels.items()}


def _annotator(config: Config, recipe: Recipe, rows: AskedRows, folder: Folder) -> tuple[AskedRows, Annotator]:
    """Who answers, and the rows that can be asked about."""
    if config.answers:
        given = GivenAnswers(dict(zip(rows.ids, rows.keys.tolist(), strict=True)), config.answers)
        kept = KeptAnswers(given, given.version, folder)
        return rows, Annotator(recipe.concept, kept, rows.keys, calibrates=False)
    dtype, device = _dtype_and_device(config)
    texts = dict(zip(rows.keys.tolist(), rows.texts, strict=True))
    model = AskedModel(texts, config.model, recipe.prompt, config.max_tokens, dtype, device)
    too_long = model.too_long(recipe.concept.questions)
    rows = rows.without(too_long, f"a question longer than the window of {config.max_tokens:,} tokens")
    if not rows.ids:
        raise ValueError(f"no text fits into max_tokens ({config.max_tokens}) with its question; raise it.")
    kept = KeptAnswers(model, model.version, folder)
    return rows, Annotator(recipe.concept, kept, rows.keys, calibrates=config.calibrate)


def _taught(
    config: Config, recipe: Recipe, rows: AskedRows, parts: RowParts, truth: dict[str, bool], annotator: Annotator
) -> Distilled:
    """Students by each choice, and what truth says of them."""
    given = Rounds(config.near, config.random, config.rounds, config.batch, config.seed)
    made = Distilled.of(recipe, rows, parts, annotator, truth, given, encoder=config.encoder, choices=config.choices)
    return judged(made, annotator, parts, seed=config.seed) if len(parts.test) else made


def _found(recipe: Recipe, made: Distilled, rows: AskedRows, parts: RowParts, annotator: Annotator) -> Json:
    """results.json."""
    kept = annotator.kept
    found: Json = {
        "concept": recipe.name, "positive": list(recipe.positive), "negative": list(recipe.negative),
        "rows": len(rows.ids), "left_out": rows.left_out, "pool": len(parts.pool), "tune": len(parts.tune),
        "test": len(parts.test), "decided_by": made.decided_by, "calls": kept.calls, "kept": made.n_used - kept.calls,
        "calls_of_judging": made.calls_of_judging, "taught": made.taught, "judged": made.judged,
        "minus": made.minus,
    }  # fmt: skip
    return found


def _identity(config: Config, annotator: Annotator, rows: AskedRows) -> Json:
    digest = sha256(np.ascontiguousarray(rows.keys).tobytes()).hexdigest()
    names = (
        "encoder", "choices", "near", "random", "rounds", "batch", "label", "test_share", "tune_labels", "seed",
    )  # fmt: skip
    said = {"questions": list(annotator.concept.questions), "annotator": annotator.kept.version}
    return {"texts_sha256": digest, **said, **{name: getattr(config, name) for name in names}}


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
