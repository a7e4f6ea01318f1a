"""Which section each sentence of a document belongs to: a Bi-LSTM over sentence vectors under a CRF, and its transfer.

Source: J. Kwon, S. Yang, H. Yu, An Automatic SOAP Classification System Using Weakly Supervision And Transfer
Learning, arXiv 2211.14539 (its abstract: weak labels from headers, pre-trained vectors, Bi-LSTM-CRF, all parameters
carried over); the network is G. Lample et al., NAACL 2016, section 2.
Departures: sizes, rates and epochs are ours, the abstract has none; the encoder is frozen. Without a context (`hidden`
0) it is a linear layer under the same CRF; without the CRF (`chains` false) tags are chosen place by place.
Cost: O(t d h) a document, for each of `n_epochs` passes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

if TYPE_CHECKING:
    import torch

State = dict[str, np.ndarray]


class SectionTagger(BaseEstimator):
    """Documents as matrices of sentence vectors [t, d] to a tag for each sentence."""

    classes_: np.ndarray
    n_features_in_: int

    def __init__(
        self,
        *,
        hidden: int = 64,
        chains: bool = True,
        dropout: float = 0.3,
        learning_rate: float = 5e-3,
        n_epochs: int = 20,
        batch_documents: int = 8,
        random_state: int | None = None,
    ) -> None:
        """`hidden`: numbers of the LSTM in each direction; 0: no context. `chains`: whether a CRF joins the tags."""
        self.hidden = hidden
        self.chains = chains
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_documents = batch_documents
        self.random_state = random_state

    def fit(
        self, documents: Sequence[np.ndarray], tags: Sequence[Sequence[str] | np.ndarray], *, start: Self | None = None
    ) -> Self:
        """Learn from documents [t, d] and a tag for each sentence; `start`: begin with all that another has learned.

        Raises
        ------
        ValueError
            If there is no document, one has no sentence or another number of tags, or `start` knows other tags.
        """
        import torch

        _check(documents, tags)
        self.classes_ = np.unique([tag for of in tags for tag in of])
        self.n_features_in_ = documents[0].shape[1]
        torch_seed = 0 if self.random_state is None else self.random_state
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed)
            if start is not None:
                self._take_over(start)
            self._network = self._made()
            if start is not None:
                self._network.load_state_dict(start._learned().state_dict())
            self._train(documents, [np.searchsorted(self.classes_, np.asarray(of)) for of in tags])
        return self

    def _take_over(self, start: Self) -> None:
        known = set(start.classes_.tolist())
        if not set(self.classes_.tolist()) <= known or start.n_features_in_ != self.n_features_in_:
            raise ValueError(
                f"what is begun with must know the tags {self.classes_.tolist()} of {self.n_features_in_} numbers a "
                f"sentence, it knows {start.classes_.tolist()} of {start.n_features_in_}."
            )
        self.classes_ = start.classes_

    def predict(self, documents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The tags of the sentences of each document.

        Raises
        ------
        ValueError
            If vectors have another length than in `fit`.
        """
        import torch

        network = self._learned().eval()
        found = []
        for document in documents:
            if document.ndim != 2 or document.shape[1] != self.n_features_in_ or not len(document):
                raise ValueError(
                    f"a document must be sentences of {self.n_features_in_} numbers, got {document.shape}."
                )
            with torch.no_grad():
                X = torch.as_tensor(document, dtype=torch.float32)[None]
                mask = torch.ones(1, len(document), dtype=torch.bool)
                scores = network.scores(X, mask)
                said = network.crf.likeliest(scores, mask) if self.chains else scores.argmax(dim=2)
            found.append(self.classes_[said[0].numpy()])
        return found

    def state(self) -> State:
        """The network's weights and the tags as UTF-8 end to end."""
        arrays = {name: of.detach().numpy() for name, of in self._learned().state_dict().items()}
        names = [str(name).encode() for name in self.classes_]
        return arrays | {
            "tags": np.frombuffer(b"".join(names), np.uint8), "tag_bytes": np.array([len(name) for name in names]),
            "n_features": np.array([self.n_features_in_]),
        }  # fmt: skip

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        import torch

        made = type(self)(**self.get_params())
        stops = np.cumsum(state["tag_bytes"])
        raw = state["tags"].tobytes()
        made.classes_ = np.array([raw[b - n : b].decode() for n, b in zip(state["tag_bytes"], stops, strict=True)])
        made.n_features_in_ = int(state["n_features"][0])
        made._network = made._made()
        own = {name: torch.as_tensor(np.array(of)) for name, of in state.items() if "." in name}
        made._network.load_state_dict(own)
        return made

    def _learned(self) -> Any:
        if not hasattr(self, "_network"):
            raise NotFittedError("SectionTagger must be fitted before it answers; call fit.")
        return self._network

    def _made(self) -> Any:
        from raypipe.classify.section_network import SectionNetwork

        return SectionNetwork(self.n_features_in_, self.hidden, len(self.classes_), self.dropout)

    def _train(self, documents: Sequence[np.ndarray], tags: Sequence[np.ndarray]) -> None:
        import torch

        network = self._network.train()
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        rng = np.random.default_rng(self.random_state or 0)
        for _ in range(self.n_epochs):
            order = rng.permutation(len(documents))
            for start in range(0, len(order), self.batch_documents):
                rows = order[start : start + self.batch_documents]
                X, y, mask = _padded([documents[row] for row in rows], [tags[row] for row in rows])
                loss = network.loss(X, y, mask, chains=self.chains)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()


def _padded(documents: list[np.ndarray], tags: list[np.ndarray]) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    import torch
    from torch.nn.utils.rnn import pad_sequence

    X = pad_sequence([torch.as_tensor(one, dtype=torch.float32) for one in documents], batch_first=True)
    y = pad_sequence([torch.as_tensor(one, dtype=torch.int64) for one in tags], batch_first=True)
    mask = pad_sequence([torch.ones(len(one), dtype=torch.bool) for one in tags], batch_first=True)
    return X, y, mask


def _check(documents: Sequence[np.ndarray], tags: Sequence[Sequence[str] | np.ndarray]) -> None:
    if not len(documents) or len(documents) != len(tags):
        raise ValueError(f"there must be documents and tags of each, got {len(documents)} and {len(tags)}.")
    for at, (document, of) in enumerate(zip(documents, tags, strict=True)):
        if document.ndim != 2 or not len(document) or len(document) != len(of):
            raise ValueError(
                f"document {at} must be [sentences, numbers] with a tag for each sentence and one at least, got "
                f"{document.shape} and {len(of)} tags."
            )
        if not np.isfinite(document).all():
            raise ValueError(f"document {at} must have finite vectors only.")
