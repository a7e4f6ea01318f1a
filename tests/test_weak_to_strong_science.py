"""What weak-to-strong learning and debates promise, with linear models on made data: five seeds, thousands of rows.

The weak model sees a few noisy features of a row; the strong one sees many that together tell the label. A debate is
evidence for either label: absent in a third of the cases, else right in four of five, drawn anew for each transcript.
"""

from functools import cache

import numpy as np
import pytest
import torch

from raypipe.evaluate.recovered_gap import recovered_gap
from raypipe.losses.soft_labels import PLAIN, Confidence, Product
from raypipe.train.data.splits import exchanged, split_halves
from tests.learning import SEED, THREADS, require

N, SEEDS = 6000, range(5 * SEED, 5 * SEED + 5)
pytestmark = pytest.mark.learns


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(THREADS)


class World:
    """`n` rows, their labels, and what each kind of model sees: a strong one `d` features that are `apart` by class."""

    def __init__(self, n=N, *, d=40, apart=0.28):
        rng = np.random.default_rng(0)
        self.keys = rng.integers(-(2**62), 2**62, n)
        self.y = rng.integers(0, 2, n)
        side = 2 * self.y - 1
        self.weak = (0.25 * side[:, None] + rng.normal(size=(n, 4))).astype(np.float32)
        self.strong = (apart * side[:, None] + rng.normal(size=(n, d))).astype(np.float32)
        drawn = rng.random((4, n))
        said = np.where(rng.random((4, n)) < 0.8, side, -side)
        self.evidence = np.where(drawn < 1 / 3, 0, said).astype(np.float32)  # [transcripts, n]

    def judged(self, m):
        """What a weak model sees with transcript m: [n, 5]."""
        return np.concatenate([self.weak, self.evidence[m][:, None]], axis=1)

    @cache  # noqa: B019 (one world a module)
    def labelled(self, seed):
        """P(label 1) of the second half: without debate, one judge, four draws on one transcript, four transcripts."""
        halves = split_halves(self.keys, seed=seed, test_share=0.3)
        first, second, y = halves.first, halves.second, truth(self.y[halves.first])
        none = learn(self.weak[first], y, seed=seed)(self.weak[second])
        draws = [learn(self.judged(0)[first], y, seed=seed + 100 * d)(self.judged(0)[second]) for d in range(4)]
        judges = [draws[0], *(learn(self.judged(m)[first], y, seed=seed)(self.judged(m)[second]) for m in range(1, 4))]
        return second, {"none": none, "one": draws[0], "draws": np.mean(draws, 0), "ensemble": np.mean(judges, 0)}


@pytest.fixture(scope="module")
def world():
    return World()


def learn(X, q, *, loss=PLAIN, seed=0, steps=200):
    """A linear model of soft labels [n, 2], by Adam on batches; a function from features to P(label 1)."""
    generator = torch.Generator().manual_seed(seed)
    W = (0.1 * torch.randn(X.shape[1] + 1, 2, generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([W], lr=0.05)
    inputs, labels = _with_bias(X), torch.as_tensor(np.asarray(q, np.float32))
    for step in range(steps):
        chosen = torch.randint(len(X), (256,), generator=generator)
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / steps)  # else the last batches decide the threshold
        optimiser.zero_grad()
        loss(inputs[chosen] @ W, labels[chosen], step / steps).mean().backward()
        optimiser.step()
    return lambda features: (_with_bias(features) @ W.detach()).softmax(dim=1)[:, 1].numpy()


def _with_bias(X):
    return torch.cat([torch.from_numpy(X), torch.ones(len(X), 1)], dim=1)


def truth(y):
    return np.eye(2)[y]


def soft(p):
    return np.stack([1 - p, p], axis=1)


def right(p, y):
    return (p >= 0.5) == (y == 1)


def taught(world, seed, p_second, **settings):
    """What a strong student of these labels of the second half gets right in the test."""
    halves = split_halves(world.keys, seed=seed, test_share=0.3)
    student = learn(world.strong[halves.second], soft(p_second), seed=seed, **settings)
    return right(student(world.strong[halves.test]), world.y[halves.test])


def plain(world, seed, **settings):
    """Weak, student, ceiling: what each gets right in the test."""
    halves = split_halves(world.keys, seed=seed, test_share=0.3)
    weak = learn(world.weak[halves.first], truth(world.y[halves.first]), seed=seed)
    ceiling = learn(world.strong[halves.first], truth(world.y[halves.first]), seed=seed)
    y = world.y[halves.test]
    return (
        right(weak(world.weak[halves.test]), y),
        taught(world, seed, weak(world.weak[halves.second]), **settings),
        right(ceiling(world.strong[halves.test]), y),
    )


@pytest.mark.parametrize(
    "loss", [PLAIN, *(pytest.param(loss, marks=pytest.mark.slow) for loss in (Confidence(), Product()))]
)
def test_a_student_recovers_much_of_the_gap_under_every_loss(world, loss):
    weak, student, ceiling = (np.stack(part) for part in zip(*(plain(world, s, loss=loss) for s in SEEDS), strict=True))
    require(gap=ceiling.mean() - weak.mean(), above=0.05)
    found = recovered_gap(weak, student, ceiling)
    require(pgr=found.pgr, above=0.3)
    assert found.interval[0] < found.pgr < found.interval[1]


@pytest.mark.slow
def test_four_transcripts_beat_four_draws_on_one(world):
    for seed in SEEDS:
        second, labels = world.labelled(seed)
        accuracy = {name: right(p, world.y[second]).mean() for name, p in labels.items()}
        require(ensemble_above_draws=accuracy["ensemble"] - accuracy["draws"], above=0.03)
        require(draws_from_one=abs(accuracy["draws"] - accuracy["one"]), below=0.02)
        require(one_above_none=accuracy["one"] - accuracy["none"], above=0.02)


@pytest.mark.slow
def test_students_of_the_ensemble_are_better_and_see_no_debate():
    world = World(3000, d=160, apart=0.14)  # with few rows of weak features a student can't average wrong labels away
    scores = {"none": [], "draws": [], "ensemble": []}
    for seed in SEEDS:
        _, labels = world.labelled(seed)
        for name in scores:
            scores[name].append(taught(world, seed, labels[name]).mean())
    mean = {name: np.mean(values) for name, values in scores.items()}
    require(ensemble_above_draws=mean["ensemble"] - mean["draws"], above=0)
    require(draws_above_none=mean["draws"] - mean["none"], above=0)


def test_with_exchanged_debates_a_judge_falls_back_to_none(world):
    gains = []
    for seed in SEEDS:
        halves = split_halves(world.keys, seed=seed, test_share=0.3)
        mixed = world.judged(0).copy()
        for half in (halves.first, halves.second):
            mixed[half, -1] = mixed[half[exchanged(world.keys[half], seed=seed)], -1]
        judge = learn(mixed[halves.first], truth(world.y[halves.first]), seed=seed)
        second, labels = world.labelled(seed)
        y = world.y[second]
        gains.append(right(judge(mixed[second]), y).mean() - right(labels["none"], y).mean())
    require(mean_gain=abs(np.mean(gains)), below=0.01)
    require(largest_gain=max(gains), below=0.02)
