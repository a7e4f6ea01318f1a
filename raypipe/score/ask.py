"""Questions about each text, answered by a causal LM: how likely it finds each of the given answers.

Source: T. Brown et al., Language Models are Few-Shot Learners, NeurIPS 2020, section 2.4: a task's answers compared by
their likelihood after the question; questions as labelling functions, R. Smith et al., Language Models in the Loop,
arXiv 2205.02318.
Departures: question and answer are one text to the tokenizer; answers share the question's pass. A question that is too
long is left unanswered, never cut, for then the model would answer another one.
Cost: one pass over each question and its answers; logits of the answers' tokens only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON, TEXT
from raypipe.lm.device_errors import device_errors
from raypipe.lm.host_memory import keep_freed_memory
from raypipe.lm.token_op import TokenOp
from raypipe.models.architecture import check_architecture
from raypipe.models.boundary import scored_way
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import Vocabulary, open_vocabulary
from raypipe.settings.identity import counts_as

if TYPE_CHECKING:
    from raypipe.lm.decoder import Decoder

PLACE = "{text}"
IDS, N_SCORED, LIKELIHOODS, SKIPPED = "token_ids", "n_scored", "log_likelihoods", "unanswered"
NOT_FINITE = "likelihood isn't finite"
ANSWERS = pa.schema(
    [("n_tokens", pa.int64()), (LIKELIHOODS, pa.list_(pa.list_(pa.float32()))), (SKIPPED, pa.list_(pa.string()))]
)
"""For each question: `log_likelihoods`, nats, of its answers, none where it has no answer; `unanswered`: why not."""


@dataclass(frozen=True)
class TextQuestion:
    """What is asked of a text."""

    template: str
    """The question; {text} is the text's place."""
    answers: tuple[str, ...]
    """What is compared, each after the question and a blank."""

    def ways(self, vocabulary: Vocabulary, text: str) -> tuple[list[list[int]], list[int]]:
        """Ids of the question with each answer [k][t], and how many of them are the answer's [k]."""
        context = self.template.replace(PLACE, text)
        found = [scored_way(vocabulary, context, f" {answer}") for answer in self.answers]
        return [one.ids for one in found], [int(one.is_second.sum()) for one in found]


def _digests(ref: str) -> Mapping[str, Any]:
    model = open_model(ref)
    return {"model_sha256": model.sha256(), "tokenizer_sha256": model.tokenizer_sha256()}


def _said(questions: tuple[TextQuestion, ...]) -> Mapping[str, Any]:
    return {"questions": [[one.template, list(one.answers)] for one in questions]}


@dataclass
class Ask(TokenOp):
    """The Op: texts to questions' token ids ahead of the device, token ids to likelihoods of the answers on it."""

    model: str = field(metadata=counts_as(_digests))
    """Folder, org/name@revision, GGUF file, or `sample`."""
    questions: tuple[TextQuestion, ...] = field(metadata=counts_as(_said))
    max_tokens: int = 2048
    """Longest question with its longest answer."""
    dtype: str = "float32"
    """Of weights and activations: float32 or bfloat16."""
    token_budget: int = 4096
    """Tokens that go through the model together."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    adds: ClassVar[pa.Schema] = ANSWERS
    version: ClassVar[int] = 1
    padding: int = field(default=0, init=False, repr=False, compare=False)
    _decoder: "Decoder | None" = field(default=None, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Refuse what can't work before anything starts.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        if self.token_budget < self.max_tokens:
            raise ValueError(f"token_budget must be at least max_tokens ({self.max_tokens}), got {self.token_budget}.")
        model = open_model(self.model)
        check_architecture(model.config(), max_tokens=self.max_tokens)
        model.check()
        for question in self.questions:
            ids, n_scored = question.ways(open_vocabulary(self.model), "")
            if max(map(len, ids)) >= self.max_tokens or not min(n_scored):
                raise ValueError(
                    f"a question must leave room for a text in max_tokens ({self.max_tokens}) and its answers must "
                    f"have tokens, got {max(map(len, ids))} without a text in {question.template[:80]!r}."
                )

    def prepare(self, table: pa.Table) -> pa.Table:
        """Tokenise: texts -> ids of every question with every answer, why some can't be asked, and reason."""
        vocabulary = open_vocabulary(self.model)
        columns: dict[str, list[Any]] = {name: [None] * len(table) for name in ("n_tokens", IDS, N_SCORED, SKIPPED)}
        for row in np.flatnonzero(pc.is_null(table[REASON]).to_numpy()):
            text = table[TEXT][int(row)].as_py()
            ids, n_scored = zip(*(one.ways(vocabulary, text) for one in self.questions), strict=True)
            longest = [max(map(len, ways)) for ways in ids]
            fits = [size <= self.max_tokens for size in longest]
            columns[IDS][row] = [ways if fit else [] for ways, fit in zip(ids, fits, strict=True)]
            columns[N_SCORED][row] = [n if fit else [] for n, fit in zip(n_scored, fits, strict=True)]
            columns[SKIPPED][row] = [None if fit else self._too_long(n) for n, fit in zip(longest, fits, strict=True)]
            columns["n_tokens"][row] = sum(n for n, fit in zip(longest, fits, strict=True) if fit)
        integers = pa.int32()
        schema = pa.schema([
            ("n_tokens", pa.int64()), (IDS, pa.list_(pa.list_(pa.list_(integers)))),
            (N_SCORED, pa.list_(pa.list_(integers))), (SKIPPED, pa.list_(pa.string())), (REASON, pa.string()),
        ])  # fmt: skip
        return pa.table({**columns, REASON: table[REASON].to_pylist()}, schema=schema)

    def _too_long(self, n_tokens: int) -> str:
        return f"a question of {n_tokens:,} tokens is longer than the window of {self.max_tokens:,}"

    def setup(self, *, n_threads: int) -> None:
        """Load the model onto this worker's device."""
        import torch

        from raypipe.lm.decoder import Decoder

        torch.set_num_threads(n_threads)
        keep_freed_memory()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        weights = open_model(self.model).weights(dtype=self.dtype, device=device)
        self._decoder = Decoder(weights, max_tokens=self.max_tokens)

    def lengths(self, prepared: pa.Table) -> np.ndarray:
        """Tokens of each row's questions [n], which go through the model in turns; one without any is a row too."""
        lengths: np.ndarray = np.clip(super().lengths(prepared), 1, self.token_budget)
        return lengths

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The likelihoods of one batch of rows, same rows and order.

        Raises
        ------
        MemoryError
            If the batch doesn't fit into the device's memory.
        DeviceLost
            If the accelerator fails so that this process can't use it any more.
        """
        from raypipe.lm.branches import grown, losses_of_ways

        if self._decoder is None:
            raise RuntimeError("Ask.setup() loads the model and must run before the first batch.")
        ids, n_scored = batch[IDS].to_pylist(), batch[N_SCORED].to_pylist()
        asked = [(row, at) for row, of in enumerate(ids) for at, ways in enumerate(of) if ways]
        rows = [
            grown(ids[row][at], [_last(len(way), n) for way, n in zip(ids[row][at], n_scored[row][at], strict=True)])
            for row, at in asked
        ]
        with device_errors():
            losses = losses_of_ways(self._decoder, rows, max_tokens=self.max_tokens, budget=self.token_budget)
        found: list[list[list[float]]] = [[[] for _ in self.questions] for _ in ids]
        skipped = batch[SKIPPED].to_pylist()
        for (row, at), of in zip(asked, losses, strict=True):
            is_finite = bool(np.isfinite(of).all())
            found[row][at] = (-of).tolist() if is_finite else []
            skipped[row][at] = None if is_finite else NOT_FINITE
        return pa.table([found, skipped], schema=pa.schema([ANSWERS.field(name) for name in (LIKELIHOODS, SKIPPED)]))


def _last(n: int, n_scored: int) -> np.ndarray:
    """Which of n are the last so many: [n] bool."""
    found: np.ndarray = np.arange(n) >= n - n_scored
    return found
