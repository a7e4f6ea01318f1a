"""The best of K answers by weak verifiers: python -m jobs.choose_answers --data CANDIDATES.jsonl --output RUN.

A row is a question with its candidates and what each verifier says of each of them, higher being better:

    {"question": "6 x 7?", "candidates": ["42", "It is 36."], "answers": [42, 36], "correct": [true, false],
     "scores": {"reward model": [0.3, 0.1], "judge": [5, 4]}}

`answers` are the final ones, by which candidates agree (else their texts); `correct` is needed of a few rows, the
development set (--development, 1 %). RUN/choices/choices.jsonl says of each question which candidate is chosen and how
probably each is right; results.json sets that beside the majority, the best single verifier, the mean and the oracle,
on the other questions whose truth is known. RUN/student is a small student that reads only question and answer.
"""

import json
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from raypipe.runs.stage import at_work
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.candidates import Candidates, read_candidates
from .parts.choosing import Json, Split, posterior_of, rules, split, student_of, success, table_of
from .parts.common import RunSettings, life_of, run_job, stage_name

STAGE, STUDENT = "choices", "student"


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings):
    """Settings of choose_answers."""

    data: tuple[str, ...]
    """Parquet or JSON files of questions with candidates and scores. Repeatable."""
    development: float = 0.01
    """Share of all questions whose truth is looked at: for the threshold, the class balance and the best verifier."""
    student_share: float = 0.8
    """Share of the questions that the student learns from; it is tested on the others."""
    dimensions: int = 256
    """Of the vectors that words become for the student, at most."""
    seed: int = 0
    """Of both draws."""


def main(config: Config) -> int:
    """Choose, judge and distil; a second start does it again."""
    for name in ("development", "student_share"):
        if not 0 < getattr(config, name) < 1:
            raise ValueError(f"{name} must be above 0 and below 1, got {getattr(config, name)}.")
    candidates = read_candidates(config.data)
    given = split(candidates, share=config.development, student_share=config.student_share, seed=config.seed)
    stage, student = stage_name(STAGE, config), stage_name(STUDENT, config)
    with life_of(config, "choose_answers", stages=[stage, student]) as life:
        life.begin()
        folder, card = life.run / stage, {"stage": stage, "kind": "choices", "identity": _identity(config, candidates)}
        with at_work(folder, card) as own, life.at_once():
            posterior, about = posterior_of(candidates, given)
            _write(folder, candidates, posterior)
            found = _judged(config, candidates, given, posterior, life.run / student) | about
            folder.write("results.json", json.dumps(found, indent=1).encode())
            own["counts"] = {"questions": len(candidates.questions), "answers": len(candidates.texts)}
        print("\n".join(table_of(found)))
        print(f"Choices: {folder.uri}/choices.jsonl")
    return life.status


def _judged(config: Config, candidates: Candidates, given: Split, posterior: np.ndarray, student: Folder) -> Json:
    """Every rule on the questions that aren't the development set, and the student on those that it hasn't seen."""
    from raypipe.models.fitted import save_fitted

    found: Json = {
        "data": list(config.data), "verifiers": candidates.verifiers, "development": len(given.development),
        "n_judged": len(given.judged), "rules": {},
    }  # fmt: skip
    model, words, said = student_of(candidates, posterior, given, n_dimensions=config.dimensions)
    save_fitted(model, student, feed=words)
    if len(given.judged):
        by = rules(candidates, given, posterior)
        found["rules"] = {name: success(candidates, score, given.judged) for name, score in by.items()}
        unseen = given.judged[~given.student[given.judged]]
        if len(unseen):
            _, _, rival = student_of(candidates, by["majority"], given, n_dimensions=config.dimensions)
            scores = {"of the posterior": said, "of the majority": rival, "weaver itself": posterior}
            of = {name: success(candidates, score, unseen) for name, score in scores.items()}
            found["student"] = {"n": len(unseen), **of}
    return found


def _write(folder: Folder, candidates: Candidates, posterior: np.ndarray) -> None:
    lines = []
    for at, name in enumerate(candidates.ids):
        rows = np.flatnonzero(candidates.of == at)
        own, best = posterior[rows], int(posterior[rows].argmax())
        lines.append({"id": name, "chosen": best, "candidate": candidates.texts[rows[best]],
                      "probabilities": own.round(6).tolist()})  # fmt: skip
    folder.write("choices.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())


def _identity(config: Config, candidates: Candidates) -> Json:
    digest = sha256(
        json.dumps([candidates.questions, candidates.texts, candidates.said, candidates.verifiers]).encode()
    )
    for part in (candidates.scores, candidates.correct, candidates.known):
        digest.update(part.tobytes())
    own = {name: getattr(config, name) for name in ("development", "student_share", "dimensions", "seed")}
    return {"data_sha256": digest.hexdigest(), **own}


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
