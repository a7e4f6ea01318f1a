"""What every task of training keeps to; each check catches a task made wrong on purpose."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raypipe.contracts.rows import Bag, Document, Pair, Vector, Votes
from raypipe.contracts.task import LOSS, Figure, Models, Placed, RowLosses
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import BatchLayout, ExampleLoader
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.handles import Gradients, Weights, plainly, trained_weights
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.loop.checkpoint import Checkpoints
from raypipe.train.loop.journal import Journal, read_journal
from raypipe.train.loop.loop import train
from raypipe.train.loop.meter import Meter
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule
from raypipe.train.tasks.task import SimpleTask
from tests.conformance.finding import classes_with, head_of
from tests.train.parts import HERE, tiny_model
from tests.train.synthetic import VOCABULARY

TASKS = classes_with("models", "count", "collate", "loss", "flops", under="raypipe.train.tasks")
CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
N = 8
Make = Callable[[], tuple[Any, Sequence[Any]]]


def ids(n: int) -> np.ndarray:
    return RNG.integers(1, VOCABULARY, n).astype(np.int32)


def documents(n_classes: int) -> list[Document]:
    made = [Document(ids(3 + row), "ab"[row % 2], "x", row, label=float(row % n_classes)) for row in range(N)]
    return [replace(one, soft_label=RNG.dirichlet(np.ones(n_classes))) for one in made]


def classifier(n_outputs: int) -> Any:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForSequenceClassification(LlamaConfig(vocab_size=VOCABULARY, num_labels=n_outputs, **sizes))


def next_token() -> tuple[Any, list[Any]]:
    from raypipe.train.tasks.next_token import NextToken

    return NextToken(tiny_model()), documents(2)


def classification(n_outputs: int = 2) -> tuple[Any, list[Any]]:
    from raypipe.train.tasks.classification import ClassificationHead

    return ClassificationHead(classifier(n_outputs)), documents(max(2, n_outputs))


def soft_labels() -> tuple[Any, list[Any]]:
    from raypipe.losses.soft_labels import CrossEntropy
    from raypipe.train.tasks.soft_labels import SoftLabelHead

    return SoftLabelHead(classifier(3), CrossEntropy(), n_steps=2), documents(3)


def contrastive() -> tuple[Any, list[Any]]:
    return contrastive_task(), [Pair(ids(4), ids(5), "ab"[row % 2], "x", row) for row in range(N)]


def factored_next_token() -> tuple[Any, list[Any]]:
    from raypipe.losses.z_loss import ZLoss
    from raypipe.train.tasks.factored_next_token import FactoredNextToken

    return FactoredNextToken(tiny_model(), ZLoss(z_b=3.0), length=3 + N, learning_rate=lambda _: 1.0), documents(2)


def distilled() -> tuple[Any, list[Any]]:
    from raypipe.train.tasks.distilled_next_token import DistilledNextToken
    from raypipe.train.tasks.teaching import Teaching

    return DistilledNextToken(tiny_model(), tiny_model(seed=1), Teaching(distil_top=5)), documents(2)


def pruned(of: Make = next_token, prune: str = "rigl") -> tuple[Any, list[Any]]:
    from raypipe.train.tasks.pruned import Pruned
    from raypipe.train.weights.pruning import Pruner, Pruning, matrices_of

    task, rows = of()
    pruner = Pruner(Pruning(prune=prune, prune_every=1, exchange_until=1.0), n_steps=2, seed=0)  # type: ignore[arg-type]
    pruner.begin(matrices_of(trained_weights(task.models.trained)))
    return Pruned(task, pruner), rows


def hard_contrastive() -> tuple[Any, list[Any]]:
    rows = [Pair(ids(4), ids(5), "ab"[row % 2], "x", row, (ids(3), ids(6)), (0.9, 0.1, 0.2)) for row in range(N)]
    hard = {"focal_gamma": 0.5, "matryoshka": (8, 4), "pair_mixtures": 1, "list_mixture": True, "scores_weight": 1.0}
    return contrastive_task(n_negatives=2, **hard), rows


def contrastive_task(*, n_negatives: int = 0, **settings: Any) -> Any:
    from raypipe.losses.contrastive import ContrastiveLoss
    from raypipe.train.tasks.contrastive import Contrastive
    from raypipe.train.tasks.text_encoder import TextEncoder

    encoder = TextEncoder(tiny_model().model, pooling="mean", is_causal=False)
    return Contrastive(encoder, ContrastiveLoss(**settings), n_negatives=n_negatives)


def supervised_contrastive() -> tuple[Any, list[Any]]:
    from raypipe.train.tasks.supervised_contrastive import SupervisedContrastive

    torch.manual_seed(0)
    x = RNG.normal(size=(N, 5)).astype(np.float32)
    rows = [Vector(x[row], "ab"[row % 2], "x", row, label=float(row % 2)) for row in range(N)]
    return SupervisedContrastive(n_features=5, n_outputs=3), rows


EXAMPLES: dict[str, tuple[Make, ...]] = {
    "NextToken": (next_token,),
    "FactoredNextToken": (factored_next_token,),
    "DistilledNextToken": (distilled,),
    "Pruned": (pruned, partial(pruned, factored_next_token, "gmp"), partial(pruned, classification, "units")),
    "ClassificationHead": (classification, partial(classification, 1), partial(classification, 3)),
    "SoftLabelHead": (soft_labels,),
    "Contrastive": (contrastive, hard_contrastive),
    "SupervisedContrastive": (supervised_contrastive,),
}


def losses_of(task: Any, rows: Sequence[Any]) -> RowLosses:
    models, tensors = plainly(task.models), task.collate(rows, CPU)
    return task.loss(models, task.embed(models, tensors) if task.whole_step else tensors)


def declares_itself(make: Make) -> None:
    task, rows = make()
    assert isinstance(task.models, Models)
    assert task.models.trained is task.models.trained  # the same modules at each call
    names = [figure.name for figure in (LOSS, *task.figures)]
    assert all(isinstance(figure, Figure) for figure in task.figures)
    assert len(set(names)) == len(names)
    assert hasattr(task, "embed") == task.whole_step
    assert task.flops(rows) > task.flops(rows[:1]) > 0


def gives_as_many_terms_as_it_counts_each_with_its_row(make: Make) -> None:
    task, rows = make()
    found = losses_of(task, rows)
    assert found.losses.dtype == torch.float32
    assert found.losses.shape == found.owners.shape
    assert torch.isfinite(found.losses).all()
    assert torch.bincount(found.owners, minlength=N).tolist() == [task.count(row) for row in rows]
    assert all(len(values) == N for values in found.metrics.values())


def sees_each_row_alone_unless_it_says_otherwise(make: Make) -> None:
    """Rows may be cut into passes as they come; only a whole-step loss looks at others."""
    task, rows = make()
    if task.whole_step:
        return
    task.models.trained.eval()
    together = losses_of(task, rows)
    for row, one in enumerate(rows):
        torch.testing.assert_close(losses_of(task, [one]).losses, together.losses[together.owners == row])


def gives_the_same_for_the_same_rows(make: Make) -> None:
    task, rows = make()
    task.models.trained.eval()
    first, again = losses_of(task, rows), losses_of(task, rows)
    assert torch.equal(first.losses, again.losses)
    other, _ = make()
    other.models.trained.eval()
    assert torch.equal(losses_of(other, rows).losses, first.losses)  # new weights are the seed's


def has_gradients_in_the_trained_weights_alone(make: Make) -> None:
    task, rows = make()
    losses_of(task, rows).losses.mean().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in task.models.trained.parameters())
    frozen = [weight for model in task.models.frozen.values() for weight in model.parameters()]
    assert not any(weight.grad is not None and weight.grad.any() for weight in frozen)


def keeps_its_state(make: Make) -> None:
    task, _ = make()
    weights = trained_weights(task.models.trained)
    task.after_backward(Gradients(weights))
    task.after_step(Weights(weights), 1)
    state = task.state()
    assert all(torch.is_tensor(value) for value in state.values())
    other, _ = make()
    other.load_state({name: value.clone() for name, value in state.items()})
    assert {name: value.tolist() for name, value in other.state().items()} == {
        name: value.tolist() for name, value in state.items()
    }


def goes_through_the_loop_and_tells_its_figures(make: Make, folder: Path) -> None:
    task, rows = make()
    layout, where = BatchLayout(0, 1, 4, 2), Folder(str(folder))
    engine = TorchEngine(task.models, Optimiser(), n_micro=2, precision=Precision(), workers=HERE)
    state = train(
        task, engine, ExampleLoader(rows, rows, layout, 0, task.count), TrainingPlan(2, Schedule()),
        checkpoints=Checkpoints(where / "checkpoints", HERE, {}), meter=Meter(Journal(where / "metrics")),
    )  # fmt: skip
    line = read_journal(where / "metrics")[-1]
    told = {name.removeprefix("heldout_") for name in line if name.startswith("heldout_")} - {"loss", "by_domain"}
    assert told == {figure.name for figure in task.figures} == set(state.figures)
    assert set(line["heldout_by_domain"]) == {"a", "b"}
    assert all(np.isfinite(line[f"heldout_{name}"]) for name in told)
    assert exported_are_the_trained(engine, task)


def exported_are_the_trained(engine: TorchEngine, task: Any) -> bool:
    return engine.exported().keys() == trained_weights(task.models.trained).keys()


CHECKS = [
    declares_itself,
    gives_as_many_terms_as_it_counts_each_with_its_row,
    sees_each_row_alone_unless_it_says_otherwise,
    gives_the_same_for_the_same_rows,
    has_gradients_in_the_trained_weights_alone,
    keeps_its_state,
]


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.__name__)
def test_a_task(kind: type, tmp_path: Path) -> None:
    assert kind.__name__ in EXAMPLES, f"give {kind.__name__} an example above: how it is made, and a few rows."
    assert head_of(kind).strip()
    for number, make in enumerate(EXAMPLES[kind.__name__]):
        for check in CHECKS:
            check(make)
        goes_through_the_loop_and_tells_its_figures(make, tmp_path / str(number))


def test_all_are_found() -> None:
    assert {kind.__name__ for kind in TASKS} == set(EXAMPLES)


class Toy(SimpleTask):
    """Right: a linear classifier of rows that are turned into numbers; the wrong ones below change one thing each."""

    figures = (Figure("accuracy"),)

    def __init__(self, n_features: int, numbers: Callable[[Any], np.ndarray]) -> None:
        torch.manual_seed(0)
        self._models, self._numbers = Models(nn.Linear(n_features, 2)), numbers

    @property
    def models(self) -> Models:
        return self._models

    def count(self, row: Any) -> int:
        return 1

    def flops(self, rows: Sequence[Any]) -> float:
        return 1.0 * len(rows)

    def collate(self, rows: Sequence[Any], device: torch.device) -> dict[str, Any]:
        X = torch.tensor(np.stack([self._numbers(row) for row in rows]), dtype=torch.float32)
        return {"X": X, "y": torch.tensor([int(row.label) for row in rows])}

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        logits = models.trained(tensors["X"])
        losses = nn.functional.cross_entropy(logits, tensors["y"], reduction="none")
        return RowLosses(losses, torch.arange(len(losses)), {"accuracy": logits.argmax(1) == tensors["y"]})


def of_vectors(kind: type = Toy) -> tuple[Any, list[Any]]:
    return kind(3, lambda row: row.x), [
        Vector(RNG.normal(size=3).astype(np.float32), "ab"[row % 2], "x", row, label=row % 2) for row in range(N)
    ]


def of_bags() -> tuple[Any, list[Any]]:
    return Toy(3, lambda row: row.X.mean(axis=0)), [
        Bag(RNG.normal(size=(1 + row, 3)).astype(np.float32), "ab"[row % 2], "x", row, label=row % 2)
        for row in range(N)
    ]


def of_votes() -> tuple[Any, list[Any]]:
    """A vote for class 1 pulls up, one for 0 down; who abstains has no say."""
    return Toy(4, lambda row: np.select([row.votes == 1, row.votes == 0], [1.0, -1.0], 0.0)), [
        Votes(RNG.integers(-1, 2, 4).astype(np.int8), "ab"[row % 2], "x", row, label=row % 2) for row in range(N)
    ]


@pytest.mark.parametrize("make", [of_vectors, of_bags, of_votes])
def test_rows_of_every_kind_can_be_learnt_from(make: Make, tmp_path: Path) -> None:
    """Documents and pairs are those of tasks above."""
    for check in CHECKS:
        check(make)
    goes_through_the_loop_and_tells_its_figures(make, tmp_path)


class CountsTwo(Toy):
    def count(self, row):
        return 2


class LooksAround(Toy):
    def loss(self, models, tensors):
        found = super().loss(models, tensors)
        return replace(found, losses=found.losses - found.losses.mean().detach())


class Draws(Toy):
    def loss(self, models, tensors):
        found = super().loss(models, tensors)
        return replace(found, losses=found.losses * torch.rand(()))


class LearnsNothing(Toy):
    def loss(self, models, tensors):
        found = super().loss(models, tensors)
        return replace(found, losses=found.losses.detach().requires_grad_())


class Forgets(Toy):
    step = 0

    def after_step(self, weights, step):
        self.step = step

    def state(self):
        return {"step": torch.tensor(self.step)}


class NamesTheLoss(Toy):
    figures = (Figure("loss"),)


class TellsMore(Toy):
    figures = ()


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (NamesTheLoss, declares_itself),
        (CountsTwo, gives_as_many_terms_as_it_counts_each_with_its_row),
        (LooksAround, sees_each_row_alone_unless_it_says_otherwise),
        (Draws, gives_the_same_for_the_same_rows),
        (LearnsNothing, has_gradients_in_the_trained_weights_alone),
        (Forgets, keeps_its_state),
    ],
)
def test_a_wrong_one_is_caught(wrong: type, check: Callable[[Make], None]) -> None:
    with pytest.raises(AssertionError):
        check(partial(of_vectors, wrong))
    check(of_vectors)


def test_one_that_tells_a_figure_which_it_doesnt_declare_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        goes_through_the_loop_and_tells_its_figures(partial(of_vectors, TellsMore), tmp_path)
