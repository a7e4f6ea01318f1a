import torch

from raypipe.lm import loss
from raypipe.lm.loss import token_hits, token_losses


def test_chunks_give_what_all_logits_at_once_give(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(50, 16, generator=generator), torch.randn(300, 16, generator=generator)
    targets = torch.randint(0, 300, (50,), generator=generator)
    whole = -torch.log_softmax(hidden.double() @ head.double().T, dim=-1)[torch.arange(50), targets]
    monkeypatch.setitem(loss.CHUNK_BYTES, "cpu", 4 * 300 * 7)
    calls = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr(loss.F, "linear", lambda x, w: calls.append(len(x)) or linear(x, w))
    torch.testing.assert_close(token_losses(hidden, head, targets).double(), whole, rtol=1e-5, atol=1e-5)
    assert max(calls) == 7, "logits of more positions than a chunk were in memory"


def test_losses_are_float32_whatever_the_weights_are():
    hidden, head = torch.ones(3, 4, dtype=torch.bfloat16), torch.ones(9, 4, dtype=torch.bfloat16)
    assert token_losses(hidden, head, torch.tensor([0, 1, 2])).dtype == torch.float32


def test_no_positions_give_no_losses():
    assert token_losses(torch.zeros(0, 4), torch.ones(9, 4), torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_a_hit_is_the_likeliest_token():
    head = torch.eye(4)
    assert token_hits(head, head, torch.tensor([0, 1, 2, 0])).tolist() == [True, True, True, False]
