"""Settings of ZeRO, apart from the engine, so that a job's help needs neither torch nor DeepSpeed."""

from dataclasses import dataclass, field

from raypipe.settings.identity import RUNNING


@dataclass(frozen=True)
class Zero:
    """What is spread over the workers."""

    zero_stage: int = 1
    """0: nothing; 1: optimiser state; 2: gradients as well; 3: weights as well."""
    offload: bool = field(default=False, metadata=RUNNING)
    """Keep optimiser state in the host's memory (a GPU's run; needs a C++ compiler)."""

    def __post_init__(self) -> None:
        """Check the stage."""
        if self.zero_stage not in (0, 1, 2, 3):
            raise ValueError(f"zero_stage must be 0, 1, 2 or 3, got {self.zero_stage}.")
