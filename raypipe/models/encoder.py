"""Open a text encoder: the weights of a folder or hub id, and how its token states become one vector.

Safe as causal models are: safetensors only, no remote code, every weight there and finite. What to do with the states
stands in the folder's own files, as sentence-transformers writes them: modules.json, 1_Pooling/config.json and
sentence_bert_config.json. A module that isn't computed here is refused by name, never left out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from raypipe.models.causal import LocalModel, open_model

if TYPE_CHECKING:
    import numpy as np
    import torch

KINDS = ("bert", "roberta", "mpnet", "modernbert", "xlm-roberta")
"""transformers model types."""
_COUNT_FROM_PADDING = ("roberta", "mpnet", "xlm-roberta")
"""Their first position is the one after the padding token's id."""
_HEADS = (r"(^|\.)pooler\.", r"^cls\.", r"^lm_head\.", r"^head\.", r"^decoder\.")
"""What was trained above the states and isn't used."""

Pooling = Literal["mean", "cls", "last"]
_MODES: Mapping[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}


@dataclass(frozen=True)
class Encoder:
    """A model in a folder, and how it is read out."""

    model: LocalModel
    pooling: Pooling
    is_normalised: bool
    """Whether vectors are brought to length 1."""
    max_tokens: int
    """Longest text, with the tokens that the tokenizer adds."""
    lowers_case: bool
    """Whether texts are to be put in lower case before they are tokenised."""

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
        no_pooler: dict[str, Any] = (
            {} if self.model.config().model_type == "modernbert" else {"add_pooling_layer": False}
        )
        return load_weights(
            AutoModel, self.model.folder, ref=self.model.ref, dtype=dtype, device=device, unused=_HEADS, **no_pooler
        )

    def embed(self, weights: Any, documents: Sequence["np.ndarray"]) -> "torch.Tensor":
        """Vectors [n, d] float32 of documents ([t_i] token ids each), padded on the right to the longest.

        Raises
        ------
        ValueError
            If a document has no token, or more than `max_tokens`.
        """
        import torch

        lengths = [len(document) for document in documents]
        if not lengths:
            return torch.empty(0, weights.config.hidden_size)
        if min(lengths) < 1 or max(lengths) > self.max_tokens:
            raise ValueError(
                f"documents must have 1 to {self.max_tokens} tokens, got one of {min(lengths)} and one of "
                f"{max(lengths)}."
            )
        ids = torch.full((len(lengths), max(lengths)), weights.config.pad_token_id or 0)
        for row, document in enumerate(documents):
            ids[row, : len(document)] = torch.as_tensor(document)
        mask = torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]
        ids, mask = ids.to(weights.device), mask.to(weights.device)
        with torch.inference_mode():
            states = weights(input_ids=ids, attention_mask=mask.long()).last_hidden_state
            return pool(states, mask, pooling=self.pooling, normalise=self.is_normalised)


def pool(states: "torch.Tensor", mask: "torch.Tensor", *, pooling: Pooling, normalise: bool) -> "torch.Tensor":
    """One vector a document, float32: states [n, t, d], mask [n, t] bool, true at least once a row -> [n, d]."""
    import torch

    states = states.float()
    if pooling == "mean":
        vectors = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    else:
        at = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        is_cls = pooling == "cls"  # the first token, wherever padding stands
        found = at.masked_fill(~mask, mask.shape[1]).amin(1) if is_cls else at.masked_fill(~mask, -1).amax(1)
        vectors = states[torch.arange(len(states), device=states.device), found]
    return torch.nn.functional.normalize(vectors, dim=1) if normalise else vectors


def open_encoder(ref: str) -> Encoder:
    """The encoder behind a reference, brought to this machine: a folder or `org/name[@revision]`.

    A folder without modules.json is read out by the mean, as sentence-transformers does.

    Raises
    ------
    ValueError
        If there is none, it is of an architecture or has a module that isn't computed here.
    """
    model = open_model(ref)
    config = model.config()
    if config.model_type not in KINDS:
        raise ValueError(f"encoder {ref!r} must be one of {', '.join(KINDS)}, got {config.model_type!r}.")
    modules = _modules(model)
    pooling: Pooling = _pooling(model, modules["Pooling"]) if "Pooling" in modules else "mean"
    sentence = _read(model, "sentence_bert_config.json") if _has(model, "sentence_bert_config.json") else {}
    reach = int(config.max_position_embeddings)
    if config.model_type in _COUNT_FROM_PADDING:
        reach -= int(config.pad_token_id) + 1
    longest = min(reach, int(sentence.get("max_seq_length") or reach))
    return Encoder(model, pooling, "Normalize" in modules, longest, bool(sentence.get("do_lower_case")))


def _modules(model: LocalModel) -> dict[str, str]:
    """Name of the module's class -> its folder, in order."""
    if not _has(model, "modules.json"):
        return {}
    try:
        modules = {str(one["type"]).rpartition(".")[2]: str(one["path"]) for one in _read(model, "modules.json")}
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"encoder {model.ref!r} must have a modules.json with type and path of each module."
        ) from error
    order = [["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]]
    if list(modules) not in order or modules["Transformer"] or "/" in modules["Pooling"] or ".." in modules["Pooling"]:
        raise ValueError(
            f"encoder {model.ref!r} must have the modules Transformer in its own folder, Pooling in one inside it and "
            f"perhaps Normalize, in this order, got {modules}."
        )
    return modules


def _pooling(model: LocalModel, folder: str) -> Pooling:
    settings = _read(model, f"{folder}/config.json")
    modes = [name for name, is_on in settings.items() if name.startswith("pooling_mode_") and is_on is True]
    if "pooling_mode" in settings:  # the later way to write it
        named = settings["pooling_mode"]
        found = {"mean": "mean", "cls": "cls", "lasttoken": "last"}.get(named) if isinstance(named, str) else None
        modes = [name for name, mode in _MODES.items() if mode == found] or [str(named)]
    if len(modes) != 1 or modes[0] not in _MODES:
        raise ValueError(
            f"encoder {model.ref!r} must pool by one of {', '.join(_MODES)}, got {', '.join(modes) or None}."
        )
    return _MODES[modes[0]]


def _has(model: LocalModel, name: str) -> bool:
    return (model.folder / name).is_file()


def _read(model: LocalModel, name: str) -> Any:
    try:
        return json.loads((model.folder / name).read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"encoder {model.ref!r} must have a {name} that can be read: {error}") from error
