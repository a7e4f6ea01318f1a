"""Supervised contrastive learning: the loss by a loop, gradients over passes, and what it does to classes."""

import numpy as np
import pytest
import torch

from raypipe.contracts.rows import Vector
from raypipe.contracts.task import Placed
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import BatchLayout, ExampleLoader
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.loop.checkpoint import Checkpoints
from raypipe.train.loop.journal import Journal, read_journal
from raypipe.train.loop.loop import train
from raypipe.train.loop.meter import Meter
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule
from raypipe.train.loop.whole_step import backward_whole
from raypipe.train.tasks.supervised_contrastive import SupervisedContrastive
from tests.train.parts import HERE

D = 6


def task() -> SupervisedContrastive:
    torch.manual_seed(0)
    return SupervisedContrastive(n_features=D, n_outputs=4, temperature=0.5)


def vectors(n: int = 12, *, seed: int = 0) -> list[Vector]:
    """Three classes that differ in two features, under four of loud noise."""
    rng = np.random.default_rng(seed)
    found = []
    for row in range(n):
        x = rng.normal(size=D) * [0.3, 0.3, 3, 3, 3, 3]
        x[:2] += [(1, 0), (-1, 1), (0, -1)][row % 3]
        found.append(Vector(x.astype(np.float32), "all", "v.parquet", row, label=float(row % 3)))
    return found


def loss_of(made: SupervisedContrastive, rows: list[Vector]) -> torch.Tensor:
    models = Placed(made.models.trained)
    return made.loss(models, made.embed(models, made.collate(rows, torch.device("cpu")))).losses


def by_loop(z: np.ndarray, labels: list[int], temperature: float) -> list[float]:
    """Equation 2, term by term."""
    found = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        total = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
        terms = [np.log(np.exp(z[i] @ z[p] / temperature) / total) for p in positives]
        found.append(-sum(terms) / len(positives) if positives else 0.0)
    return found


def test_the_loss_is_equation_2_and_0_for_a_row_without_positives():
    made, rows = task(), [*vectors(11), Vector(np.ones(D, np.float32), "all", "v", 11, label=7.0)]
    X = np.stack([row.x for row in rows]).astype(float)
    z = X @ made.models.trained.linear.weight.detach().double().numpy().T
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    right = by_loop(z, [int(row.label) for row in rows], 0.5)
    assert loss_of(made, rows).tolist() == pytest.approx(right, abs=1e-5)
    assert right[-1] == 0.0


@pytest.mark.parametrize("size", [12, 4, 1])
def test_gradients_dont_depend_on_the_passes_of_a_step(size):
    rows, made = vectors(), task()
    engine = TorchEngine(made.models, Optimiser(), n_micro=12 // size, precision=Precision(), workers=HERE)
    backward_whole(made, engine, [rows[at : at + size] for at in range(0, 12, size)])
    right = task()
    loss_of(right, rows).mean().backward()
    torch.testing.assert_close(made.models.trained.linear.weight.grad, right.models.trained.linear.weight.grad)


def test_a_step_of_one_row_has_a_loss_and_a_gradient_of_0():
    made = task()
    loss_of(made, vectors(1)).mean().backward()
    assert not made.models.trained.linear.weight.grad.any()


@pytest.mark.learns
def test_classes_come_together_and_a_row_s_neighbour_is_of_its_class(tmp_path):
    made, layout = task(), BatchLayout(0, 1, 60, 30)
    engine = TorchEngine(
        made.models, Optimiser(learning_rate=0.05, weight_decay=0.0), n_micro=2, precision=Precision(), workers=HERE
    )
    train(
        made, engine, ExampleLoader(vectors(240), vectors(60, seed=1), layout, 0, made.count, unit="rows"),
        TrainingPlan(60, Schedule(), heldout_every=59),
        checkpoints=Checkpoints(Folder(str(tmp_path)) / "checkpoints", HERE, {}),
        meter=Meter(Journal(Folder(str(tmp_path)) / "metrics")),
    )  # fmt: skip
    lines = read_journal(Folder(str(tmp_path)) / "metrics")
    with torch.no_grad():
        untrained = task()
        start = untrained.loss(
            Placed(untrained.models.trained),
            untrained.embed(
                Placed(untrained.models.trained), untrained.collate(vectors(60, seed=1), torch.device("cpu"))
            ),
        )
    before = untrained.summary({name: value.float().numpy() for name, value in start.metrics.items()})
    assert lines[-1]["heldout_neighbour_accuracy"] > 0.85 > 0.7 > before["neighbour_accuracy"]


def test_a_row_without_a_label_and_a_wrong_temperature_are_refused():
    with pytest.raises(ValueError, match=r"v.parquet, row 3: a row must have a label, got none"):
        task().collate([Vector(np.ones(D, np.float32), "all", "v.parquet", 3)], torch.device("cpu"))
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        SupervisedContrastive(n_features=2, temperature=0)
