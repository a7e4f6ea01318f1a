"""The chain CRF beside pytorch-crf: sums, scores and likeliest sequences of padded documents."""

import pytest
import torch

from raypipe.classify.crf import ChainCRF

pytestmark = pytest.mark.parity
torchcrf = pytest.importorskip("torchcrf")


def test_sums_and_sequences_are_those_of_pytorch_crf() -> None:
    torch.manual_seed(0)
    ours, theirs = ChainCRF(5).double(), torchcrf.CRF(5, batch_first=True).double()
    with torch.no_grad():
        for own, of in ((ours.transitions, theirs.transitions), (ours.start, theirs.start_transitions),
                        (ours.end, theirs.end_transitions)):  # fmt: skip
            own.copy_(of)
    scores, tags = torch.randn(3, 7, 5, dtype=torch.float64), torch.randint(0, 5, (3, 7))
    mask = torch.arange(7)[None] < torch.tensor([7, 4, 1])[:, None]
    log_likelihood = theirs(scores, tags, mask=mask, reduction="none")
    found = ours.score(scores, tags, mask) - ours.log_partition(scores, mask)
    torch.testing.assert_close(found, log_likelihood, atol=1e-9, rtol=0)
    said = ours.likeliest(scores, mask)
    expected = theirs.decode(scores, mask=mask)
    assert [row[: len(of)].tolist() for row, of in zip(said, expected, strict=True)] == expected
