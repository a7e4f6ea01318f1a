"""The small model that documents are scored with: what is asked of it, and the forward pass that follows from that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from raypipe import sample
from raypipe.contracts.statistic import Statistic
from raypipe.lm.heads import Head
from raypipe.score.forward_pass import ForwardPass

CPU_BUDGET, GPU_BUDGET = 4096, 32_768


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """The model that scores, and how it runs."""

    model: str = sample.SAMPLE
    """Folder, org/name[@revision], GGUF file, or `sample`: the embedded SmolLM2-135M-Instruct."""
    max_tokens: int = 2048
    """Documents are scored on their first N tokens."""
    dtype: Literal["auto", "float32", "bfloat16", "float8"] = "auto"
    """Of weights and activations; auto: bfloat16 on a GPU, float32 on a CPU. Losses are float32 always. float8 (Ada,
    Hopper and newer GPUs): bfloat16 but for the layers' products; what that does to the order is measured first."""
    compile: bool = False
    """Compile the layers (torch.compile) when a worker starts: takes a minute or so, pays on GPUs."""
    token_budget: int | None = None
    """Tokens that go through the model together; None: by device and model."""

    def op(
        self, statistics: tuple[Statistic, ...], heads: tuple[Head, ...], *, have_gpus: Callable[[], bool],
        made_with: Mapping[str, Any] = MappingProxyType({}),
    ) -> ForwardPass:  # fmt: skip
        """The forward pass; what is left to us is what a stage was made with, else what suits the workers."""
        dtype, budget = self.dtype, self.token_budget or made_with.get("token_budget")
        if dtype == "auto":
            dtype = made_with.get("dtype") or ("bfloat16" if have_gpus() else "float32")
        return ForwardPass(
            model=self.model,
            statistics=statistics,
            heads=heads,
            max_tokens=self.max_tokens,
            dtype=dtype,
            token_budget=budget or max(self.max_tokens, GPU_BUDGET if have_gpus() else CPU_BUDGET),
            compiler="inductor" if self.compile else None,
        )
