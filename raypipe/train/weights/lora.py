"""Low-rank adapters through peft: the model's own weights stay, small matrices beside them learn."""

from dataclasses import dataclass
from typing import Any

from raypipe.models.architecture import ARCHITECTURES

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""Of a decoder; its head stays as it is."""
INSTALL = "peft isn't installed; pip install 'raypipe[train]', or --lora-rank 0"


@dataclass(frozen=True)
class Lora:
    """Adapters beside every linear layer of the decoder, or encoder."""

    lora_rank: int = 0
    """Rank of the adapters; 0: train all weights."""
    lora_alpha: float = 32.0
    """Adapters count alpha / rank times."""
    lora_dropout: float = 0.0
    """Of what the adapters read."""

    def apply(self, model: Any, *, head: str | None = None) -> Any:
        """The model with adapters; a new `head` by this name is trained whole.

        Raises
        ------
        ValueError
            If the rank is negative, or peft isn't installed.
        """
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank must be at least 0, got {self.lora_rank}.")
        if self.lora_rank == 0:
            return model
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise ValueError(INSTALL) from error
        is_decoder = model.config.model_type in ARCHITECTURES
        config = LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=LAYERS if is_decoder else "all-linear",
            modules_to_save=[head] if head else None,
        )
        return get_peft_model(model, config)
