"""What sentence-transformers' files in a model's folder say of reading it out: modules.json and what it names.

A module, a pooling or a task that isn't computed here is refused by name, never left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from raypipe.models.causal import LocalModel

Pooling = Literal["mean", "cls", "last"]
MODULES, SENTENCE, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
PACKAGE = "sentence_transformers.models"
"""Of its modules, as they are named in files."""
_MODES: Mapping[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_LATER: Mapping[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}


@dataclass(frozen=True)
class SentenceFiles:
    """How a folder's own files read it out."""

    pooling: Pooling | None = None
    """None: they don't say."""
    is_normalised: bool = False
    """Whether vectors are brought to length 1."""
    max_tokens: int | None = None
    """Longest text, with the tokens that the tokenizer adds; None: they don't say."""
    lowers_case: bool = False
    """Whether texts are put in lower case before they are tokenised."""
    pools_prompt: bool = True
    """Whether the tokens of a prompt count in the pooling."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What stands before a text, by what the text is."""
    default_prompt: str | None = None
    """The name of the prompt of a text that isn't said to be anything."""


def sentence_files(model: LocalModel) -> SentenceFiles:
    """What they say; a folder without any says nothing.

    Raises
    ------
    ValueError
        If they name a module, a pooling or a task that isn't computed here, or can't be read.
    """
    modules = _modules(model)
    sentence, said = _read(model, SENTENCE), _read(model, PROMPTS)
    task = sentence.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise ValueError(f"encoder {model.ref!r} must be made for 'feature-extraction', got {task!r} in {SENTENCE}.")
    pooling = _read(model, f"{modules['Pooling']}/config.json") if "Pooling" in modules else {}
    return SentenceFiles(
        pooling=_pooling(model, pooling) if "Pooling" in modules else None,
        is_normalised="Normalize" in modules,
        max_tokens=_max_tokens(sentence, _read(model, "tokenizer_config.json")),
        lowers_case=bool(sentence.get("do_lower_case")),
        pools_prompt=bool(pooling.get("include_prompt", True)),
        prompts={str(name): str(prompt) for name, prompt in (said.get("prompts") or {}).items()},
        default_prompt=said.get("default_prompt_name"),
    )


def written(
    *, n_dimensions: int, pooling: Pooling, is_normalised: bool, max_tokens: int, lowers_case: bool,
    prompts: Mapping[str, str],
) -> dict[str, bytes]:  # fmt: skip
    """Name -> content of the files that say so, as sentence-transformers since 2.0 reads them."""
    kinds = ["Transformer", "Pooling", *(["Normalize"] if is_normalised else [])]
    modules = [
        {"idx": at, "name": str(at), "path": f"{at}_{kind}" if at else "", "type": f"{PACKAGE}.{kind}"}
        for at, kind in enumerate(kinds)
    ]
    modes = {name: mode == pooling for name, mode in _MODES.items()}
    files = {
        MODULES: modules,
        "1_Pooling/config.json": {"word_embedding_dimension": n_dimensions, **modes},
        SENTENCE: {"max_seq_length": max_tokens, "do_lower_case": lowers_case},
        PROMPTS: {"prompts": dict(prompts), "default_prompt_name": None},
    }
    return {name: json.dumps(content, indent=1).encode() for name, content in files.items()}


def _max_tokens(sentence: dict[str, Any], tokenizer: dict[str, Any]) -> int | None:
    found = sentence.get("max_seq_length") or tokenizer.get("model_max_length")
    return int(found) if found else None


def _modules(model: LocalModel) -> dict[str, str]:
    """Name of the module's class -> its folder, in order."""
    listed = _read(model, MODULES)
    if not listed:
        return {}
    try:
        modules = {str(one["type"]).rpartition(".")[2]: str(one["path"]) for one in listed}
    except (KeyError, TypeError) as error:
        raise ValueError(f"encoder {model.ref!r} must have a {MODULES} with type and path of each module.") from error
    order = [["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]]
    if list(modules) not in order or modules["Transformer"] or "/" in modules["Pooling"] or ".." in modules["Pooling"]:
        raise ValueError(
            f"encoder {model.ref!r} must have the modules Transformer in its own folder, Pooling in one inside it and "
            f"perhaps Normalize, in this order, got {modules}."
        )
    return modules


def _pooling(model: LocalModel, settings: dict[str, Any]) -> Pooling:
    modes = [name for name, is_on in settings.items() if name.startswith("pooling_mode_") and is_on is True]
    if "pooling_mode" in settings:  # the later way to write it
        named = settings["pooling_mode"]
        found = _LATER.get(named) if isinstance(named, str) else None
        modes = [name for name, mode in _MODES.items() if mode == found] or [str(named)]
    if len(modes) != 1 or modes[0] not in _MODES:
        raise ValueError(
            f"encoder {model.ref!r} must pool by one of {', '.join(_MODES)}, got {', '.join(modes) or None}."
        )
    return _MODES[modes[0]]


def _read(model: LocalModel, name: str) -> Any:
    """What a JSON file of the folder holds; {} if it isn't there, unless modules.json names it."""
    path = model.folder / name
    if not path.is_file() and "/" not in name:
        return {}
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"encoder {model.ref!r} must have a {name} that can be read: {error}") from error
