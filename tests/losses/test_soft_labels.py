"""Losses on soft labels, against formulas written out."""

import pytest
import torch

from raypipe.losses.soft_labels import Confidence, CrossEntropy, Product, hardened


@pytest.fixture
def batch():
    """Logits and soft labels of 37 documents."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(37, 2, generator=generator, requires_grad=True)
    first = torch.rand(37, generator=generator)
    return logits, torch.stack([first, 1 - first], dim=1)


def by_hand(logits, target):
    """-sum target log f, a document at a time."""
    f = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    return torch.stack([-(target[n, 0] * f[n, 0].log() + target[n, 1] * f[n, 1].log()) for n in range(len(f))])


def gradient(loss, logits):
    return torch.autograd.grad(loss.sum(), logits)[0]


def test_cross_entropy_is_the_formula(batch):
    torch.testing.assert_close(CrossEntropy()(*batch, 0.5), by_hand(*batch))


@pytest.mark.parametrize(("loss", "step"), [(Confidence(aux_coef=0.0), 0.7), (Confidence(), 0.0)])
def test_confidence_without_weight_is_cross_entropy_to_the_bit(batch, loss, step):
    assert torch.equal(loss(*batch, step), CrossEntropy()(*batch, step))


@pytest.mark.parametrize(("step", "c"), [(0.0, 0.0), (0.05, 0.025), (0.1, 0.05), (0.1001, 0.5), (0.5, 0.5), (1.0, 0.5)])
def test_the_weight_grows_and_then_jumps(step, c):
    assert Confidence().coefficient(step) == pytest.approx(c)


def test_confidence_mixes_labels_with_hardened_predictions(batch):
    logits, labels = batch
    f = logits.detach().softmax(dim=1)
    n_second = round(float(labels[:, 1].mean()) * (len(f) - 1) + 0.4999)  # below the interpolated quantile
    hard = torch.zeros_like(labels)
    for place, n in enumerate(f[:, 0].argsort().tolist()):
        hard[n, 1 if place < n_second else 0] = 1
    torch.testing.assert_close(Confidence()(*batch, 0.5), by_hand(logits, 0.5 * labels + 0.5 * hard))


def test_confidence_with_labels_that_are_the_hardened_predictions_is_cross_entropy(batch):
    logits, labels = batch
    for _ in range(20):  # a one-hot q that hardens to itself
        hard = hardened(logits.detach().softmax(dim=1), labels)
        if torch.equal(hard, labels):
            break
        labels = hard
    assert set(labels.flatten().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(Confidence()(logits, labels, 0.9), CrossEntropy()(logits, labels, 0.9))


@pytest.mark.parametrize("size", [2, 7, 32, 100])
def test_hardened_predictions_keep_the_balance_of_the_labels(size):
    generator = torch.Generator().manual_seed(size)
    for _ in range(50):
        f = torch.randn(size, 2, generator=generator).softmax(dim=1)
        share = torch.rand(size, generator=generator) * torch.rand(1, generator=generator)
        hard = hardened(f, torch.stack([1 - share, share], dim=1))
        assert abs(float(hard[:, 1].mean() - share.mean())) < 1 / size + 1e-6
        certain = torch.cat([f[hard[:, 0] == 1, 0], torch.ones(1)]).min()
        assert (f[hard[:, 1] == 1, 0] < certain).all()  # the surest of class 0 are hardened to it
        assert hard.sum(dim=1).tolist() == [1.0] * size


def test_equal_predictions_harden_to_class_zero():
    labels = torch.tensor([[0.2, 0.8]] * 4)
    assert hardened(torch.full((4, 2), 0.5), labels)[:, 0].tolist() == [1.0] * 4


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (2.0, 0.5), (1.0, 0.0)])
def test_product_is_the_formula(batch, alpha, beta):
    logits, labels = batch
    target = logits.detach().softmax(dim=1) ** beta * labels**alpha
    target /= target.sum(dim=1, keepdim=True)
    torch.testing.assert_close(Product(alpha, beta)(*batch, 0.5), by_hand(logits, target))
    if beta == 0:
        torch.testing.assert_close(Product(alpha, beta)(*batch, 0.5), CrossEntropy()(*batch, 0.5))


@pytest.mark.parametrize("loss", [Confidence(), Product()])
def test_no_gradient_goes_through_the_target(batch, loss):
    """d CE(f, target) / d logits = f - target where the target is a constant."""
    logits, labels = batch
    f = logits.detach().softmax(dim=1)
    if isinstance(loss, Product):
        target = f * labels / (f * labels).sum(dim=1, keepdim=True)
    else:
        target = 0.5 * labels + 0.5 * hardened(f, labels)
    torch.testing.assert_close(gradient(loss(*batch, 0.5), logits), f - target)


def test_product_of_certain_labels_is_finite():
    logits = torch.tensor([[200.0, -200.0], [0.0, 0.0]])
    labels = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    torch.testing.assert_close(Product()(logits, labels, 0.5), torch.tensor([400.0, 0.6931472]))


def test_product_takes_many_classes_and_confidence_two():
    logits, labels = torch.zeros(3, 4), torch.full((3, 4), 0.25)
    torch.testing.assert_close(Product()(logits, labels, 0.5), torch.full((3,), 4.0).log())
    with pytest.raises(ValueError, match="2 classes, got 4"):
        Confidence()(logits, labels, 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Confidence(aux_coef=1.5), r"aux_coef must be in \[0, 1\], got 1.5"),
        (lambda: Confidence(aux_warmup=-0.1), r"aux_warmup must be in \[0, 1\], got -0.1"),
        (lambda: Product(alpha=0.0), "alpha must be above 0 .* got 0.0"),
        (lambda: Product(beta=-1.0), "beta at least 0, got 1.0 and -1.0"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
