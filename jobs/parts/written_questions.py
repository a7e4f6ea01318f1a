"""A concept's questions from its definition, by the model that will answer them; kept as a file to read and correct."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import yaml

from raypipe.label.collaborator.questions import REQUEST, Write, asked_about, most_telling
from raypipe.models.causal import open_model
from raypipe.storage.folder import Folder

from .annotating import NOTHING, AskedModel, key_of
from .concept_files import Recipe, read_recipe_text

FILE, MADE_OF = "concept.yaml", "# questions written by a model, made of "
N_DRAWS, MAX_NEW_TOKENS, TEMPERATURE = 6, 96, 0.7
"""Answers that questions are taken from, and their form; ours."""


@dataclass(frozen=True)
class Writing:
    """Who writes, and how many questions are kept."""

    model: str
    dtype: str
    device: str
    max_tokens: int
    n: int
    """Positive ones, and as many negative ones, at most."""
    seed: int


def with_questions(recipe: Recipe, how: Writing, folder: Folder) -> Recipe:
    """The recipe with the questions of the folder's file, which is written where it is of another definition or model.

    Raises
    ------
    ValueError
        If the model writes none, or none that tells what is meant from what isn't.
    """
    first_line = MADE_OF + _version(recipe, how)
    if folder.exists(FILE):
        text = folder.read(FILE).decode()
        if text.splitlines()[0] == first_line:
            return read_recipe_text(text, where=f"{folder.uri}/{FILE}")
    written = _written(recipe, how)
    given = {
        "name": written.name, "definition": written.definition, "near_misses": written.near_misses,
        "positive": list(written.positive), "negative": list(written.negative), "phrases": list(written.phrases),
        "prompt": written.prompt,
    }  # fmt: skip
    text = yaml.safe_dump({key: value for key, value in given.items() if value}, sort_keys=False, allow_unicode=True)
    folder.write(FILE, f"{first_line}\n{text}".encode())
    return written


def _version(recipe: Recipe, how: Writing) -> str:
    model = open_model(how.model)
    said = [
        model.sha256(), model.tokenizer_sha256(), how.dtype, str(how.n), str(how.seed), recipe.name, recipe.definition,
        recipe.near_misses, recipe.prompt, *recipe.phrases, REQUEST, str((N_DRAWS, MAX_NEW_TOKENS, TEMPERATURE)),
    ]  # fmt: skip
    return sha256("\0".join(said).encode()).hexdigest()[:16]


def _written(recipe: Recipe, how: Writing) -> Recipe:
    """The questions that tell the definition from the near misses and, of these, the near misses from it."""
    write, seeds = _writer(how), [how.seed * N_DRAWS + at for at in range(N_DRAWS)]
    meant, other = recipe.definition, recipe.near_misses or NOTHING
    asked = AskedModel(
        {key_of(text): text for text in (meant, other)}, how.model, recipe.prompt, how.max_tokens, how.dtype, how.device
    )
    positive = asked_about(meant, write, seeds=seeds)
    told = _told(asked, positive, meant, other)
    if not recipe.near_misses:
        return replace(recipe, positive=most_telling(positive, told, how.n))
    negative = asked_about(other, write, seeds=seeds)
    told_of_others = _told(asked, negative, meant, other)
    usual = np.append(told, told_of_others).mean()  # a model may say yes to anything about one of the two texts
    return replace(
        recipe,
        positive=most_telling(positive, told - usual, how.n),
        negative=most_telling(negative, usual - told_of_others, how.n),
    )


def _told(asked: AskedModel, questions: Sequence[str], meant: str, other: str) -> np.ndarray:
    """Nats by which yes is surer about one text than about the other: [m]."""
    keys = np.array([key_of(meant), key_of(other)])
    answers = np.array([asked(question, keys) for question in questions])  # [m, 2]
    found: np.ndarray = answers[:, 0] - answers[:, 1]
    return found


def _writer(how: Writing) -> Write:
    from raypipe.lm.sampling import Sampler
    from raypipe.models.tokenizer import open_vocabulary

    weights = open_model(how.model).weights(dtype=how.dtype, device=how.device)
    return Sampler(weights, open_vocabulary(how.model), max_new_tokens=MAX_NEW_TOKENS, temperature=TEMPERATURE)
