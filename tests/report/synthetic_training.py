"""The files of a training stage made up for tests: a card, and metrics as training writes them."""

import json

import numpy as np

from raypipe.storage.folder import Folder

from .synthetic import DOMAINS, HOSTILE


def write_training(
    run: Folder,
    stage: str = "train",
    *,
    n_steps: int = 600,
    save_every: int = 100,
    heldout_every: int = 50,
    status: str = "finished",
    domains: tuple[str, ...] = (*DOMAINS, HOSTILE[0]),
    has_mfu: bool = True,
    seed: int = 0,
) -> list[dict]:
    """Write it, and return its lines. The held-out loss is lowest at three quarters of the steps."""
    rng = np.random.default_rng(seed)
    level = dict(zip(domains, np.linspace(-0.8, 0.8, len(domains)), strict=True))
    lines = [
        _line(rng, step, n_steps, level, has_mfu=has_mfu, is_measured=step == n_steps or step % heldout_every == 0)
        for step in range(1, n_steps + 1)
    ]
    for first in range(0, n_steps, save_every):
        content = "".join(json.dumps(line) + "\n" for line in lines[first : first + save_every])
        run.write(f"{stage}/metrics/{first + 1:08d}.jsonl", content.encode())
    card = {
        "stage": stage, "kind": "train",
        "identity": {"n_steps": n_steps, "learning_rate": 3e-4, "mix_sha256": "ab" * 32},
        "times": {"started": "2026-11-23T12:00:00+00:00", "finished": "2026-11-23T13:30:00+00:00"},
        "status": status, "versions": {"raypipe": "0.1.0", "torch": "2.13.0"}, "running": {"workers": 1},
        "counts": {"step": n_steps, "tokens": 65_536 * n_steps},
    }  # fmt: skip
    run.write(f"{stage}/card.json", json.dumps(card).encode())
    return lines


def _line(rng, step: int, n_steps: int, level: dict[str, float], *, has_mfu: bool, is_measured: bool) -> dict:
    done = step / n_steps
    loss = 3.1 + 7.6 * float(np.exp(-9 * done)) - 0.4 * done
    step_s = 4.2 * float(np.exp(0.04 * rng.normal())) + (3 if step % 100 == 1 else 0)
    line = {
        "step": step, "time": f"2026-11-23T12:{step // 60 % 60:02d}:{step % 60:02d}.000+00:00", "tokens": 65_536 * step,
        "order": f"{step:032x}", "loss": loss + 0.12 * float(rng.normal()), "loss_by_domain": {},
        "learning_rate": 3e-4 * min(done / 0.05, 1, (1 - done) / 0.25),
        "gradient_norm": float(np.exp(0.3 * rng.normal() - 0.5)) * (40 if step == n_steps // 2 else 1),
        "tokens_per_s": 65_536 / step_s, "step_s": step_s, "data_wait_s": float(rng.exponential(0.03)),
        "memory_bytes": 21 * 2**30 + (2**30 if step > 60 else 0),
    }  # fmt: skip
    if has_mfu:
        line["mfu"] = 1.6 / step_s
    if is_measured and level:
        heldout = loss + 0.1 + 1.5 * max(0.0, done - 0.75) ** 2 + 0.4 * (max(0.0, done - 0.75))
        line["heldout_loss"] = heldout
        line["heldout_by_domain"] = {name: heldout + above for name, above in level.items()}
    return line
