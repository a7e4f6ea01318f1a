"""Choices by likelihood."""

import numpy as np
import pytest
import torch

from raypipe.evaluate.benchmarks import Item
from raypipe.evaluate.multiple_choice import Likelihoods, answers, branches_of
from raypipe.lm.branches import joined
from raypipe.lm.decoder import Decoder
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary
from tests.models.tokenizers_of_five_kinds import KINDS, saved

ITEMS = [
    Item("a", ("say yes or no\nAnswer:",) * 2, (" yes", " no"), ("yes", "no"), 0, "all"),
    Item("b", ("river stone bread",) * 3, (" window little", " night", " paper say"),
         ("window little", "night", "paper say"),
         1, "all"),
    Item("c", ("the river", "the little stone"), (" over",) * 2, ("over",) * 2, 0, "all"),
    Item("d", ("",) * 2, ("river", "stone night"), ("river", "stone night"), 0, "all"),
    Item("e", ("say: ",) * 2, ("yes", "no"), ("yes", "no"), 0, "all"),
]  # fmt: skip


def opened_model(tmp_path, kind="byte_level"):
    vocabulary = open_vocabulary(saved(kind, tmp_path / kind))
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=64, end=vocabulary.end)
    return new_model(config, seed=0, initialisation="normal").eval(), vocabulary


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "word_piece"])
def test_likelihoods_equal_a_slow_pass_over_each_text(tmp_path, kind):
    """As lm-eval does it: the tokens of the one text less the question's, whose last blanks are the choice's."""
    causal, vocabulary = opened_model(tmp_path, kind)
    slow = []
    for item in ITEMS:
        of_item = []
        for context, way in zip(item.contexts, item.continuations, strict=True):
            plain = vocabulary.backend.encode(context + way, add_special_tokens=False).ids
            n = len(plain) - len(vocabulary.backend.encode(context.rstrip(), add_special_tokens=False).ids)
            before = vocabulary.backend.encode("river").ids
            begin = [before[0]] if "begin" in kind or kind == "prefix_space" else []
            ids = [*(begin or ([] if context else [vocabulary.end])), *plain]
            with torch.no_grad():
                log_p = causal(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
            of_item.append(sum(float(log_p[at - 1, ids[at]]) for at in range(len(ids) - n, len(ids))))
        slow.append(of_item)
    found = answers(Decoder(causal, max_tokens=64), vocabulary, ITEMS, max_tokens=64, budget=40)
    for one, expected in zip(found, slow, strict=True):
        assert one.log_likelihood == pytest.approx(np.array(expected), rel=1e-5)


def test_choices_of_unlike_length_are_compared_in_three_ways():
    one = Likelihoods(np.array([-4.0, -5.0, -6.0]), n_bytes=np.array([2, 10, 6]), n_tokens=np.array([1, 2, 4]))
    assert [one.chosen(way) for way in ("raw", "per_byte", "per_token")] == [0, 1, 2]
    assert Likelihoods(np.zeros(2), np.ones(2), np.ones(2)).chosen("raw") == 0


def test_a_question_that_is_too_long_loses_its_beginning(tmp_path):
    _, vocabulary = opened_model(tmp_path)
    row = branches_of(ITEMS[1], vocabulary, max_tokens=6)
    assert [len(row.trunk) + len(branch) for branch in row.branches] == [
        min(6, len(vocabulary.backend.encode(a + b).ids))
        for a, b in zip(ITEMS[1].contexts, ITEMS[1].continuations, strict=True)
    ]
    with pytest.raises(ValueError, match="a choice must have 1 to 1 tokens, b has one of"):
        branches_of(ITEMS[1], vocabulary, max_tokens=2)


def test_questions_after_the_same_examples_share_them_and_are_answered_as_alone(tmp_path):
    causal, vocabulary = opened_model(tmp_path)
    examples = 3 * "say yes or no\nAnswer: yes\n\nthe river over stone\nAnswer: no\n\n"
    items = [Item(f"{n}", (f"{examples}{text}\nAnswer:",) * 2, (" yes", " no way"), ("yes", "no way"), 0, "all")
             for n, text in enumerate(["bread", "window and little", "night", "paper"])]  # fmt: skip
    items.insert(2, ITEMS[3])
    decoder = Decoder(causal, max_tokens=256)
    rows = [branches_of(item, vocabulary, max_tokens=256) for item in items]
    groups = joined(rows, max_tokens=256)
    assert [n for _, n in groups] == [2, 1, 2]
    assert sum(row.n_tokens for row, _ in groups) < 0.75 * sum(row.n_tokens for row in rows)
    together = answers(decoder, vocabulary, items, max_tokens=256, budget=256)
    for item, one in zip(items, together, strict=True):
        (alone,) = answers(decoder, vocabulary, [item], max_tokens=256, budget=256)
        assert one.log_likelihood == pytest.approx(alone.log_likelihood, rel=1e-5)
    assert [n for _, n in joined(rows, max_tokens=40)] == [1] * 5
    assert answers(decoder, vocabulary, [], max_tokens=64, budget=64) == []
