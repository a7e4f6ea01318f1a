"""AttentionInfluence: heads that copy, found on probes, and what neutralising them does to texts.

The paper masks its heads on benchmarks and ranks documents by the loss that rises; here the same is asked of the
sample model on made probes and the sample's prose, with random heads of the same layers as the control. Bars come from
the dossier's measurements of this model by two other programs (sections f and "measured").
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from raypipe import sample
from raypipe.evaluate.claims import Claim
from raypipe.lm.decoder import Decoder
from raypipe.lm.heads import Head
from raypipe.models.causal import open_model
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.runs.trials import Metrics
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.heads.causal_check import answers_of, draw_heads, effects_of, prose_losses
from raypipe.score.heads.probes import RetrievalProbe, make_probes, sentences
from raypipe.score.heads.retrieval_heads import score_heads, top_heads
from raypipe.score.statistics.influence import Influence
from raypipe.storage.folder import Folder

from .study import Study

TOKENS, BUDGET = 768, 4096
PIECE = 400
"""Characters of a text that is scored."""


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """One head set on one draw of probes and texts: nats a token on answers and prose, influence of changed texts."""
    rng, model = np.random.default_rng(seed), settings["model"]
    tokenizer, decoder = open_vocabulary(sample.SAMPLE).backend, _decoder(model)
    texts = [text for text in _texts() if len(text) >= 2 * PIECE and len(text.split()) > PIECE // 20]
    rng.shuffle(texts)
    chosen, fresh = _chosen(model, settings["n_probes"], settings["n_fresh"], seed)
    heads = _heads(settings["heads"], chosen, decoder.shape.n_heads, seed)
    pieces = [text[:PIECE] for text in texts[: settings["n_texts"]]]
    prose = [np.array(tokenizer.encode(piece).ids[:128]) for piece in pieces]
    answers = answers_of(decoder, [heads], fresh, token_budget=BUDGET)
    losses = prose_losses(decoder, [heads], prose, token_budget=BUDGET)
    intact, masked = effects_of(answers, losses, fresh)
    on_probes, on_prose = masked.loss - intact.loss, masked.prose_loss - intact.prose_loss
    return {
        "answer_rise": on_probes,
        "prose_rise": on_prose,
        "answer_accuracy": masked.accuracy,
        "rise_of_answers_beyond_prose": on_probes - on_prose,
        "influence": _influence(decoder, heads, pieces),
        "influence_shuffled": _influence(decoder, heads, [" ".join(rng.permutation(p.split())) for p in pieces]),
        "influence_repeated": _influence(decoder, heads, [f"{piece}\n{piece}" for piece in pieces]),
    }


@cache
def _chosen(model: str, n_probes: int, n_fresh: int, seed: int) -> tuple[list[Head], list[RetrievalProbe]]:
    """Retrieval heads, found on probes, and fresh probes with other values; the same for all arms of a seed."""
    tokenizer, values = open_vocabulary(sample.SAMPLE).backend, sentences(_texts())
    np.random.default_rng(seed).shuffle(values)
    half = len(values) // 2
    search = make_probes(tokenizer, values[:half], n=n_probes, max_tokens=TOKENS, seed=seed)
    fresh = make_probes(tokenizer, values[half:], n=n_fresh, max_tokens=TOKENS, seed=seed + 1000)
    scores = score_heads(_decoder(model), search, token_budget=BUDGET).strict
    return top_heads(scores, share=0.05), fresh


def _heads(kind: str, chosen: list[Head], n_heads: int, seed: int) -> list[Head]:
    if kind == "none":
        return []
    return chosen if kind == "retrieval" else draw_heads(chosen, n_heads=n_heads, n_draws=1, seed=seed)[0]


def _influence(decoder: Decoder, heads: list[Head], texts: Sequence[str]) -> float:
    """Median over texts."""
    op = ForwardPass(sample.SAMPLE, (Influence(),), heads=tuple(heads), max_tokens=TOKENS)
    op.decoder = decoder
    tokenizer = open_vocabulary(sample.SAMPLE).backend
    documents = [np.array(tokenizer.encode(text).ids[:TOKENS]) for text in texts]
    lengths = np.array([len(ids) - 1 for ids in documents])
    return float(np.median(Influence()(op.per_token(documents), lengths)["influence"]))


@cache
def _decoder(model: str) -> Decoder:
    """The sample's model, or a random one of a named shape, which the tests take."""
    if model == sample.SAMPLE:
        return Decoder(open_model(model).weights(dtype="float32", device="cpu"), max_tokens=TOKENS)
    vocabulary = open_vocabulary(sample.SAMPLE)
    shape = config_of(model, vocabulary_size=vocabulary.size, length=TOKENS, end=None)
    return Decoder(new_model(shape, seed=0, initialisation="normal").eval(), max_tokens=TOKENS)


@cache
def _texts() -> list[str]:
    files = sorted(sample.corpus_folder().glob("*.jsonl"))
    return [json.loads(line)["text"] for file in files for line in file.read_text(encoding="utf-8").splitlines()]


STUDY = Study(
    source="K. Hua et al., arXiv 2505.07293, section 3 and its table of masked benchmarks; dossier f, checks 2 and 3",
    trial=trial,
    arms={
        "retrieval heads": {"heads": "retrieval"},
        "random heads of the same layers": {"heads": "random"},
        "no heads": {"heads": "none"},
    },
    control="no heads",
    settings={"model": sample.SAMPLE, "n_probes": 8, "n_fresh": 4, "n_texts": 12},
    quick={"model": "tiny", "n_probes": 2, "n_fresh": 1, "n_texts": 2},
    seeds=5,
    cpus=1.0,
    claims=(
        Claim(
            sentence="Without its retrieval heads the model loses answers on fresh probes, by 1 nat a token more than "
            "without random heads",
            metric="answer_rise",
            of="retrieval heads",
            over="random heads of the same layers",
            at_least=1.0,
        ),
        Claim(
            sentence="It then says .3 less of the answers' tokens than with random heads neutralised",
            metric="answer_accuracy",
            of="retrieval heads",
            over="random heads of the same layers",
            at_least=0.3,
            lower_is_better=True,
        ),
        Claim(
            sentence="The harm is selective: beyond that to prose it is 1 nat larger than that of random heads",
            metric="rise_of_answers_beyond_prose",
            of="retrieval heads",
            over="random heads of the same layers",
            at_least=1.0,
        ),
        Claim(
            sentence="A text that repeats itself has an influence .3 above the same text once",
            metric="influence_repeated",
            of="retrieval heads",
            over="retrieval heads",
            over_metric="influence",
            at_least=0.3,
        ),
        Claim(
            sentence="Repetition raises influence by random heads less: repeated texts stand .3 above theirs",
            metric="influence_repeated",
            of="retrieval heads",
            over="random heads of the same layers",
            at_least=0.3,
        ),
        Claim(
            sentence="A text has more influence than its own words shuffled",
            metric="influence",
            of="retrieval heads",
            over="retrieval heads",
            over_metric="influence_shuffled",
        ),
        Claim(
            sentence="Influence by retrieval heads is larger than by random heads of the same layers",
            metric="influence",
            of="retrieval heads",
            over="random heads of the same layers",
        ),
        Claim(
            sentence="With no head neutralised influence is lower: nothing is measured then",
            metric="influence",
            of="retrieval heads",
            over="no heads",
            at_least=0.05,
        ),
    ),
)
