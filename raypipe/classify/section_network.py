"""The network of the section tagger: an LSTM in both directions, a linear layer and a CRF.

Source: G. Lample et al., Neural Architectures for Named Entity Recognition, NAACL 2016, section 2.
Cost: O(t d h) a document.
"""

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from raypipe.classify.crf import ChainCRF


class SectionNetwork(nn.Module):
    """Sentence vectors [b, t, d] to scores of tags [b, t, k]."""

    def __init__(self, n_features: int, hidden: int, n_tags: int, dropout: float) -> None:
        """`hidden` 0: no context."""
        super().__init__()
        self.lstm = nn.LSTM(n_features, hidden, batch_first=True, bidirectional=True) if hidden else None
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * hidden if hidden else n_features, n_tags)
        self.crf = ChainCRF(n_tags)

    def scores(self, X: Tensor, mask: Tensor) -> Tensor:
        """What each place says of each tag; places beyond a document's end don't reach those within."""
        states = self.dropout(X)
        if self.lstm is not None:
            packed = pack_padded_sequence(states, mask.sum(dim=1), batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=X.shape[1])
            states = self.dropout(states)
        found: Tensor = self.linear(states)
        return found

    def loss(self, X: Tensor, y: Tensor, mask: Tensor, *, chains: bool) -> Tensor:
        """Of whole sequences by the CRF, or of each place by itself."""
        scores = self.scores(X, mask)
        if chains:
            return self.crf.loss(scores, y, mask)
        return nn.functional.cross_entropy(scores[mask], y[mask])
