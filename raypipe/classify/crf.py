"""A linear-chain conditional random field over scores of tags: exact sums and the likeliest sequence.

Source: J. Lafferty, A. McCallum, F. Pereira, Conditional Random Fields, ICML 2001, section 3; as the last layer of a
network, G. Lample et al., Neural Architectures for Named Entity Recognition, NAACL 2016, section 2.2: transitions with
a score for beginning and for ending with each tag.
Cost: O(t k^2) a sequence of t places and k tags.
"""

import torch
from torch import Tensor, nn


class ChainCRF(nn.Module):
    """Scores of tags by place [b, t, k] to probabilities of whole sequences; `mask` [b, t] is true where a place is.

    Every sequence has its places first, one at least.
    """

    def __init__(self, n_tags: int) -> None:
        """Begin with transitions that say nothing."""
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(n_tags, n_tags))  # [from, to]
        self.start = nn.Parameter(torch.zeros(n_tags))
        self.end = nn.Parameter(torch.zeros(n_tags))

    def log_partition(self, scores: Tensor, mask: Tensor) -> Tensor:
        """log Z [b]: the log of the summed exponentials of the scores of all sequences of tags."""
        reached = self.start + scores[:, 0]
        for at in range(1, scores.shape[1]):
            further = torch.logsumexp(reached[:, :, None] + self.transitions, dim=1) + scores[:, at]
            reached = torch.where(mask[:, at, None], further, reached)
        return torch.logsumexp(reached + self.end, dim=1)

    def score(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Of given sequences of tags [b, t]: [b]."""
        own = scores.gather(2, tags[:, :, None])[:, :, 0]
        steps = self.transitions[tags[:, :-1], tags[:, 1:]]
        last = tags.gather(1, mask.sum(dim=1, keepdim=True) - 1)[:, 0]
        return self.start[tags[:, 0]] + (own * mask).sum(dim=1) + (steps * mask[:, 1:]).sum(dim=1) + self.end[last]

    def loss(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Mean negative log-likelihood of the sequences."""
        return (self.log_partition(scores, mask) - self.score(scores, tags, mask)).mean()

    @torch.no_grad()
    def likeliest(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The sequences of highest score, by Viterbi: [b, t]; 0 where no place is."""
        reached, came_from = self.start + scores[:, 0], []
        for at in range(1, scores.shape[1]):
            best, way = (reached[:, :, None] + self.transitions).max(dim=1)
            reached = torch.where(mask[:, at, None], best + scores[:, at], reached)
            came_from.append(torch.where(mask[:, at, None], way, torch.arange(way.shape[1]).expand_as(way)))
        tag = (reached + self.end).argmax(dim=1)
        found = [tag]
        for way in reversed(came_from):
            tag = way.gather(1, tag[:, None])[:, 0]
            found.append(tag)
        return torch.stack(found[::-1], dim=1) * mask
