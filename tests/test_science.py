"""Controls on the embedded model and sample: what influence must and must not do; most are marked slow."""

import json

import numpy as np
import pytest

from raypipe import sample
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.heads.heads_file import chosen_heads, parse_heads
from raypipe.score.statistics.influence import Influence
from raypipe.score.texts import score_with

WINDOW = 192


def texts_of(domain, n, *, characters=450):
    lines = (sample.corpus_folder() / f"{domain}.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line)["text"] for line in lines]
    return [text[: max(700, characters)] for text in found if len(text) > characters][:n]


@pytest.fixture(scope="module")
def op():
    from raypipe.models.causal import open_model

    record = parse_heads(sample.heads_file().read_bytes(), where="the embedded heads file")
    heads = chosen_heads(
        record, sha256=open_model("sample").sha256(), allow_weak=False, where="the embedded heads file"
    )
    made = ForwardPass(model="sample", statistics=(Influence(),), heads=heads, max_tokens=1024, token_budget=2048)
    made.setup(n_threads=2)  # rotary tables reach 1,024 tokens
    made.max_tokens = WINDOW
    return made


def influence(op, texts, *, heads=None):
    """Influence of each text [n]."""
    kept, op.heads = op.heads, op.heads if heads is None else heads
    try:
        return score_with(op, texts)["influence"].to_numpy()
    finally:
        op.heads = kept


def shuffled(text, rng):
    words = text.split()
    return " ".join(rng.permutation(words))


@pytest.mark.slow
def test_influence_is_zero_with_no_head_neutralised(op):
    assert influence(op, texts_of("encyclopedia", 4), heads=()).tolist() == [0.0] * 4


@pytest.mark.slow
def test_shuffled_words_have_clearly_less_influence(op):
    rng = np.random.default_rng(0)
    texts = texts_of("tech_docs", 4)
    plain, mixed = influence(op, texts), influence(op, [shuffled(text, rng) for text in texts])
    assert np.median(plain) > 1.3 * np.median(mixed)


@pytest.mark.slow
def test_a_second_half_that_repeats_the_first_has_much_influence(op):
    texts = [text[:300] for text in texts_of("fiction", 4)]
    assert influence(op, [f"{text}\n{text}" for text in texts]).min() >= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["fiction", "tech_docs", "encyclopedia", "python_code"])
def test_shuffling_divides_influence_in_every_domain(op, domain):
    """Seen with another program on this model: divided by 1.6 (fiction) to 3 (code)."""
    rng = np.random.default_rng(0)
    texts = texts_of(domain, 10)
    ratio = np.median(influence(op, texts)) / np.median(influence(op, [shuffled(text, rng) for text in texts]))
    print(f"{domain}: influence over that of shuffled words {ratio:.2f}")
    assert ratio > 1.3


@pytest.mark.slow
def test_repetition_has_an_influence_of_065_and_more(op):
    """Seen with another program on this model: .67 to .99. The repeated half must fit into the window whole."""
    domains = ("fiction", "encyclopedia", "tech_docs")
    texts = [text for domain in domains for text in texts_of(domain, 4, characters=900)]
    op.max_tokens, kept = 900, op.max_tokens
    try:
        found = influence(op, [f"{text}\n{text}" for text in texts])
    finally:
        op.max_tokens = kept
    print(f"influence of repeated texts: median {np.median(found):.2f}, lowest {found.min():.2f}")
    assert found.min() >= 0.65


@pytest.mark.slow
def test_retrieval_heads_matter_more_than_random_heads_of_the_same_layers(op):
    record = parse_heads(sample.heads_file().read_bytes(), where="the embedded heads file")
    texts = [text for domain in ("data_table", "python_code", "tech_docs") for text in texts_of(domain, 5)]
    chosen = np.median(influence(op, texts))
    draws = [
        np.median(influence(op, texts, heads=tuple(map(tuple, draw["heads"]))))
        for draw in record["causal_check"]["draws"]
    ]
    print(f"median influence: retrieval heads {chosen:.3f}, random draws {np.round(draws, 3)}")
    assert chosen > 1.5 * np.median(draws)
