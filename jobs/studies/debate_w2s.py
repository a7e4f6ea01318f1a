"""Weak-to-strong: a strong model taught by a weak one's soft labels, plainly, by other losses, and by an ensemble.

The debate paper's frame without a language model, as its dossier asks (f2 to f4): digits, even or odd. The weak model
is a logistic regression on a few coarse pixels with few true labels; a transcript is evidence that only some of its
readers get, here four more random pixels of the image a debate. The strong one is a network of two layers on all
pixels, which learns from labels only. Ceiling: the same network, taught the truth.
"""

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from raypipe.evaluate.claims import Claim
from raypipe.losses.soft_labels import Confidence, CrossEntropy, Product, SoftLoss
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import split, vectors
from .study import Study

LOSSES: dict[str, SoftLoss] = {"xent": CrossEntropy(), "logconf": Confidence(), "product": Product()}
N_COARSE, N_EVIDENCE = 6, 4
"""Pixels that every weak model sees, and those that a debate adds."""


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy of the arm's student and of its teacher on the same held-out rows."""
    X, digits = vectors(settings["data"])
    X, y = (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9), digits % 2
    first, second, test = split(len(X), (settings["n_weak"], settings["n_student"], settings["n_test"]), seed)
    rng = np.random.default_rng([seed, 1])
    coarse = rng.choice(X.shape[1], N_COARSE, replace=False)
    debates = [rng.choice(X.shape[1], N_EVIDENCE, replace=False) for _ in range(4)]
    if settings["teacher"] == "truth":
        q, q_test = np.eye(2)[y[second]], np.eye(2)[y[test]]
    else:
        evidence = {"one debate": debates[:1], "ensemble": debates, "shuffled": debates}
        read = evidence.get(settings["teacher"], [np.zeros(0, dtype=int)])
        readers = [np.concatenate([coarse, debate]) for debate in read]
        q, q_test = (_taught(X, y, first, rows, readers) for rows in (second, test))
    if settings["teacher"] == "shuffled":
        q = q[rng.permutation(len(q))]
    student = _student(X[second], q, LOSSES[settings["loss"]], seed=seed, n_steps=settings["n_steps"])
    with torch.no_grad():
        said = student(_tensor(X[test])).argmax(dim=1).numpy()
    return {
        "accuracy": float((said == y[test]).mean()),
        "teacher_accuracy": float((q_test.argmax(axis=1) == y[test]).mean()),
        "label_accuracy": float((q.argmax(axis=1) == y[second]).mean()),
    }


def _taught(X: np.ndarray, y: np.ndarray, first: np.ndarray, rows: np.ndarray, readers: list[np.ndarray]) -> np.ndarray:
    """Soft labels [n, 2] of the rows: the mean over weak models, each of which reads some pixels."""
    said = [
        LogisticRegression(max_iter=1000).fit(X[first][:, seen], y[first]).predict_proba(X[rows][:, seen])
        for seen in readers
    ]
    return np.asarray(np.mean(said, axis=0))


def _student(X: np.ndarray, q: np.ndarray, loss: SoftLoss, *, seed: int, n_steps: int) -> nn.Module:
    """A network of two layers after `n_steps` of Adam on random batches of 64; the same seed, the same network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(X.shape[1], 64), nn.ReLU(), nn.Linear(64, 2))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3, weight_decay=1e-3)
    rng, inputs, targets = np.random.default_rng([seed, 2]), _tensor(X), _tensor(q)
    for step in range(n_steps):
        rows = torch.from_numpy(rng.integers(0, len(X), 64))
        optimiser.zero_grad()
        loss(network(inputs[rows]), targets[rows], step / n_steps).mean().backward()
        optimiser.step()
    return network


def _tensor(X: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(X, dtype=np.float32))


ROOM = Claim(
    sentence="There is room: the ceiling is 5 points above the teacher",
    metric="accuracy", of="ceiling", over="student", over_metric="teacher_accuracy", at_least=0.05,
)  # fmt: skip
LOSSES_AND_DEBATES = (
    Claim(
        sentence="The auxiliary confidence loss makes a better student than plain cross-entropy",
        metric="accuracy", of="student, auxiliary confidence", over="student",
    ),
    Claim(
        sentence="The product loss makes a better student than plain cross-entropy",
        metric="accuracy", of="student, product", over="student",
    ),
    Claim(
        sentence="Evidence of a debate makes a better student than none",
        metric="accuracy", of="student of one debate", over="student",
    ),
    Claim(
        sentence="An ensemble of four debates teaches better than one of them",
        metric="accuracy", of="student of a debate ensemble", over="student of one debate",
    ),
)  # fmt: skip
"""Claims on losses and debates, of the arms named here; the study on texts makes them too."""

STUDY = Study(
    source="H. Lang et al., arXiv 2501.13124, main table; C. Burns et al., arXiv 2312.09390; dossier f, checks 2 to 4",
    trial=trial,
    arms={
        "student": {"teacher": "none", "loss": "xent"},
        "student, auxiliary confidence": {"teacher": "none", "loss": "logconf"},
        "student, product": {"teacher": "none", "loss": "product"},
        "student of one debate": {"teacher": "one debate", "loss": "xent"},
        "student of a debate ensemble": {"teacher": "ensemble", "loss": "xent"},
        "ceiling": {"teacher": "truth", "loss": "xent"},
        "student of shuffled labels": {"teacher": "shuffled", "loss": "xent"},
    },
    control="student of shuffled labels",
    data=("digits",),
    settings={"n_weak": 200, "n_student": 800, "n_test": 700, "n_steps": 600},
    quick={"n_steps": 40},
    seeds=20,
    claims=(
        Claim(
            sentence="The student is better than its weak teacher",
            metric="accuracy", of="student", over="student", over_metric="teacher_accuracy",
        ),
        ROOM,
        Claim(
            sentence="The student learns from its labels, not from the inputs alone: .1 above one of shuffled labels",
            metric="accuracy", of="student", over="student of shuffled labels", at_least=0.1,
        ),
        *LOSSES_AND_DEBATES,
        Claim(
            sentence="The ensemble's labels themselves are better than those of one debate",
            metric="label_accuracy", of="student of a debate ensemble", over="student of one debate",
        ),
    ),
)  # fmt: skip
