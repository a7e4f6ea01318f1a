"""The Z-loss and its factored output layer: the next word among thousands, and tags of packages, beside softmaxes.

Four words, 32 numbers each, 32 hidden units, an output for every word; as many steps for all. Bars are the dossier's
(section f, check 4): the target among the first ten within a point of cross-entropy or above once b is tuned, b = 0
worse at the first place. Rivals: full, adaptive and sampled softmax. Ablation: b = 0, untuned. Control: shuffled
targets. The sample has 2,000 words; with --data a corpus has 10,000, and descriptions of Debian packages 585 tags.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from raypipe import sample
from raypipe.evaluate.claims import Claim
from raypipe.losses.factored_head import FactoredHead, OutputSums
from raypipe.losses.z_loss import ZLoss, z_loss_of
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import real, split
from .study import Study

CONTEXT, WIDTH, BATCH = 4, 32, 128
WORDS = {"sample": 2000, "corpus": 10_000}
"""Of the vocabulary; other words are no targets."""
SIZES = {"sample": (20_000, 2000, 3000), "corpus": (200_000, 3000, 5000), "debtags_xc": (8000, 800, 2000)}
"""Leading to learn from, to tune on and to test."""
TUNED = (2.0, 5.0, 10.0, 20.0)
RATE, HEAD_RATE, N_SAMPLED = 3e-3, 10.0, 200


class Leading(NamedTuple):
    """Contexts [n, CONTEXT] of words, or vectors [n, d]; what they lead to, among `n_outputs`."""

    X: np.ndarray
    y: np.ndarray
    n_outputs: int


class WordBody(nn.Module):
    """Words, or a vector, to WIDTH hidden numbers and a 1, which serves as bias."""

    def __init__(self, rows: Leading) -> None:
        super().__init__()
        self.is_words = rows.X.dtype.kind == "i"
        self.words = nn.Embedding(rows.n_outputs + 1, WIDTH) if self.is_words else None
        self.inner = nn.Linear(CONTEXT * WIDTH if self.is_words else rows.X.shape[1], WIDTH)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """[m, WIDTH + 1]."""
        read = self.words(X).flatten(1) if self.words is not None else X.float()
        hidden = torch.tanh(self.inner(read))
        return torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)


class SoftmaxLayer(nn.Module):
    """Full or sampled softmax: which outputs are in the denominator."""

    def __init__(self, n_outputs: int, *, is_sampled: bool, frequency: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_outputs, WIDTH + 1) * (WIDTH + 1) ** -0.5)
        self.is_sampled = is_sampled
        self.log_q = torch.from_numpy(np.log((frequency + 1) / (frequency + 1).sum()).astype(np.float32))

    def forward(self, H: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss."""
        if not self.is_sampled:
            return F.cross_entropy(H @ self.weight.T, y)
        others = torch.multinomial(self.log_q.exp(), N_SAMPLED, replacement=True)
        at = torch.cat([y, others])
        logits = H @ self.weight[at].T - self.log_q[at]  # as though it were the whole sum
        hit = (y[:, None] == at) & (torch.arange(len(at)) != torch.arange(len(y))[:, None])
        return F.cross_entropy(logits.masked_fill(hit, -1e9), torch.arange(len(y)))

    def outputs(self, H: torch.Tensor) -> torch.Tensor:
        """[m, D]."""
        return H @ self.weight.T


class AdaptiveLayer(nn.Module):
    """torch's adaptive softmax; classes are ordered by frequency already."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        cuts = [n_outputs // 20, n_outputs // 4]
        self.inner = nn.AdaptiveLogSoftmaxWithLoss(WIDTH + 1, n_outputs, cuts, div_value=2.0)

    def forward(self, H: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss."""
        loss: torch.Tensor = self.inner(H, y).loss
        return loss

    def outputs(self, H: torch.Tensor) -> torch.Tensor:
        """[m, D]."""
        found: torch.Tensor = self.inner.log_prob(H)
        return found


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Shares of rows whose target is first and among the first ten, its mean rank, the b that was taken."""
    learn, tune, test = _rows(settings["data"], seed, settings["shrink"])
    if settings["kind"] == "shuffled":
        learn = learn._replace(y=np.random.default_rng([seed, 25]).permutation(learn.y))
    steps = settings["n_steps"]
    if settings["kind"] in ("full", "sampled", "adaptive"):
        body, layer = _softmax(learn, settings["kind"], steps, seed)
        return _ranked(body, layer, test)
    bs = (0.0,) if settings["kind"] == "untuned" else tuple(b for b in TUNED if b * b < learn.n_outputs - 1)
    found = [(b, *_factored(learn, ZLoss(z_b=b), steps, seed)) for b in bs]
    b, body, head = max(found, key=lambda one: _ranked(one[1], one[2], tune)["top10"])
    return {**_ranked(body, head, test), "b": b}


def _batches(rows: Leading, n_steps: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    rng = np.random.default_rng([seed, 26])
    for _ in range(n_steps):
        at = rng.integers(0, len(rows.y), BATCH)
        yield torch.from_numpy(rows.X[at]), torch.from_numpy(rows.y[at])


def _softmax(rows: Leading, kind: str, n_steps: int, seed: int) -> tuple[WordBody, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body, frequency = WordBody(rows), np.bincount(rows.y, minlength=rows.n_outputs)
        layer: Any = (
            AdaptiveLayer(rows.n_outputs)
            if kind == "adaptive"
            else SoftmaxLayer(rows.n_outputs, is_sampled=kind == "sampled", frequency=frequency)
        )
        optimiser = torch.optim.Adam([*body.parameters(), *layer.parameters()], lr=RATE)
        for X, y in _batches(rows, n_steps, seed):
            optimiser.zero_grad()
            layer(body(X), y).backward()
            optimiser.step()
    return body, layer


def _factored(rows: Leading, loss: ZLoss, n_steps: int, seed: int) -> tuple[WordBody, FactoredHead]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = WordBody(rows)
        head = FactoredHead(torch.randn(rows.n_outputs, WIDTH + 1) * (WIDTH + 1) ** -0.5)
        optimiser = torch.optim.Adam(body.parameters(), lr=RATE)
        for step, (X, y) in enumerate(_batches(rows, n_steps, seed)):
            optimiser.zero_grad()
            H = body(X)
            seen = head.seen(H, y)
            mean = z_loss_of(*seen, n_outputs=rows.n_outputs, loss=loss).mean()
            *by, gradient = torch.autograd.grad(mean, (*seen, H), retain_graph=True)
            H.backward(gradient)
            optimiser.step()
            head.update(H.detach(), y, OutputSums(*by), learning_rate=HEAD_RATE * (1 - step / n_steps))
    return body, head


@torch.no_grad()
def _ranked(body: WordBody, layer: Any, rows: Leading) -> dict[str, float]:
    ranks = []
    for start in range(0, len(rows.y), 500):
        X, y = torch.from_numpy(rows.X[start : start + 500]), torch.from_numpy(rows.y[start : start + 500])
        outputs = layer.outputs(body(X))
        ranks.append((outputs >= outputs.gather(1, y[:, None])).sum(dim=1))
    rank = torch.cat(ranks).double()
    return {"top1": float((rank <= 1).double().mean()), "top10": float((rank <= 10).double().mean()),
            "mean_rank": float(rank.mean())}  # fmt: skip


def _rows(data: str, seed: int, shrink: int) -> tuple[Leading, Leading, Leading]:
    """To learn from, to tune on, to test: rows by the seed alone."""
    everything = _tags(seed) if data == "debtags_xc" else _words(data)
    sizes = tuple(min(size, len(everything.y) * size // sum(SIZES[data])) // shrink for size in SIZES[data])
    parts = split(len(everything.y), sizes, seed + 2500)
    learn, tune, test = (everything._replace(X=everything.X[of], y=everything.y[of]) for of in parts)
    return learn, tune, test


@lru_cache(maxsize=1)
def _words(data: str) -> Leading:
    """Every word of the vocabulary after four others; they are numbered by how frequent they are."""
    texts = [re.findall(r"[a-z']+|[.,;]", text.lower()) for text in _texts(data)]
    counts = Counter(word for text in texts for word in text)
    number = {word: at for at, (word, _) in enumerate(counts.most_common(WORDS[data]))}
    rare, X, y = len(number), [], []
    for text in texts:
        ids = [number.get(word, rare) for word in text]
        for at in range(CONTEXT, len(ids)):
            if ids[at] != rare:
                X.append(ids[at - CONTEXT : at])
                y.append(ids[at])
    return Leading(np.array(X), np.array(y), len(number))


def _texts(data: str) -> Iterator[str]:
    if data == "sample":
        for file in sorted(sample.corpus_folder().glob("*.jsonl")):
            yield from (json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines())
        return
    import pyarrow.parquet as pq

    yield from pq.read_table(real(data) / "part-00000.parquet", columns=["text"])["text"].to_pylist()


@lru_cache(maxsize=1)
def _tags(seed: int) -> Leading:
    """The words of each package, and one of its tags, drawn by the seed."""
    import pyarrow.parquet as pq

    from raypipe.fitting.words import WordVectors

    table = pq.read_table(real("debtags_xc") / "train.parquet")
    labels, rng = table["label_ids"].to_pylist(), np.random.default_rng([seed, 27])
    has = np.flatnonzero([len(of) for of in labels])
    X, _ = WordVectors(("text",), n_dimensions=128).fit(table).encode(table)
    y = np.array([rng.choice(labels[at]) for at in has])
    n = 1 + max(one for of in labels for one in of)
    order = np.argsort(-np.bincount(y, minlength=n), kind="stable")  # by frequency
    number = np.empty(n, np.int64)
    number[order] = np.arange(n)
    return Leading(np.asarray(X, np.float32)[has], number[y], n)


TUNED_Z, UNTUNED, FULL = "Z-loss, b tuned, factored", "Z-loss, b = 0", "full softmax"
ADAPTIVE, SAMPLED, CONTROL = "adaptive softmax", "sampled softmax", "shuffled targets"
STUDY = Study(
    source="A. de Brebisson, P. Vincent, arXiv 1604.08859; P. Vincent et al., arXiv 1412.7091; dossier f, check 4",
    trial=trial,
    arms={
        TUNED_Z: {"kind": "tuned"},
        UNTUNED: {"kind": "untuned"},
        FULL: {"kind": "full"},
        ADAPTIVE: {"kind": "adaptive"},
        SAMPLED: {"kind": "sampled"},
        CONTROL: {"kind": "shuffled"},
    },
    control=CONTROL,
    data=("sample",),
    more_data=("corpus", "debtags_xc"),
    settings={"n_steps": 1000, "shrink": 1},
    quick={"n_steps": 3, "shrink": 20},
    seeds=3,
    claims=(
        Claim(
            sentence="10,000 words: the target is among the first ten as often as with cross-entropy, less a point",
            metric="top10", of=TUNED_Z, over=FULL, at_least=-0.01, data=("corpus",),
        ),
        Claim(
            sentence="2,000 words: likewise",
            metric="top10", of=TUNED_Z, over=FULL, at_least=-0.01, data=("sample",),
        ),
        Claim(
            sentence="585 tags of packages: likewise",
            metric="top10", of=TUNED_Z, over=FULL, at_least=-0.01, data=("debtags_xc",),
        ),
        Claim(
            sentence="10,000 words: b = 0 is worse than a tuned one at the first place",
            metric="top1", of=TUNED_Z, over=UNTUNED, data=("corpus",),
        ),
        Claim(
            sentence="10,000 words: no worse than adaptive softmax among the first ten, less a point",
            metric="top10", of=TUNED_Z, over=ADAPTIVE, at_least=-0.01, data=("corpus",),
        ),
        Claim(
            sentence="10,000 words: no worse than sampled softmax among the first ten, less a point",
            metric="top10", of=TUNED_Z, over=SAMPLED, at_least=-0.01, data=("corpus",),
        ),
        Claim(
            sentence="10,000 words: the mean rank of the target is lower than with cross-entropy",
            metric="mean_rank", of=TUNED_Z, over=FULL, lower_is_better=True, data=("corpus",),
        ),
        Claim(
            sentence="It learns from the words before: five points above shuffled targets among the first ten",
            metric="top10", of=TUNED_Z, over=CONTROL, at_least=0.05,
        ),
    ),
)  # fmt: skip
