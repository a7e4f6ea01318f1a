import numpy as np
import pytest

from raypipe.classify import tsetlin
from raypipe.classify.tsetlin import TsetlinMachine

pytest.importorskip("numba")


@pytest.mark.parametrize(
    ("n_classes", "n_bits", "settings"),
    [
        (2, 12, {}),
        (3, 70, {"boost": False}),
        (2, 300, {"max_literals": 4}),
        (4, 130, {"max_literals": 3, "s": 20.0, "boost": False, "state_bits": 3}),
        (1, 12, {}),
        (2, 12, {"s": 1.0}),  # every bit drawn
        (2, 12, {"s": 1e6}),  # none
    ],
)
def test_what_is_compiled_learns_the_same_bits_as_numpy(
    n_classes: int, n_bits: int, settings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 2, (60, n_bits)), rng.integers(0, n_classes, 60)
    settings = {"n_clauses": 20, "n_epochs": 2, "random_state": 0, **settings}
    compiled = TsetlinMachine(**settings).fit(X, y)
    monkeypatch.setattr(tsetlin, "find_spec", lambda name: None)
    plain = TsetlinMachine(**settings).fit(X, y)
    assert (compiled.include_ == plain.include_).all()
    assert compiled.updated_.tolist() == plain.updated_.tolist()
    assert (plain.include_ != 0).any() or settings.get("s") == 1.0
