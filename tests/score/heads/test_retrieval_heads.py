import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from raypipe.lm.decoder import Decoder
from raypipe.score.heads.causal_check import answers_of, draw_heads, effects_of, prose_losses
from raypipe.score.heads.probes import RetrievalProbe, make_probes, sentences
from raypipe.score.heads.retrieval_heads import score_heads, top_heads
from tests.tiny import random_documents, reference_losses, tiny_model


@pytest.fixture
def tokenizer():
    """A byte-level tokenizer: every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    found = Tokenizer(models.BPE(vocab={sign: at for at, sign in enumerate(alphabet)}, merges=[]))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return found


@pytest.fixture
def short_values():
    return [f"Sentence {a}{b}, so." for a in "abcdefg" for b in "abcdefgh"]


def test_sentences_are_plain_and_distinct():
    text = (
        "A plain sentence that is long enough to count here. x = 3; A plain sentence that is long enough to count here."
    )
    assert sentences([text, "Too short."]) == ["A plain sentence that is long enough to count here."]


def test_a_probe_asks_for_a_value_that_stands_in_its_context(tokenizer, short_values):
    probes = make_probes(tokenizer, short_values, n=5, max_tokens=1200, seed=0)
    for probe in probes:
        start, stop = probe.span
        assert len(probe.ids) <= 1200
        assert np.array_equal(probe.ids[start:stop], probe.ids[probe.answer])
        assert probe.answer[-1] == len(probe.ids) - 1
        assert stop < probe.answer[0]


def test_a_probe_without_an_answer_differs_in_the_value_alone(tokenizer, short_values):
    probe = make_probes(tokenizer, short_values, n=1, max_tokens=1200, seed=0)[0]
    changed = probe.without_answer()
    (at,) = np.nonzero(changed.ids != probe.ids)
    assert probe.span[0] <= at.min() <= at.max() < probe.span[1]
    said = tokenizer.decode(probe.ids[probe.answer].tolist())
    assert tokenizer.decode(changed.ids[slice(*probe.span)].tolist())[:9] in tokenizer.decode(probe.ids.tolist())
    assert said not in tokenizer.decode(changed.ids[: probe.answer[0]].tolist())


def test_probes_are_reproducible_and_differ_by_seed(tokenizer, short_values):
    first, again, other = (make_probes(tokenizer, short_values, n=2, max_tokens=1200, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one.ids, two.ids) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0].ids, other[0].ids)


def test_too_little_prose_or_room_is_refused(tokenizer, short_values):
    with pytest.raises(ValueError, match="at least 40 plain sentences"):
        make_probes(tokenizer, short_values[:10], n=1, max_tokens=1200, seed=0)
    with pytest.raises(ValueError, match="at least 5 pairs"):
        make_probes(tokenizer, short_values, n=1, max_tokens=700, seed=0)


def slow_scores(model, probes):
    """Strict and lax scores from transformers' own attention weights: the row BEFORE each answer token."""
    strict, lax = np.zeros((4, 4)), np.zeros((4, 4))
    for probe in probes:
        ids = torch.from_numpy(probe.ids)
        with torch.no_grad():
            attentions = model(ids[None], output_attentions=True, use_cache=False).attentions
        for layer, weights in enumerate(attentions):
            for head in range(4):
                for t in probe.answer:
                    at = int(weights[0, head, t - 1].argmax())
                    hit = probe.ids[at] == probe.ids[t]
                    lax[layer, head] += hit / len(probe.answer)
                    strict[layer, head] += (hit and probe.span[0] <= at < probe.span[1]) / len(probe.answer)
    return strict / len(probes), lax / len(probes)


def test_head_scores_equal_a_loop_over_explicit_attention_weights():
    rng = np.random.default_rng(0)
    probes = []
    for _ in range(6):
        ids = rng.integers(0, 6, 40)  # few tokens: many accidental hits
        ids[30:36] = ids[10:16]
        probes.append(RetrievalProbe(ids, np.arange(30, 36), (10, 16)))
    expected = slow_scores(tiny_model(), probes)
    found = score_heads(Decoder(tiny_model(), max_tokens=64), probes, token_budget=100)
    np.testing.assert_allclose(found.strict, expected[0], atol=1e-9)
    np.testing.assert_allclose(found.lax, expected[1], atol=1e-9)
    assert found.lax.max() > found.strict.max() > 0


def test_the_top_share_is_rounded_up_and_ties_go_by_position():
    scores = np.array([[0.1, 0.9], [0.9, 0.0]])
    assert top_heads(scores, share=0.5) == [(0, 1), (1, 0)]
    assert top_heads(scores, share=0.05) == [(0, 1)]
    assert len(top_heads(np.zeros((30, 9)), share=0.05)) == 14
    with pytest.raises(ValueError, match="above 0 and at most 1, got 0"):
        top_heads(scores, share=0.0)


def test_draws_are_of_the_same_layers_and_hold_no_chosen_head():
    chosen = [(2, 0), (2, 5), (7, 1)]
    draws = draw_heads(chosen, n_heads=9, n_draws=6, seed=0)
    for draw in draws:
        assert sorted(layer for layer, _ in draw) == [2, 2, 7]
        assert not set(draw) & set(chosen)
        assert len(set(draw)) == 3
    assert draws == draw_heads(chosen, n_heads=9, n_draws=6, seed=0)
    assert len({tuple(draw) for draw in draws}) > 1


def test_effects_equal_the_slow_reference():
    model, heads = tiny_model(), [(1, 2), (3, 0)]
    documents = random_documents([40, 30])
    probes = [RetrievalProbe(one.numpy(), np.arange(20, 26), (3, 9)) for one in documents]
    decoder = Decoder(tiny_model(), max_tokens=64)
    answers = answers_of(decoder, [heads], probes, token_budget=64)
    prose = prose_losses(decoder, [heads], [one.numpy() for one in documents], token_budget=64)
    found = effects_of(answers, prose, probes)
    assert answers.losses.shape == answers.said.shape == (2, 2)
    for effect, masked in zip(found, ([], heads), strict=True):
        losses = [reference_losses(model, one, masked) for one in documents]
        answers = torch.cat([loss[19:25] for loss in losses]).mean()
        assert effect.loss == pytest.approx(float(answers), rel=1e-5)
        assert effect.prose_loss == pytest.approx(float(torch.cat(losses).mean()), rel=1e-5)
        assert 0 <= effect.accuracy <= 1


def test_more_variants_than_fit_at_once_give_the_same_losses():
    decoder, prose = Decoder(tiny_model(), max_tokens=64), [random_documents([50])[0].numpy()]
    heads = [[(layer, head)] for layer in range(4) for head in range(4)]
    together = prose_losses(decoder, heads, prose, token_budget=64)
    alone = [prose_losses(decoder, [one], prose, token_budget=64)[1] for one in heads]
    np.testing.assert_allclose(together[1:], alone, rtol=1e-5)
