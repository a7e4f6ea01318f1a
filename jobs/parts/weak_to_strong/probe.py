"""The strong model as a probe: its states of all rows, computed once for every seed and loss, and the fits on them."""

import threading
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from raypipe.models.causal import open_model
from raypipe.run.chain import Step
from raypipe.runs.card import Json
from raypipe.runs.signals import Stopped
from raypipe.storage.folder import Folder

from .arms import Arm
from .rows import documents_of, halves_of, load_rows, soft_labels, write_predictions
from .settings import WeakToStrongSettings

LINK, FILE = "states", "states.f32"
CHUNK = 512
"""Rows between two looks for a request to stop."""


def plan_states(config: WeakToStrongSettings, own: Folder, made: Mapping[str, Folder]) -> Step:
    """The mean states [n, d] of all rows, one file of float32."""
    loaded = load_rows(config)
    identity = {
        "rows_sha256": loaded.rows.sha256,
        "tokenizer_sha256": loaded.vocabularies["strong"].sha256,
        "model": open_model(config.strong).sha256(),
        "probe_layers": config.probe_layers,
    }

    def work(card: Json, stopping: threading.Event) -> None:
        """Run the model over the rows."""
        documents = documents_of(config, Arm(LINK, "strong"), 0, np.arange(len(loaded.rows.rows)))
        X = _states(config, [document.ids for document in documents], stopping)
        own.write(FILE, X.tobytes())
        card["counts"] = {"rows": len(X)}

    return Step(identity, work, kind="states")


def _states(config: WeakToStrongSettings, ids: list[np.ndarray], stopping: threading.Event) -> np.ndarray:
    import torch

    from raypipe.lm.states import keep_layers, mean_states

    device = "cuda" if torch.cuda.is_available() else "cpu"
    causal = open_model(config.strong).weights(dtype="float32", device=device)
    body = causal.model.eval() if config.probe_layers is None else keep_layers(causal, config.probe_layers)
    found = []
    for start in range(0, len(ids), CHUNK):
        if stopping.is_set():
            raise Stopped("stopped between two parts of the states; go on with the same command.")
        found.append(mean_states(body, ids[start : start + CHUNK], batch=config.micro_batch))
    return np.concatenate(found)


def plan_probe(config: WeakToStrongSettings, arm: Arm, seed: int, own: Folder, made: Mapping[str, Folder]) -> Step:
    """A strong arm as a probe: what it is trained for are its predictions of the test."""
    rows = load_rows(config).rows
    identity = {
        "arm": arm.name,
        "split_seed": seed,
        "loss": {"kind": type(arm.loss).__name__, **asdict(arm.loss)},
        "rows_sha256": rows.sha256,
        "test_share": config.rows.test_share,
        "probe_axes": config.probe_axes,
    }

    def work(card: Json, stopping: threading.Event) -> None:
        """Fit, and predict."""
        from raypipe.classify.probe import fit_probe

        X = np.frombuffer(made[LINK].read(FILE), np.float32).reshape(len(rows.rows), -1)
        halves = halves_of(config, rows, seed)
        learnt = halves.second if arm.teachers else halves.first
        q = soft_labels(config, arm, seed, halves)[:, 1]
        probe = fit_probe(X[learnt], q, loss=arm.loss, n_axes=config.probe_axes)
        write_predictions(own, halves.test, probe.probability(X[halves.test]))
        card["counts"] = {"rows": len(learnt)}

    return Step(identity, work, kind="probe")
