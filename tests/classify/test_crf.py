"""The chain CRF beside the enumeration of all sequences."""

import itertools

import pytest
import torch

from raypipe.classify.crf import ChainCRF


@pytest.fixture
def crf() -> ChainCRF:
    torch.manual_seed(0)
    made = ChainCRF(4).double()
    for part in made.parameters():
        torch.nn.init.normal_(part)
    return made


def enumerated(crf: ChainCRF, scores: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The score of every sequence of tags for one document [t, k]."""
    found = {}
    for tags in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        total = crf.start[tags[0]] + crf.end[tags[-1]] + sum(scores[at, tag] for at, tag in enumerate(tags))
        total = total + sum(crf.transitions[a, b] for a, b in itertools.pairwise(tags))
        found[tags] = total.item()
    return found


@pytest.mark.parametrize("length", [1, 2, 6])
def test_sums_and_the_likeliest_sequence_are_those_of_enumeration(crf: ChainCRF, length: int) -> None:
    scores = torch.randn(1, length, 4, dtype=torch.float64)
    mask = torch.ones(1, length, dtype=torch.bool)
    every = enumerated(crf, scores[0])
    log_z = float(torch.logsumexp(torch.tensor(list(every.values()), dtype=torch.float64), 0))
    assert crf.log_partition(scores, mask).item() == pytest.approx(log_z, abs=1e-9)
    best = max(every, key=lambda tags: every[tags])
    assert crf.likeliest(scores, mask)[0].tolist() == list(best)
    assert crf.score(scores, torch.tensor([best]), mask).item() == pytest.approx(every[best], abs=1e-9)


def test_what_lies_beyond_a_document_s_end_changes_nothing(crf: ChainCRF) -> None:
    scores = torch.randn(2, 6, 4, dtype=torch.float64)
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    tags = torch.randint(0, 4, (2, 6))
    short = scores[1:, :3], torch.ones(1, 3, dtype=torch.bool)
    assert crf.log_partition(scores, mask)[1].item() == pytest.approx(crf.log_partition(*short).item(), abs=1e-12)
    alone = crf.score(short[0], tags[1:, :3], short[1]).item()
    assert crf.score(scores, tags, mask)[1].item() == pytest.approx(alone, abs=1e-12)
    found = crf.likeliest(scores, mask)
    assert found[1].tolist() == [*crf.likeliest(*short)[0].tolist(), 0, 0, 0]


def test_the_loss_is_the_mean_of_minus_the_log_probabilities(crf: ChainCRF) -> None:
    scores, tags = torch.randn(3, 4, 4, dtype=torch.float64), torch.randint(0, 4, (3, 4))
    mask = torch.ones(3, 4, dtype=torch.bool)
    slow = []
    for row in range(3):
        every = torch.tensor(list(enumerated(crf, scores[row]).values()), dtype=torch.float64)
        slow.append(float(torch.logsumexp(every, 0)) - enumerated(crf, scores[row])[tuple(tags[row].tolist())])
    assert crf.loss(scores, tags, mask).item() == pytest.approx(sum(slow) / 3, abs=1e-9)
