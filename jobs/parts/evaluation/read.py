"""All that the settings ask for, read and checked before a weight is: whatever is wrong with it ends here."""

import re
from dataclasses import dataclass

from raypipe.corpus.sources import split_source
from raypipe.evaluate.benchmarks import Form, read_items
from raypipe.evaluate.code_tasks import read_code_tasks
from raypipe.evaluate.many_shot import read_labelled, shown_and_asked
from raypipe.evaluate.open_questions import read_open_questions
from raypipe.evaluate.programs import check_limits
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.settings.identity import identity_of

from ..idle import refuse_idle
from .choices import Choices, ManyShot
from .documents import Documents, read_documents, stream_of
from .lm_eval_tasks import LmEvalTask, check_lm_eval
from .model import EvaluatedModel
from .recall import InContext
from .settings import Evaluated, EvaluationSettings
from .suite import Json, Suite
from .writing import Code, Generation

NAME = re.compile(r"\w[\w.-]*")
OF_KIND = {
    "generate": ("shown",),
    "code": ("samples", "k", "temperature", "program_seconds", "program_mb", "code_network"),
    "many_shot": ("label_column", "shots"),
    "lm_eval_tasks": ("lm_eval_path",),
    "corpus": ("id_column", "domain_column", "where", "trained_on"),
}
"""Settings that do nothing without another."""


@dataclass(frozen=True)
class Asked:
    """What the model is asked."""

    suites: list[Suite]
    documents: Documents | None

    def identity(self, evaluated: Evaluated) -> Json:
        """Whatever can change a figure."""
        questions = {suite.name: suite.digest() for suite in self.suites}
        documents = self.documents.digest() if self.documents is not None else None
        return identity_of(evaluated, questions=questions, documents=documents)


def read_all(config: EvaluationSettings, model: EvaluatedModel) -> Asked:
    """The questions and documents.

    Raises
    ------
    ValueError
        With the setting or the row.
    """
    _check(config)
    max_tokens, weights = config.evaluated.max_tokens, open_model(config.evaluated.model)
    weights.check()
    check_architecture(weights.config(), max_tokens=max_tokens)
    suites = [*_choices(config), *_written(config, model), *_many_shot(config)]
    if config.in_context:
        suites.append(InContext.made(model.vocabulary, max_tokens=max_tokens, seed=config.seed))
    if config.lm_eval_tasks:
        check_lm_eval()
        suites += [LmEvalTask(name, config.lm_eval_path, config.limit) for name in config.lm_eval_tasks]
    names = [suite.name for suite in suites]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"benchmarks must have a name each, got {sorted(twice)[0]!r} twice; write NAME=URI.")
    for name in names:
        if not NAME.fullmatch(name):  # files are called by it
            raise ValueError(f"a benchmark's name must be letters, digits and . _ -, got {name!r}; write NAME=URI.")
    return Asked(suites, read_documents(config, stream_of(config, model)))


def _check(config: EvaluationSettings) -> None:
    asked = [config.benchmarks, config.generate, config.code, config.many_shot, config.lm_eval_tasks, config.corpus]
    if not any(asked) and not config.in_context:
        raise ValueError(
            "give --benchmarks, --corpus or both, or another kind of question (--generate, --code, --many-shot, "
            "--in-context, --lm-eval-tasks): there is nothing to measure."
        )
    max_tokens = config.evaluated.max_tokens
    if max_tokens < 2 or (config.limit is not None and config.limit < 1):
        raise ValueError(f"max_tokens must be at least 2 and limit 1, got {max_tokens} and {config.limit}.")
    for name, idle in OF_KIND.items():
        if not getattr(config, name):
            refuse_idle(config, idle, because=f"without --{name.replace('_', '-')}")
    if config.trained_on is None:
        refuse_idle(config, ["tokens", "selection"], because="without --trained-on")


def _named(uris: tuple[str, ...]) -> list[tuple[str, str]]:
    named = [split_source(uri) for uri in uris]
    return [(name or uri.rstrip("/").rsplit("/", 1)[-1].partition(".")[0], uri) for name, uri in named]


def _choices(config: EvaluationSettings) -> list[Suite]:
    form = Form(config.template, config.delimiter, config.group_column)
    return [Choices(name, read_items(uri, form, limit=config.limit)) for name, uri in _named(config.benchmarks)]


def _written(config: EvaluationSettings, model: EvaluatedModel) -> list[Suite]:
    found: list[Suite] = []
    for name, uri in _named(config.generate):
        limit = None if config.limit is None else config.limit + config.shown
        rows = read_open_questions(uri, group_column=config.group_column, limit=limit)
        if len(rows) <= config.shown:
            raise ValueError(f"shown must leave questions to ask, got {config.shown} of the {len(rows)} in {uri}.")
        suite = Generation(name, rows[config.shown :], rows[: config.shown], config.evaluated.new_tokens)
        model.check_fits(suite.prompts())
        found.append(suite)
    for name, uri in _named(config.code):
        if not config.k or not all(1 <= k <= config.samples for k in config.k):
            raise ValueError(f"k must be from 1 to --samples ({config.samples}), got {config.k}.")
        limits = config.limits()
        check_limits(limits)
        tasks = read_code_tasks(uri, limit=config.limit)
        size = config.evaluated.new_tokens
        code = Code(name, tasks, config.samples, config.k, config.temperature, limits, config.seed, size)
        model.check_fits(code.prompts())
        found.append(code)
    return found


def _many_shot(config: EvaluationSettings) -> list[Suite]:
    found: list[Suite] = []
    for name, uri in _named(config.many_shot):
        if not config.shots or min(config.shots) < 0:
            raise ValueError(f"shots must be numbers of at least 0, got {config.shots}.")
        rows = read_labelled(uri, text_column=config.text_column, label_column=config.label_column)
        shown, asked = shown_and_asked(rows, n_shown=max(config.shots), limit=config.limit, seed=config.seed)
        labels = tuple(sorted({row.label for row in rows}))
        found.append(ManyShot(name, asked, shown, labels, tuple(sorted(set(config.shots)))))
    return found
