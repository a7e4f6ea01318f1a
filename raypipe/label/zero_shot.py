"""Zero-shot classes by a causal LM: how much likelier a text makes each class's name.

Source: A. Holtzman et al., Surface Form Competition, EMNLP 2021, section 3 (PMI with a domain premise): the likelihood
of the name after the text, less that after the prompt alone, so that a common name isn't an answer to everything.
Departures: the prompt alone has "N/A" for its text.
Cost: one packed pass over each text and all names.
"""

from collections.abc import Sequence

import numpy as np

from raypipe.lm.branches import grown, losses_of_ways
from raypipe.lm.decoder import Decoder
from raypipe.models.boundary import scored_way
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import Vocabulary, open_vocabulary

PLACE, NOTHING = "{text}", "N/A"
PROMPT = "{text}\n\nThis text is about"


def name_likelihoods(
    texts: Sequence[str], names: Sequence[str], *, model: str, prompt: str = PROMPT, max_tokens: int = 512
) -> np.ndarray:
    """Nats [n, k] by which each text makes each name likelier after the prompt.

    Raises
    ------
    ValueError
        If the prompt has no place for the text, or a text with its prompt is longer than the window.
    """
    if prompt.count(PLACE) != 1 or not names:
        raise ValueError(f"prompt must hold {PLACE} once, and there must be names; got {prompt!r}, {len(names)} names.")
    vocabulary = open_vocabulary(model)
    rows = [_ways(vocabulary, prompt.replace(PLACE, text), names, max_tokens) for text in (*texts, NOTHING)]
    decoder = Decoder(open_model(model).weights(dtype="float32", device="cpu"), max_tokens=max_tokens)
    branches = [grown([ids for ids, _ in row], [scored for _, scored in row]) for row in rows]
    losses = -np.stack(losses_of_ways(decoder, branches, max_tokens=max_tokens, budget=2 * max_tokens))
    found: np.ndarray = losses[:-1] - losses[-1]
    return found


def _ways(
    vocabulary: Vocabulary, context: str, names: Sequence[str], max_tokens: int
) -> list[tuple[list[int], np.ndarray]]:
    """Ids of a text with each name, and which are the name's."""
    both = [scored_way(vocabulary, context, f" {name}") for name in names]
    if (longest := max(len(one.ids) for one in both)) > max_tokens:
        raise ValueError(
            f"a text with its prompt must fit into max_tokens ({max_tokens}), one has {longest}: {context[:80]!r}; cut "
            "it, or raise max_tokens."
        )
    return [(one.ids, np.asarray(one.is_second)) for one in both]
