"""Packed documents don't see one another, and the loss is the model's own."""

import numpy as np
import pytest
import torch

from raypipe.contracts.rows import Document
from raypipe.lm.packed_model import attend_packed
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.handles import plainly
from raypipe.train.tasks.classification import ClassificationHead
from raypipe.train.tasks.next_token import LanguageModel, NextToken
from tests.train.parts import tiny_model
from tests.train.synthetic import VOCABULARY


def documents(*sizes, seed=0, **settings):
    rng = np.random.default_rng(seed)
    return [Document(rng.integers(0, VOCABULARY, size).astype(np.int32), "a", "p", at, **settings)
            for at, size in enumerate(sizes)]  # fmt: skip


def loss_of(task, docs):
    return task.loss(plainly(task.models), task.collate(docs, torch.device("cpu")))


def by_document(terms, n):
    return [terms.losses[terms.owners == at] for at in range(n)]


def test_packed_losses_are_transformers_own_of_each_document_alone():
    causal, docs = tiny_model(), documents(9, 2, 30, 1, 17)
    plain = tiny_model()
    found = by_document(loss_of(NextToken(causal), docs), len(docs))
    for document, losses in zip(docs, found, strict=True):
        if len(document.ids) == 1:
            assert len(losses) == 0
            continue
        ids = torch.from_numpy(document.ids.astype(np.int64))[None]
        assert losses.mean().item() == pytest.approx(plain(input_ids=ids, labels=ids).loss.item(), abs=1e-6)


def test_a_changed_document_leaves_its_neighbours_as_they_were():
    task, docs = NextToken(tiny_model()), documents(12, 20, 7)
    before = by_document(loss_of(task, docs), 3)
    changed = [docs[0], documents(20, seed=9)[0], docs[2]]
    after = by_document(loss_of(task, changed), 3)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])
    assert not torch.allclose(before[1], after[1])


def test_gradients_of_packed_documents_are_the_sum_of_their_own():
    docs = documents(11, 25, 6)
    packed, alone = NextToken(tiny_model()), NextToken(tiny_model())
    loss_of(packed, docs).losses.sum().backward()
    for document in docs:
        loss_of(alone, [document]).losses.sum().backward()
    for ours, theirs in zip(packed.module.parameters(), alone.module.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)


def test_activation_checkpointing_changes_no_gradient():
    docs, plain, causal = documents(11, 25), NextToken(tiny_model()), tiny_model()
    Precision(checkpoint_activations=True).apply(causal)
    light = NextToken(causal)
    for task in (plain, light):
        task.module.train()
        loss_of(task, docs).losses.sum().backward()
    for ours, theirs in zip(light.module.parameters(), plain.module.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


def test_chunked_and_plain_heads_agree(monkeypatch):
    docs, task = documents(40, 30), NextToken(tiny_model())
    plain = loss_of(task, docs).losses
    monkeypatch.setattr("raypipe.train.tasks.next_token.CHUNK_LOGITS", {"cpu": 0})
    assert torch.allclose(loss_of(task, docs).losses, plain, atol=1e-5)


def test_only_marked_tokens_have_a_loss():
    marked = np.array([True, False, True, True, False])
    (document,) = documents(5, has_loss=marked)
    task = NextToken(tiny_model())
    every = loss_of(task, documents(5)).losses
    assert torch.allclose(loss_of(task, [document]).losses, every[[1, 2]])  # the first token has nothing before it
    assert task.count(document) == 2


def test_a_tied_head_is_one_weight():
    names = [name for name, _ in LanguageModel(tiny_model()).named_parameters()]
    assert sum("embed_tokens" in name or "head" in name for name in names) == 1


def classifier(n):
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(tiny_model().config.__class__(
        **{**tiny_model().config.to_dict(), "num_labels": n, "pad_token_id": 0}))  # fmt: skip


@pytest.mark.parametrize("n", [1, 3])
def test_a_head_gives_what_transformers_gives_for_each_document(n):
    model, plain = classifier(n), classifier(n)
    docs = [Document(d.ids, d.domain, d.path, d.row, label=float(d.row % n)) for d in documents(9, 14, 5)]
    task = ClassificationHead(model)
    found = loss_of(task, docs).losses
    for document, loss in zip(docs, found, strict=True):
        ids = torch.from_numpy(document.ids.astype(np.int64))[None]
        label = torch.tensor([document.label if n == 1 else int(document.label)])
        expected = plain(input_ids=ids, attention_mask=torch.ones_like(ids), labels=label).loss
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_going_back_through_many_documents_fills_no_gradient_of_the_whole_length():
    """A slice's gradient is as long as what was sliced: with n documents n times the length, for nothing."""
    heads = [torch.randn(1, 2, 12, 4, requires_grad=True) for _ in range(3)]
    out, _ = attend_packed(torch.nn.Module(), *heads, None, cuts=torch.tensor([0, 3, 5, 12]))
    seen, todo = set(), [out.grad_fn]
    while todo:
        node = todo.pop()
        seen.add(type(node).__name__)
        todo += [below for below, _ in node.next_functions if below is not None]
    assert "SplitWithSizesBackward0" in seen
    assert not any("Slice" in name for name in seen)


@pytest.mark.slow
def test_a_compiled_layer_is_not_compiled_anew_for_each_number_of_documents():
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    torch._dynamo.reset()
    causal = tiny_model()
    for layer in causal.model.layers:
        layer.compile(backend=backend)
    task = NextToken(causal)
    for sizes in ([5, 9], [4, 7, 6]):  # the second time sizes become variables
        loss_of(task, documents(*sizes))
    so_far = len(compiled)
    for n in range(4, 9):
        loss_of(task, documents(*range(2, 2 + n)))
    assert so_far > 0
    assert len(compiled) == so_far
