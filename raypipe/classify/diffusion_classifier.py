"""Diffusion classifier: the class under which a conditional denoiser tells a row's noise best.

A small denoiser is trained on the rows with their classes, or a trained one is opened (`folder`); to classify a row,
noise is added at evenly spaced times, and the class with the lowest mean error of the noise that is told wins. All
classes of a row meet the same noise, and classes that are behind after a few times are dropped before the rest is
tried.
Source: A. Li et al., Your Diffusion Model is Secretly a Zero-Shot Classifier, ICCV 2023, arXiv 2303.16203: paired
noise, evenly spaced times, stages; times of a stage are those of the authors' code.
Departures: without a folder the denoiser is our own and small (raypipe.classify.denoiser), for vectors; a row's noise
is keyed by its numbers, so that batches change nothing; a dropped class's error is at least that of whoever was left.
Cost: about 2 b h^2 multiplications for each row, class and time tried, of b blocks of h units; the training as many
for `n_epochs` passes, 50 steps at least; more passes tell better. Memory O(batch t d).
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, Protocol, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from raypipe.arrays.elimination import levelled, stages_of, still_left
from raypipe.arrays.scaling import mean_and_scale
from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state

if TYPE_CHECKING:
    from raypipe.classify.denoiser import Denoiser

ROWS_AT_ONCE, MIN_STEPS, N_TIMES = 64, 50, 1000
IMAGES_AT_ONCE = 4
"""Of a folder: noise of all times is held for so many."""


def grid(n: int, *, n_times: int = N_TIMES) -> list[int]:
    """`n` evenly spaced times, from half a step on, as the authors' code has them."""
    return list(range(n_times // n // 2, n_times, n_times // n))[:n]


def subset(times: list[int], n: int) -> list[int]:
    """Those of a grid that a stage of `n` evaluations takes, as the authors' code does."""
    return times[len(times) // n // 2 :: len(times) // n][:n]


class Teller(Protocol):
    """Tells noise that was added, given a class."""

    @property
    def n_times(self) -> int:
        """How many there are, from little noise to much."""
        ...

    def begun(self, X: np.ndarray) -> np.ndarray:
        """What noise is added to: rows [n, d] -> [n, d']."""
        ...

    def error(self, Z: np.ndarray, noise: np.ndarray, time: int, classes: np.ndarray, *, loss: str) -> np.ndarray:
        """Error of the noise that is told for [n, d'] under classes [n]: [n]."""
        ...


@dataclass(frozen=True)
class OwnTeller:
    """The denoiser that was trained on the rows."""

    model: "Denoiser"
    mean: np.ndarray
    scale: np.ndarray
    n_times: int = N_TIMES

    def begun(self, X: np.ndarray) -> np.ndarray:
        """Rows of unit variance."""
        found: np.ndarray = (X - self.mean) / self.scale
        return found

    def error(self, Z: np.ndarray, noise: np.ndarray, time: int, classes: np.ndarray, *, loss: str) -> np.ndarray:
        """As `told_error`."""
        return told_error(self.model, Z, noise, time, classes, loss=loss)


class DiffusionClassifier(ClassifierMixin, BaseEstimator):
    """Lowest error of told noise."""

    classes_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    weights_: dict[str, np.ndarray]
    n_features_in_: int

    def __init__(
        self,
        *,
        schedule: str = "5:10 1:50",
        loss: Literal["l1", "l2"] = "l2",
        width: int = 128,
        n_blocks: int = 2,
        n_epochs: int = 60,
        batch: int = 128,
        learning_rate: float = 2e-3,
        folder: str | None = None,
        prompt: str = "a photo of a {}.",
        random_state: int | None = None,
    ) -> None:
        """`schedule`: classes kept and evaluations so far of each stage, KEEP:EVALUATIONS; `loss`: of told noise.

        `width`, `n_blocks`: of the denoiser; `n_epochs`, `batch`, `learning_rate`: of its training. `folder`: a trained
        model of the diffusers library instead (Stable Diffusion, DiT). Rows are then square images, pixel by pixel,
        three numbers of 0 to 255 each; classes are texts for {} in `prompt`, or the model's own names or numbers.
        """
        self.folder, self.prompt = folder, prompt
        self.schedule, self.loss, self.width, self.n_blocks = schedule, loss, width, n_blocks
        self.n_epochs, self.batch, self.learning_rate, self.random_state = n_epochs, batch, learning_rate, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Train the denoiser on rows [n, d] and classes [n]; of a folder only the names of the classes are learned.

        Raises
        ------
        ValueError
            If a number isn't finite, there are fewer than two classes, or a setting is out of its range.
        FileNotFoundError, ImportError
            If the folder is none of diffusers, or that library isn't installed.
        """
        from raypipe.classify.denoiser import trained

        stages_of(self.schedule, most=N_TIMES)
        if min(self.width, self.n_blocks, self.n_epochs, self.batch) < 1 or self.loss not in ("l1", "l2"):
            raise ValueError(
                f"width, n_blocks, n_epochs and batch must be at least 1 and loss l1 or l2, got {self.width}, "
                f"{self.n_blocks}, {self.n_epochs}, {self.batch} and {self.loss!r}."
            )
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, at = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"DiffusionClassifier needs two classes at least, got 1 class: {str(y[0])!r}.")
        if self.folder is not None:
            return self._take_folder(X)
        self.mean_, self.scale_ = mean_and_scale(X)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        model = trained(
            (X - self.mean_) / self.scale_, at, k=len(self.classes_), width=self.width, n_blocks=self.n_blocks,
            n_steps=max(MIN_STEPS, self.n_epochs * -(-len(X) // self.batch)), batch=self.batch,
            learning_rate=self.learning_rate, seed=seed,
        )  # fmt: skip
        self.weights_ = {name: of.numpy().copy() for name, of in model.state_dict().items()}
        return self

    def _take_folder(self, X: np.ndarray) -> Self:
        """See that rows are images and that the model knows the classes; nothing is trained."""
        from raypipe.classify.diffusers_folder import digest_of

        if round((X.shape[1] / 3) ** 0.5) ** 2 * 3 != X.shape[1] or X.min() < 0 or X.max() > 255:
            raise ValueError(
                "rows must be square images, three numbers of 0 to 255 a pixel, where folder is given; got "
                f"{X.shape[1]} numbers of {X.min():g} to {X.max():g}."
            )
        self._teller()
        self.mean_, self.scale_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        self.weights_ = {"folder_sha256": np.frombuffer(digest_of(str(self.folder)).encode(), np.uint8)}
        return self

    def _teller(self) -> Teller:
        if self.folder is None:
            return OwnTeller(self._denoiser(), self.mean_, self.scale_)
        from raypipe.classify.diffusers_folder import FolderTeller

        names = [str(name) for name in self.classes_]
        return FolderTeller.open(self.folder, names, prompt=self.prompt, batch=self.batch)

    def _denoiser(self) -> "Denoiser":
        import torch

        from raypipe.classify.denoiser import Denoiser

        check_is_fitted(self)
        made = Denoiser(d=len(self.mean_), k=len(self.classes_), width=self.width, n_blocks=self.n_blocks)
        made.load_state_dict({name: torch.from_numpy(of) for name, of in self.weights_.items()})
        return made.eval()

    def errors(self, X: np.ndarray) -> np.ndarray:
        """Mean error of told noise under each class, over the times that the class was tried at: [n, d] -> [n, k].

        That of a dropped class is above those of the classes that were left.
        """
        check_is_fitted(self)
        X, teller = validate_data(self, X, dtype=np.float64, reset=False), self._teller()
        n = ROWS_AT_ONCE if self.folder is None else IMAGES_AT_ONCE
        parts = [self._staged(teller, X[at : at + n]) for at in range(0, len(X), n)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes_)))

    def _staged(self, teller: Teller, X: np.ndarray) -> np.ndarray:
        stages, Z = stages_of(self.schedule, most=teller.n_times), teller.begun(X)
        times, (n, k) = grid(stages[-1][1], n_times=teller.n_times), (len(Z), len(self.classes_))
        noise = noise_of(X if self.folder else Z, len(times), d=Z.shape[1])
        total, number, left, tried = np.zeros((n, k)), np.zeros((n, k)), np.ones((n, k), bool), set()
        found = np.full((n, k), np.inf)
        for keep, n_evaluations in stages:
            new = [time for time in subset(times, n_evaluations) if time not in tried]
            tried |= set(new)
            for time in new:
                rows, classes = np.nonzero(left)
                eps = noise[rows, times.index(time)]
                total[rows, classes] += teller.error(Z[rows], eps, time, classes, loss=self.loss)
                number[rows, classes] += 1
            found = np.where(left, total / np.maximum(number, 1), found)
            left = still_left(left, found, keep=keep)
        return levelled(found, number)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the lowest error that was kept to the end: [n, d] -> [n]."""
        lowest = self.errors(X).argmin(axis=1)
        found: np.ndarray = self.classes_[lowest]
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Softmax of errors times the number of columns: [n, d] -> [n, k]; not calibrated."""
        errors = self.errors(X)
        found: np.ndarray = softmax(-len(self.mean_) * errors, axis=1)
        return found

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is: minus its lowest error, [n, d] -> [n]; higher is more."""
        found: np.ndarray = -self.errors(X).min(axis=1)
        return found

    def state(self) -> State:
        """What was learned: names of the classes, scaling, weights of the denoiser."""
        check_is_fitted(self)
        weights = {f"denoiser.{name}": of for name, of in self.weights_.items()}
        return classes_state(self.classes_) | {"mean": self.mean_, "scale": self.scale_} | weights

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.mean_, made.scale_ = classes_of(state), state["mean"], state["scale"]
        made.weights_ = {
            name.removeprefix("denoiser."): of for name, of in state.items() if name.startswith("denoiser.")
        }
        made.n_features_in_ = len(made.mean_)
        return made


def noise_of(Z: np.ndarray, n: int, *, salt: bytes = b"", d: int | None = None) -> np.ndarray:
    """Noise of each row for `n` times, by the row's own numbers: [r, d'] -> [r, n, d]; d' numbers if None."""
    rows, d = np.ascontiguousarray(Z, dtype=np.float64), d or Z.shape[1]
    found = np.empty((len(rows), n, d))
    for at, row in enumerate(rows):
        key = int.from_bytes(blake2b(row.tobytes() + salt, digest_size=16).digest())
        found[at] = np.random.Generator(np.random.Philox(key=key)).standard_normal((n, d))
    return found


def told_error(
    model: "Denoiser", Z: np.ndarray, noise: np.ndarray, time: int, classes: np.ndarray, *, loss: str
) -> np.ndarray:
    """Error of the noise that is told for rows [n, d] under classes [n], mean over columns: [n]."""
    import torch

    from raypipe.classify.denoiser import signal_shares

    share = signal_shares()[time]
    noised = torch.from_numpy((np.sqrt(share) * Z + np.sqrt(1 - share) * noise).astype(np.float32))
    with torch.inference_mode():
        said = model(noised, torch.full((len(Z),), time), torch.from_numpy(classes)).numpy().astype(np.float64)
    gaps = np.abs(said - noise)
    found: np.ndarray = (gaps if loss == "l1" else gaps**2).mean(axis=1)
    return found
