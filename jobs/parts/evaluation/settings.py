"""Settings of evaluate_model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from raypipe.evaluate.benchmarks import Form
from raypipe.evaluate.programs import ProgramLimits
from raypipe.models.causal import open_model
from raypipe.settings.identity import BY_CONTENT, RUNNING, counts_as

from ..common import RunSettings


@dataclass(frozen=True, kw_only=True)
class DocumentSettings:
    """Documents whose loss is measured."""

    corpus: tuple[str, ...] = ()
    """[NAME=]URI of documents whose loss and bits per byte are measured; NAME is their domain. Repeatable."""
    text_column: str = "text"
    """Column of a document's text."""
    id_column: str | None = None
    """Column of a document's id; without one an id is PATH:ROW, by which nothing is compared."""
    domain_column: str | None = None
    """Column of a document's domain."""
    where: str | None = None
    """SQL condition on a document's columns; those that fail it are left out."""
    trained_on: str | None = None
    """Run folder whose tokens/ the model was trained on: documents that it shares are told, and measured apart."""
    tokens: str = "tokens"
    """Stage of that run with the tokens."""
    selection: str = "selection"
    """Stage of that run with the weights; `none`: every row was seen."""


@dataclass(frozen=True, kw_only=True)
class QuestionSettings(Form):
    """What else the model is asked."""

    benchmarks: tuple[str, ...] = ()
    """[NAME=]URI of a benchmark's rows: choices with gold, context_options, or yes and no. Repeatable."""
    generate: tuple[str, ...] = ()
    """[NAME=]URI of questions answered in writing: question with final_answer, answer or target. Repeatable."""
    shown: int = 0
    """Rows of each benchmark that is answered in writing, its first, that are shown as examples and not asked."""
    code: tuple[str, ...] = ()
    """[NAME=]URI of programming tasks: text with test_list, or prompt with test and entry_point. Repeatable."""
    samples: int = 1
    """Programs sampled of each task."""
    k: tuple[int, ...] = (1,)
    """k of pass@k, each at most --samples."""
    temperature: float = 0.8
    """Of programs where several are sampled; one alone is the likeliest."""
    program_seconds: float = 5.0
    """That a program may run."""
    program_mb: int = 1024
    """Memory that it may have."""
    code_network: bool = False
    """Run programs with a network where it can't be taken away from them."""
    in_context: bool = False
    """Ask for copies of random tokens and for facts of the context."""
    many_shot: tuple[str, ...] = ()
    """[NAME=]URI of rows with text and label, classified by examples in the context. Repeatable."""
    label_column: str = "label"
    """Column of the label."""
    shots: tuple[int, ...] = (0, 4, 16, 64)
    """Numbers of examples."""
    lm_eval_tasks: tuple[str, ...] = ()
    """Tasks of lm-eval by name (extra `eval`; their data may come from a hub). Repeatable."""
    lm_eval_path: str | None = None
    """Folder with task files of lm-eval's own format."""
    limit: int | None = None
    """Only the first N questions of each benchmark, and documents."""
    seed: int = 0
    """Of everything that is drawn at random."""

    def limits(self) -> ProgramLimits:
        """What a program may use."""
        return ProgramLimits(self.program_seconds, self.program_mb, needs_no_network=not self.code_network)


def _digests(ref: str) -> Mapping[str, Any]:
    model = open_model(ref)
    return {"model_sha256": model.sha256(), "tokenizer_sha256": model.tokenizer_sha256()}


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The model that is evaluated, and how it runs."""

    model: str = field(default="sample", metadata=counts_as(_digests))
    """What is evaluated: folder, org/name[@revision], GGUF file, or `sample`."""
    max_tokens: int = 2048
    """A longer question loses its beginning; a longer document is cut into windows."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of weights and activations; losses are float32 always."""
    token_budget: int | None = field(default=None, metadata=RUNNING)
    """Tokens that go through the model together; None: by device."""
    n_threads: int | None = field(default=None, metadata=RUNNING)
    """Threads of the CPU; None: all."""
    new_tokens: int = field(default=256, metadata=BY_CONTENT)  # of the benchmarks that it is asked for
    """Tokens that are written at most."""
    batch: int = field(default=8, metadata=RUNNING)
    """Texts that are written together."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings(QuestionSettings, DocumentSettings):
    """Settings of evaluate_model: of which model is asked what. Questions and documents count by what is read."""

    evaluated: Evaluated = Evaluated()
    run: RunSettings
