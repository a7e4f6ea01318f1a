"""A student and its teacher: the formula, what it costs to be equal, and what is refused."""

import numpy as np
import pytest
import torch

from raypipe.contracts.rows import Document
from raypipe.train.engines.handles import plainly
from raypipe.train.tasks.distilled_next_token import DistilledNextToken
from raypipe.train.tasks.next_token import NextToken
from raypipe.train.tasks.teaching import Teaching
from tests.train.parts import tiny_model
from tests.train.synthetic import VOCABULARY

CPU = torch.device("cpu")


def documents() -> list[Document]:
    random = np.random.default_rng(0)
    return [Document(random.integers(0, VOCABULARY, 5 + row).astype(np.int32), "a", "x", row) for row in range(3)]


def losses(task: NextToken) -> torch.Tensor:
    return task.loss(plainly(task.models), task.collate(documents(), CPU)).losses.detach()


def test_the_loss_is_the_formula_over_all_tokens():
    task = DistilledNextToken(tiny_model(), tiny_model(seed=1), Teaching(0.3, 2.0, VOCABULARY))
    student, teacher = tiny_model(), tiny_model(seed=1)  # in a task they attend to packed documents
    found, at = losses(task), 0
    for document in documents():
        ids = torch.from_numpy(document.ids.astype(np.int64))[None]
        s, t = (model(ids, use_cache=False).logits[0, :-1].detach() for model in (student, teacher))
        plain = torch.nn.functional.cross_entropy(s, ids[0, 1:], reduction="none")
        p = (t / 2).softmax(1)
        divergence = (p * (p.log() - (s / 2).log_softmax(1))).sum(1)
        expected = 0.7 * plain + 0.3 * 4 * divergence
        torch.testing.assert_close(found[at : at + len(expected)], expected, atol=1e-5, rtol=1e-5)
        at += len(expected)


def test_of_the_likeliest_alone_a_student_like_its_teacher_is_as_far_as_the_rest_is_likely():
    same = DistilledNextToken(tiny_model(), tiny_model(), Teaching(1.0, 1.0, VOCABULARY))
    assert losses(same).abs().max() < 1e-5
    few = DistilledNextToken(tiny_model(), tiny_model(), Teaching(1.0, 1.0, 5))
    logits = tiny_model()(torch.from_numpy(documents()[0].ids.astype(np.int64))[None], use_cache=False).logits[0, :-1]
    kept = logits.softmax(1).topk(5).values.sum(1)
    torch.testing.assert_close(losses(few)[: len(kept)], -kept.log().detach(), atol=1e-5, rtol=1e-5)


def test_held_out_rows_are_measured_as_without_a_teacher():
    task, plain = DistilledNextToken(tiny_model(), tiny_model(seed=1), Teaching()), NextToken(tiny_model())
    assert not torch.allclose(losses(task), losses(plain))
    task.module.eval()
    torch.testing.assert_close(losses(task), losses(plain))


def test_the_teacher_gets_no_gradient_and_costs_a_pass():
    task, plain = DistilledNextToken(tiny_model(), tiny_model(seed=1), Teaching()), NextToken(tiny_model())
    task.loss(plainly(task.models), task.collate(documents(), CPU)).losses.mean().backward()
    assert any(weight.grad is not None for weight in task.module.parameters())
    assert all(weight.grad is None for weight in task.models.frozen["teacher"].parameters())
    assert task.flops(documents()) == pytest.approx(4 / 3 * plain.flops(documents()))


def test_a_teacher_of_another_vocabulary_is_refused():
    with pytest.raises(ValueError, match="must have its student's vocabulary, 64 tokens"):
        DistilledNextToken(tiny_model(), _other(), Teaching())
    for wrong, says in (({"distil_weight": 0.0}, "distil_weight must be in"), ({"distil_top": 0}, "distil_top must"),
                        ({"distil_temperature": 0.0}, "distil_temperature must be above 0")):  # fmt: skip
        with pytest.raises(ValueError, match=says):
            Teaching(**wrong)


def _other():
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(vocab_size=70, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                        num_attention_heads=2))  # fmt: skip
