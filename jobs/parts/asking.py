"""What asking a corpus questions is made of: the model, and the stage of the answers' likelihoods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from raypipe import sample
from raypipe.label.functions.prompt import Prompt
from raypipe.models.causal import open_model
from raypipe.run.cluster import Wanted
from raypipe.runs.card import Json
from raypipe.score.ask import Ask, TextQuestion

from .scoring import WORKER_BYTES

CPU_BUDGET, GPU_BUDGET = 2048, 32_768


@dataclass(frozen=True, kw_only=True)
class Asking:
    """The model that answers the questions of prompts, and how it runs."""

    model: str = sample.SAMPLE
    """Of prompts: folder, org/name[@revision], GGUF file, or `sample`: the embedded SmolLM2-135M-Instruct."""
    max_tokens: int = 2048
    """Longest question with its answer; a longer one is left unanswered."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of weights and activations; auto: bfloat16 on a GPU, float32 on a CPU."""
    token_budget: int | None = None
    """Tokens that go through the model together; None: by device."""
    gpus_per_worker: float | None = None
    """GPUs that a worker that asks reserves; None: 1 where the cluster has GPUs, else 0."""
    cpus_per_worker: float | None = None
    """CPUs that a worker that asks reserves, and so its threads; None: 1 beside a GPU, else an equal share."""

    def wanted(self, max_workers: int | None) -> Wanted:
        """The workers that these settings ask for."""
        return Wanted(
            1, max_workers, self.gpus_per_worker, self.cpus_per_worker,
            worker_bytes=lambda: WORKER_BYTES + 2.0 * open_model(self.model).n_bytes,
        )  # fmt: skip

    def op(self, prompts: Sequence[Prompt], *, have_gpus: Callable[[], bool], made_with: Json) -> Ask:
        """The Op; what is left to us is what the stage was begun with, else what suits the workers."""
        dtype, budget = self.dtype, self.token_budget or made_with.get("token_budget")
        if dtype == "auto":
            dtype = made_with.get("dtype") or ("bfloat16" if have_gpus() else "float32")
        return Ask(
            model=self.model,
            questions=tuple(TextQuestion(one.question, tuple(one.answers)) for one in prompts),
            max_tokens=self.max_tokens,
            dtype=dtype,
            token_budget=budget or max(self.max_tokens, GPU_BUDGET if have_gpus() else CPU_BUDGET),
        )
