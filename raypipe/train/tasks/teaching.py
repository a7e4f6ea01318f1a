"""How much a teacher has to say: settings, apart from the task, so that a job's help needs no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Teaching:
    """How much a teacher has to say."""

    distil_weight: float = 0.5
    """Share w of the loss that is the teacher's; the rest is the next token's."""
    distil_temperature: float = 2.0
    """T: what both models' logits are divided by, so that less likely tokens count too."""
    distil_top: int = 64
    """Tokens that the teacher finds likeliest, at each place."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        ValueError
            With the field.
        """
        if not 0 < self.distil_weight <= 1:
            raise ValueError(f"distil_weight must be in (0, 1], got {self.distil_weight}.")
        if not self.distil_temperature > 0:
            raise ValueError(f"distil_temperature must be above 0, got {self.distil_temperature}.")
        if self.distil_top < 1:
            raise ValueError(f"distil_top must be at least 1, got {self.distil_top}.")
