"""Open a model that turns texts into vectors: an encoder, or a Llama-shaped decoder, and how it is read out.

Safe as causal models are: safetensors only, no remote code, every weight there and finite. What is to be done with the
token states stands in the folder's own files (sentence_files.py); what they leave open is asked for, never guessed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raypipe.models.architecture import ARCHITECTURES, check_architecture
from raypipe.models.causal import LocalModel, open_model
from raypipe.models.sentence_files import Pooling, SentenceFiles, sentence_files

KINDS = ("bert", "roberta", "mpnet", "modernbert", "xlm-roberta")
"""transformers model types whose tokens all see each other."""
_COUNT_FROM_PADDING = ("roberta", "mpnet", "xlm-roberta")
"""Their first position is the one after the padding token's id."""
_HEADS = (r"(^|\.)pooler\.", r"^cls\.", r"^lm_head\.", r"^head\.", r"^decoder\.")
"""What was trained above the states and isn't used."""
_PROMPT_NAMES = {"query": ("query",), "document": ("document", "passage", "corpus")}


@dataclass(frozen=True)
class Encoder:
    """A model in a folder, and how it is read out."""

    model: LocalModel
    files: SentenceFiles
    pooling: Pooling
    is_causal: bool
    """Whether a token sees those before it only."""
    max_tokens: int
    """Longest text, with the tokens that the tokenizer adds."""
    n_dimensions: int

    @property
    def is_normalised(self) -> bool:
        """Whether vectors are brought to length 1."""
        return self.files.is_normalised

    def prompt(self, of: str) -> str:
        """What its files put before a `query`, a `document` or, as `text`, what is said to be neither."""
        for name in (*_PROMPT_NAMES.get(of, ()), self.files.default_prompt or ""):
            if name in self.files.prompts:
                return self.files.prompts[name]
        return ""

    def identity(self) -> Mapping[str, Any]:
        """What its vectors follow from beside the texts."""
        reading = asdict(self.files)
        del reading["prompts"], reading["default_prompt"]  # they are part of the template
        return {
            "model_sha256": self.model.sha256(),
            "tokenizer_sha256": self.model.tokenizer_sha256(),
            **reading,
            "pooling": self.pooling,
            "is_causal": self.is_causal,
            "max_tokens": self.max_tokens,
        }

    def weights(self, *, dtype: str, device: str) -> Any:
        """The model without any head, in eval mode, in this dtype on this device.

        Raises
        ------
        ValueError
            If its files lack one of its weights, or one isn't finite.
        """
        from transformers import AutoModel

        from raypipe.models.weights import load_weights

        self.model.check_tensors()
        no_pooler: dict[str, Any] = {"add_pooling_layer": False}
        has_pooler = self.model.config().model_type in ("bert", "roberta", "mpnet", "xlm-roberta")
        return load_weights(
            AutoModel, self.model.folder, ref=self.model.ref, dtype=dtype, device=device, unused=_HEADS,
            **(no_pooler if has_pooler else {}),
        )  # fmt: skip


def open_encoder(
    ref: str, *, pooling: Pooling | None = None, is_causal: bool | None = None, max_tokens: int | None = None
) -> Encoder:
    """The encoder behind a reference, brought to this machine: a folder, `org/name[@revision]` or `mini`.

    Settings are for what its files leave open; None: as they say. Without modules.json an encoder is read out by the
    mean, as sentence-transformers does.

    Raises
    ------
    ValueError
        If there is none, it is of an architecture or has a module that isn't computed here, or a setting contradicts
        its files.
    """
    model = open_model(ref)
    config, files = model.config(), sentence_files(model)
    if config.model_type not in (*KINDS, *ARCHITECTURES):
        raise ValueError(
            f"encoder {ref!r} must be one of {', '.join((*KINDS, *ARCHITECTURES))}, got {config.model_type!r}."
        )
    is_decoder = config.model_type in ARCHITECTURES
    found = Encoder(
        model, files, _pooling(ref, files, pooling, is_decoder=is_decoder),
        _causality(ref, config, is_causal, is_decoder=is_decoder),
        _length(ref, files, _reach(config), max_tokens), int(config.hidden_size),
    )  # fmt: skip
    if is_decoder:
        check_architecture(config, max_tokens=found.max_tokens)
    elif config.model_type == "mpnet" and config.pad_token_id != 1:
        raise ValueError(f"encoder {ref!r} must pad with the id 1, from which MPNet counts, got {config.pad_token_id}.")
    elif (positions := getattr(config, "position_embedding_type", None) or "absolute") != "absolute":
        raise ValueError(f"encoder {ref!r} must have absolute positions, got {positions!r}.")
    return found


def _pooling(ref: str, files: SentenceFiles, asked: Pooling | None, *, is_decoder: bool) -> Pooling:
    if asked and files.pooling and asked != files.pooling:
        raise ValueError(
            f"pooling must be {files.pooling!r}, as the files of encoder {ref!r} say, got {asked!r}; leave it out."
        )
    found = asked or files.pooling
    if found is None and is_decoder:
        raise ValueError(f"pooling must be given for {ref!r}: mean, or last; its files don't say how it is read out.")
    return found or "mean"


def _causality(ref: str, config: Any, asked: bool | None, *, is_decoder: bool) -> bool:
    if not is_decoder:
        if asked:
            raise ValueError(f"encoder {ref!r} isn't causal: every token of a {config.model_type} sees all; leave it.")
        return False
    said = getattr(config, "is_causal", None)
    if asked is not None and said is not None and asked != said:
        raise ValueError(f"is_causal must be {said}, as config.json of {ref!r} says, got {asked}; leave it out.")
    return next((one for one in (asked, said) if one is not None), True)


def _length(ref: str, files: SentenceFiles, reach: int, asked: int | None) -> int:
    if asked is not None and not 1 <= asked <= reach:
        raise ValueError(f"max_tokens must be between 1 and the {reach} positions of encoder {ref!r}, got {asked}.")
    return asked or min(reach, files.max_tokens or reach)


def _reach(config: Any) -> int:
    """Tokens of the longest text that it has positions for."""
    return int(config.max_position_embeddings) - first_position(config)


def first_position(config: Any) -> int:
    """The position of a text's first token."""
    return int(config.pad_token_id) + 1 if config.model_type in _COUNT_FROM_PADDING else 0
