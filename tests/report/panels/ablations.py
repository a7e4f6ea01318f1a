"""An ablation made up for tests: four arms, one better than random, one trial failed."""

import json
from typing import Any

from raypipe.storage.folder import Folder

ARMS = {"full": -0.01, "random-0.2": 0.0, "influence-0.2": -0.05, "longest-0.2": 0.0}


def comparison(arm: str, mean: float, half: float, verdict: str, **more: Any) -> dict[str, Any]:
    effect = {"mean": mean, "low": mean - half, "high": mean + half, "n": 3, "spread": half, "p": 0.01}
    return {"arm": arm, "control": "random-0.2", "verdict": verdict, "effect": effect, "level": 0.983, "p": 0.03,
            "seeds_for_half": 11, **more}  # fmt: skip


def arm(name: str, shift: float) -> dict[str, Any]:
    curves = [[[step, 4 - step / 100 + shift + seed / 50] for step in (20, 40, 60)] for seed in range(3)]
    chosen = 0 if name == "full" else 12
    return {
        "selector": name.split("-")[0], "scores": "scores", "share": 0.2, "documents": chosen, "tokens": 100 * chosen,
        "pass_tokens": 9000, "passes": 1.4, "domains": {"code": [chosen, 70 * chosen], "web": [0, 30 * chosen]},
        "metrics": {"heldout_loss": [3.4 + shift, 0.02, 3], "domain_mean": [3.5, 0.02, 3], "loss": [3.2, 0.1, 3]},
        "curves": curves, "seconds": 40.0,
    }  # fmt: skip


def trial(name: str, seed: int, **more: Any) -> dict[str, Any]:
    return {"name": f"{seed:016x}", "arm": name, "mix": "ab" * 8, "seed": seed, "status": "finished", "steps": 60,
            "metrics": {"heldout_loss": 3.4}, "error": None, "seconds": 13.0, **more}  # fmt: skip


COMPARISONS = [
    comparison("influence-0.2", 0.05, 0.01, "better"),
    comparison("longest-0.2", 0.001, 0.02, "no difference shown"),
    {**comparison("full", 0, 0, "not judged"), "effect": None, "level": None, "p": None, "seeds_for_half": None},
]
ABLATION = {
    "metric": "heldout_loss", "share_of": "documents", "mix": "upsample", "seeds": 3, "order": list(ARMS),
    "arms": {name: arm(name, shift) for name, shift in ARMS.items()},
    "overlap": [{"arms": ["random-0.2", "influence-0.2"], "documents": 0.25, "tokens": 0.3}],
    "comparisons": COMPARISONS, "winner": "influence-0.2",
    "domains": [{**one, "domain": domain} for domain in ("code", "web") for one in COMPARISONS],
    "heldout_documents": 34, "trained_tokens": 12_800,
    "trials": [*(trial(name, seed) for seed in range(3) for name in ARMS),
               trial("longest-0.2", 3, status="failed", metrics={}, error="ValueError: no luck")],
    "seconds": 160.0, "date": "2026-11-29T10:00:00+00:00", "versions": {},
    "lineage": [{"what": "scores", "where": "scores", "made_of": "corpus and heads", "known": {"heads": 14}}],
}  # fmt: skip


def write_ablation(run: Folder, **more: Any) -> None:
    """Write it as a stage of a run."""
    run.write("ablation/card.json", json.dumps({"stage": "ablation", "status": "finished"}).encode())
    run.write("ablation/ablation.json", json.dumps({**ABLATION, **more}).encode())
