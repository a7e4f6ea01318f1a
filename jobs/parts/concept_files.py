"""The YAML file of a concept: what it is called, its questions or its definition, and how the questions are asked."""

from dataclasses import dataclass
from pathlib import Path

from raypipe.label.collaborator.concept import Concept

from .annotating import QUESTION, TEXT
from .settings import yaml_of

PROMPT = "{text}\n\nQuestion: {question} Answer yes or no.\nAnswer:"
TEXTS = ("definition", "near_misses")
KEYS = ("name", *TEXTS, "positive", "negative", "phrases", "prompt")


@dataclass(frozen=True)
class Recipe:
    """What a file says of a concept."""

    name: str
    positive: tuple[str, ...]
    """None where they are to be written from the definition."""
    negative: tuple[str, ...]
    phrases: tuple[str, ...]
    """What rows of the concept, and near-misses, are like: the first to be asked about are nearest to these."""
    prompt: str
    definition: str = ""
    near_misses: str = ""
    """What looks similar and isn't, in words."""

    @property
    def concept(self) -> Concept:
        """Its questions.

        Raises
        ------
        ValueError
            If there is no positive one, or one comes twice.
        """
        return Concept(self.name, self.positive, self.negative)


def read_recipe(path: str) -> Recipe:
    """A concept of a YAML file: its `name` and `positive` questions, or a `definition` for a model to write some from.

    And perhaps `negative` questions or `near_misses`, `phrases` and `prompt`.

    Raises
    ------
    OSError, ValueError
        If it can't be read or isn't so.
    """
    return read_recipe_text(Path(path).read_text(encoding="utf-8"), where=path)


def read_recipe_text(text: str, *, where: str) -> Recipe:
    """The same of a file's text.

    Raises
    ------
    ValueError
        If it isn't so.
    """
    given = yaml_of(text)
    if not isinstance(given, dict) or not isinstance(given.get("name"), str) or not given["name"].strip():
        raise ValueError(f"{where} must be a mapping with the name of a concept, got {str(given)[:200]}.")
    if unknown := sorted(set(map(str, given)) - set(KEYS)):
        raise ValueError(f"{where} may have {', '.join(KEYS)}, got {unknown[0]!r}.")
    lists = {}
    for name in ("positive", "negative", "phrases"):
        of = given.get(name) or []
        if not isinstance(of, list) or not all(isinstance(one, str) for one in of):
            raise ValueError(f"{where}: {name} must be a list of texts, got {str(of)[:200]}.")
        lists[name] = tuple(of)
    prompt = given.get("prompt", PROMPT)
    if not isinstance(prompt, str) or prompt.count(TEXT) != 1 or prompt.count(QUESTION) != 1:
        raise ValueError(f"{where}: prompt must hold {TEXT} and {QUESTION} once each, got {prompt!r}.")
    words = {name: given.get(name) or "" for name in TEXTS}
    for name, of in words.items():
        if not isinstance(of, str):
            raise ValueError(f"{where}: {name} must be a text, got {str(of)[:200]}.")
    recipe = Recipe(
        given["name"], lists["positive"], lists["negative"], lists["phrases"] or (given["name"],), prompt,
        **{name: of.strip() for name, of in words.items()},
    )  # fmt: skip
    if recipe.positive or not recipe.definition:
        recipe.concept  # noqa: B018 (refuses questions that can't be)
    elif recipe.negative:
        raise ValueError(f"{where}: negative questions go with positive ones; give near_misses beside the definition.")
    return recipe
