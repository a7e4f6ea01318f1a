"""Conversations to token ids: what the assistant says, and the token that ends it, is learnt.

The text is the tokenizer's chat template's, and its control strings are control tokens, as whoever asks the model later
will have them; the same for every row, whatever came before it.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from raypipe.models.tokenizer import Vocabulary

ROLES = ("system", "developer", "user", "assistant", "tool", "function", "ipython")
"""Who may speak; the last three are names for what a tool gave back."""
CHANGES = "the chat template changes earlier messages, so that answers can't be told from the rest"
Message = dict[str, Any]


def conversation(messages: object, vocabulary: Vocabulary) -> tuple[list[int], np.ndarray] | str:
    """Ids of a conversation [t] and which are learnt [t] bool, or why nothing can be learnt from it.

    Learnt is what follows the template's prompt to the assistant, up to the end of its turn, turn by turn.

    Raises
    ------
    ValueError
        If the tokenizer has no template.
    """
    from jinja2 import TemplateError

    if not vocabulary.tokenizer.chat_template:
        raise ValueError("messages need a tokenizer with a chat template; give prompt and answer columns instead.")
    checked = checked_messages(messages)
    if isinstance(checked, str):
        return checked
    try:
        text, spans = _rendered(checked, vocabulary.tokenizer)
    except (TemplateError, TypeError, ValueError) as error:  # what templates raise of rows that they don't like
        return f"the chat template refuses it: {str(error)[:100] or type(error).__name__}"
    if spans is None:
        return CHANGES
    encoding = vocabulary.rendered.encode(text, add_special_tokens=False)
    begins, stops = np.array(encoding.offsets, np.int64).reshape(-1, 2).T
    marked = np.zeros(len(begins), bool)
    for start, stop in spans:
        marked |= (stops > start) & (begins < stop)
    return list(encoding.ids), marked


def checked_messages(messages: object) -> list[Message] | str:
    """The messages with their content as one text, or what is wrong with them."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        return "messages is null" if messages is None else f"messages isn't a list, but {type(messages).__name__}"
    checked: list[Message] = []
    for message in messages:
        one = _checked(message)
        if isinstance(one, str):
            return one
        checked.append(one)
    return _wrong_turns([message["role"] for message in checked]) or checked


def _checked(message: object) -> Message | str:
    if not isinstance(message, Mapping):
        return "a message isn't an object"
    role = message.get("role")
    if not isinstance(role, str):
        return "a message without a role"
    if role not in ROLES:
        return f"role {role[:40]!r} isn't one of {', '.join(ROLES)}"
    content = _as_text(message.get("content"))
    if content is None and not message.get("tool_calls"):
        return "a message without content that is text"
    return {**message, "content": content or ""}


def _as_text(content: object) -> str | None:
    """Content that may come in parts, {type: text, text: ...} or strings; None if something in it is no text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence) or isinstance(content, bytes) or not content:
        return None
    parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts) if len(texts) == len(parts) else None


def _wrong_turns(roles: list[str]) -> str | None:
    """What is wrong with who speaks when: user and assistant take turns, and the user begins."""
    turns = [role for role in roles if role not in ("system", "developer")]
    if "assistant" not in turns:
        return "no answer"
    if turns[0] == "assistant":
        return "the assistant speaks first"
    if twice := [one for one, after in pairwise(turns) if one == after and one in ("user", "assistant")]:
        return f"two messages of the {twice[0]}, one after the other"
    return None


def _rendered(messages: list[Message], tokenizer: Any) -> tuple[str, list[tuple[int, int]] | None]:
    """The whole text, and where in it the assistant speaks; None if it isn't one text that grows by messages."""
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    spans = []
    for at, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start = tokenizer.apply_chat_template(messages[:at], tokenize=False, add_generation_prompt=True)
        stop = tokenizer.apply_chat_template(messages[: at + 1], tokenize=False)
        if not (text.startswith(stop) and stop.startswith(start)):
            return text, None
        spans.append((len(start), len(stop.rstrip("\n"))))
    return text, spans
