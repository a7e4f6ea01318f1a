"""Probes for retrieval heads: look up the value of a random key in a JSON object, after three worked examples.

Source: AttentionInfluence, arXiv 2505.07293, section 3.1 and appendix (800 samples of up to 4,096 tokens; keys of 32
random characters; values are sentences of at most 30 tokens); the task follows CLongEval (Qiu et al. 2024).
Departures: probes are shorter and fewer by default; the top heads of two halves agree long before 800. A probe is put
together from pieces tokenised apart, so that a value has the same tokens in the context and in the answer.
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

KEY_LENGTH = 32
MAX_VALUE_TOKENS = 30
MIN_VALUE_TOKENS = 6
N_SHOTS = 3
_INSTRUCTION = (
    "Extract the value for a given key from the JSON object below. Answer with the value and nothing else.\n\n"
)


@dataclass(frozen=True, kw_only=True)
class Probing:
    """How retrieval heads are looked for."""

    heads_share: float = 0.05
    """Share of all heads that is chosen."""
    n_probes: int = 64
    """Probes that score the heads; the paper takes 800."""
    probe_tokens: int = 768
    """Tokens of a probe; the paper's have 4,096."""
    n_draws: int = 12
    """Random draws of as many heads from the same layers, the control, at least 8; up to 48 where the verdict needs
    them."""


@dataclass(frozen=True)
class RetrievalProbe:
    """A prompt with its answer: token ids, where the answer stands, and where in the context it is found."""

    ids: np.ndarray  # [t] int64
    answer: np.ndarray  # [a] positions of the answer's tokens
    span: tuple[int, int]
    """Positions of the same value in the JSON object: [start, stop)."""
    other: np.ndarray | None = None
    """[stop - start] tokens of another value, for the same probe without an answer in its context."""

    def without_answer(self) -> "RetrievalProbe":
        """The probe with another value under the key that is asked for: what it says now, it doesn't retrieve.

        Raises
        ------
        ValueError
            If it has no other value.
        """
        if self.other is None:
            raise ValueError("a probe without an answer needs another value, got none.")
        ids = self.ids.copy()
        ids[slice(*self.span)] = self.other
        return RetrievalProbe(ids, self.answer, self.span)


def sentences(texts: Sequence[str]) -> list[str]:
    """Sentences of plain words that can be values: distinct, in order of appearance."""
    found: dict[str, None] = {}
    for text in texts:
        for sentence in re.split(r"(?<=[.!?])\s+", " ".join(text.split())):
            if re.fullmatch(r"[A-Z][A-Za-z ,;'-]{30,140}[.!?]", sentence):
                found.setdefault(sentence)
    return list(found)


def make_probes(tokenizer: Any, values: Sequence[str], *, n: int, max_tokens: int, seed: int) -> list[RetrievalProbe]:
    """`n` probes, each as close to max_tokens as whole pairs allow, prompt plus answer.

    `tokenizer` is the engine of a Vocabulary, its `backend`.

    Raises
    ------
    ValueError
        If there are too few sentences for one probe, or max_tokens holds no five pairs.
    """
    rng = np.random.default_rng(seed)
    pieces = [ids for value in values if MIN_VALUE_TOKENS <= len(ids := encode(tokenizer, value)) <= MAX_VALUE_TOKENS]
    if len(pieces) < 40:
        raise ValueError(
            f"probes need at least 40 plain sentences of {MIN_VALUE_TOKENS} to {MAX_VALUE_TOKENS} tokens, got "
            f"{len(pieces)}; give a --corpus with more prose."
        )
    return [_probe(tokenizer, pieces, rng, max_tokens) for _ in range(n)]


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a piece, without the tokenizer's BOS."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _probe(tokenizer: Any, pieces: list[list[int]], rng: np.random.Generator, max_tokens: int) -> RetrievalProbe:
    order = rng.permutation(len(pieces))
    bos: list[int] = tokenizer.encode("", add_special_tokens=True).ids
    head = bos + encode(tokenizer, _INSTRUCTION + "{")
    entries: list[tuple[str, list[int], list[int]]] = []  # key, the tokens before the value, the value
    size, longest = len(head) + 3, 0
    for index in order:
        key = "".join(rng.choice(list(string.ascii_letters + string.digits), KEY_LENGTH))
        before = encode(tokenizer, f'\n  "hash_key {key}": "')
        value = pieces[index]
        entry = len(before) + len(value) + 2
        longest = max(longest, entry + 12)  # what a question with its answer takes: the key, the value, a few words
        if size + entry + (N_SHOTS + 1) * longest > max_tokens:
            break
        entries.append((key, before, value))
        size += entry
    if len(entries) < N_SHOTS + 2:
        raise ValueError(
            f"probe tokens must hold at least {N_SHOTS + 2} pairs, got {len(entries)} in {max_tokens} tokens."
        )
    return _assemble(tokenizer, head, entries, rng)


def _assemble(
    tokenizer: Any, head: list[int], entries: list[tuple[str, list[int], list[int]]], rng: np.random.Generator
) -> RetrievalProbe:
    ids, spans = list(head), []
    for _, before, value in entries:
        ids += before
        spans.append((len(ids), len(ids) + len(value)))
        ids += value + encode(tokenizer, '",')
    ids += encode(tokenizer, "\n}\n")
    asked = rng.choice(len(entries), N_SHOTS + 1, replace=False)
    answer = np.zeros(0, dtype=np.int64)
    for index in asked:
        key, _, value = entries[index]
        ids += encode(tokenizer, f'\nhash_key {key}\nanswer: "')
        answer = np.arange(len(ids), len(ids) + len(value))
        ids += value
        if index != asked[-1]:
            ids += encode(tokenizer, '"\n')
    unasked = next(at for at in range(len(entries)) if at not in asked)
    start, stop = spans[asked[-1]]
    other = np.resize(np.array(entries[unasked][2], dtype=np.int64), stop - start)
    return RetrievalProbe(np.array(ids, dtype=np.int64), answer, (start, stop), other)
