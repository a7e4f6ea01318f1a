"""From a model to a record of its retrieval heads: probes, scores, the choice, and the causal check."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from raypipe.lm.decoder import Decoder
from raypipe.lm.heads import Head
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.score.heads.causal_check import WRECKS_PROSE, causal_check, prose_losses
from raypipe.score.heads.probes import Probing, make_probes, sentences
from raypipe.score.heads.retrieval_heads import score_heads, top_heads
from raypipe.score.heads.verdict import MIN_DRAWS
from raypipe.score.tokens import windows

PROSE_DOCUMENTS, PROSE_TOKENS = 12, 128
"""Documents of plain prose in the causal check, and tokens of each."""
CHECK_PROBES = 16
"""Fresh probes for the causal check."""


def find_heads(
    model: str, texts: Sequence[str], *, probing: Probing, seed: int, dtype: str, device: str, token_budget: int = 4096
) -> dict[str, Any]:
    """The record of a heads file (design: OUT/heads/NAME.json), passed or not; texts give values and prose.

    `seed`: of keys, values, orders and draws.

    Raises
    ------
    ValueError
        If the texts hold too little prose, or the model can't be used.
    """
    if probing.n_draws < MIN_DRAWS:
        raise ValueError(f"n_draws must be at least {MIN_DRAWS}, got {probing.n_draws}.")
    opened = open_model(model)
    opened.check()
    check_architecture(opened.config(), max_tokens=probing.probe_tokens)
    decoder = Decoder(opened.weights(dtype=dtype, device=device), max_tokens=probing.probe_tokens)
    values, prose = sentences(texts[::2]), _prose(texts[1::2], model)
    half = len(values) // 2  # the check's values are other sentences than the search's
    tokenizer, size = open_vocabulary(model).backend, probing.probe_tokens
    probes = make_probes(tokenizer, values[:half], n=probing.n_probes, max_tokens=size, seed=seed)
    fresh = make_probes(tokenizer, values[half:], n=CHECK_PROBES, max_tokens=size, seed=seed + 1)
    scores = score_heads(decoder, probes, token_budget=token_budget)
    chosen, left_out = _choose(decoder, scores.strict, prose, probing.heads_share, token_budget)
    check = causal_check(decoder, chosen, fresh, prose, n_draws=probing.n_draws, seed=seed, token_budget=token_budget)
    alone = sorted({(layer, head) for draw in check["draws"] for layer, head in draw["heads"]})
    rises = prose_losses(decoder, [[head] for head in alone], prose, token_budget=token_budget)
    config = opened.config()
    return {
        "model": {
            "ref": model,
            "architecture": config.model_type,
            "sha256": opened.sha256(),
            "revision": opened.revision,
            "n_layers": decoder.shape.n_layers,
            "n_heads": decoder.shape.n_heads,
            "n_kv_heads": decoder.shape.n_kv_heads,
        },
        "probes": {
            "n_probes": probing.n_probes,
            "n_check_probes": CHECK_PROBES,
            "max_tokens": probing.probe_tokens,
            "prose_tokens": PROSE_TOKENS,
            "share": probing.heads_share,
            "n_draws": probing.n_draws,
            "seed": seed,
            "dtype": dtype,
            "n_values": len(values),
            "n_prose": len(prose),
        },
        "share": probing.heads_share,
        "chosen": [list(head) for head in chosen],
        "left_out": left_out,
        "wreckers": [list(head) for head, rise in zip(alone, rises[1:] - rises[0], strict=True) if rise > WRECKS_PROSE],
        "causal_check": check,
        "retrieval_scores": scores.strict.round(5).tolist(),
        "lax_scores": scores.lax.round(5).tolist(),
    }


def _prose(texts: Sequence[str], model: str) -> list[np.ndarray]:
    found = [window.ids for window in windows(texts[: 8 * PROSE_DOCUMENTS], model=model, max_tokens=PROSE_TOKENS)]
    whole = [ids for ids in found if len(ids) == PROSE_TOKENS][:PROSE_DOCUMENTS]
    if len(whole) < PROSE_DOCUMENTS // 2:
        raise ValueError(
            f"the causal check needs at least {PROSE_DOCUMENTS // 2} documents of {PROSE_TOKENS} tokens, got "
            f"{len(whole)}; give a --corpus with longer documents."
        )
    return whole


def _choose(
    decoder: Decoder, scores: np.ndarray, prose: list[np.ndarray], share: float, token_budget: int
) -> tuple[list[Head], list[dict[str, Any]]]:
    """The best heads but those that alone wreck prose, which the next best replace."""
    wanted = top_heads(scores, share=share)
    ranked = top_heads(scores, share=1.0)
    chosen: list[Head] = []
    left_out: list[dict[str, Any]] = []
    candidates = wanted
    while candidates:
        rises = prose_losses(decoder, [[head] for head in candidates], prose, token_budget=token_budget)
        for head, rise in zip(candidates, rises[1:] - rises[0], strict=True):
            if rise <= WRECKS_PROSE:
                chosen.append(head)
                continue
            why = f"neutralising it alone raises the loss of prose by {rise:.2f} nats, above {WRECKS_PROSE}"
            left_out.append({"head": list(head), "prose_rise": float(rise), "why": why})
        seen = len(chosen) + len(left_out)
        candidates = ranked[seen : seen + len(wanted) - len(chosen)]
    return chosen, left_out
