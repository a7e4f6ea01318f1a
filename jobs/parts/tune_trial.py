"""A trial of `tune`: the job itself, in the trial's own folder, and what it came to."""

import importlib
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.run.sweep import Need
from raypipe.runs.lock import Locked
from raypipe.runs.signals import Stopped
from raypipe.runs.trials import LOOK_EVERY_S, Metrics, report
from raypipe.settings.nested import changed
from raypipe.storage.folder import Folder
from raypipe.train.loop.journal import read_journal

from .pretraining import PretrainSettings
from .tune_space import TrainingJob, applied

STAGES = {"finetune": "finetune", "pretrain": "train"}
"""The jobs that can be tuned, and the stage that each trains."""
RUN = "run"
"""The job's run folder inside the trial's."""
HELDOUT, LOSS, ACCURACY, ERROR = "heldout_loss", "loss", "accuracy", "mean_absolute_error"
NDCG = "nDCG@10"
STOPPED = (130, 143)


@dataclass(frozen=True)
class JobTrial:
    """Runs a training job with a trial's settings; goes on where a killed process of the same trial was."""

    job: str
    base: TrainingJob
    """Settings of the job that all trials share."""
    need: Need

    def __call__(self, settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
        """What the trained model came to.

        Raises
        ------
        Stopped
            If the job was asked to stop.
        RuntimeError
            If it ended otherwise than finished.
        """
        config = changed(
            applied(self.base, settings), seed=seed, output=(folder / RUN).uri,
            cpus_per_worker=self.need.cpus, gpus_per_worker=None,
        )  # fmt: skip
        stage = Folder(config.run.output) / STAGES[self.job]
        for line in read_journal(stage / "metrics"):
            if HELDOUT in line:
                report(line["step"], **_heldout(line))
        status = _run(self.job, config)
        if status in STOPPED:
            raise Stopped("stopped in a trial; go on with the same command.")
        if status:
            raise RuntimeError(f"{self.job} ended with status {status}; see {config.run.output}/run.json.")
        return metrics_of(stage)


def _run(job: str, config: TrainingJob) -> int:
    """The job's exit status; another process that is still at the trial is waited for."""
    main = importlib.import_module(f"..{job}", __package__).main
    while True:
        try:
            return int(main(config))
        except Locked:
            time.sleep(LOOK_EVERY_S)


def metrics_of(stage: Folder) -> dict[str, float]:
    """What a finished training is judged by, of the weights that it exported."""
    lines, state = read_journal(stage / "metrics"), json.loads(stage.read("card.json"))["counts"]
    found = {LOSS: float(np.mean([line["loss"] for line in lines[-max(1, len(lines) // 10) :]]))}
    for line in lines:
        if line["step"] == state["step"] and HELDOUT in line:
            found |= _heldout(line)
    if stage.exists("evaluation.json"):
        found |= _evaluated(json.loads(stage.read("evaluation.json")))
    return found


def _heldout(line: dict[str, Any]) -> dict[str, float]:
    by_domain = {f"{HELDOUT}/{domain}": float(loss) for domain, loss in line["heldout_by_domain"].items() if domain}
    return {HELDOUT: float(line[HELDOUT]), **by_domain}


def _evaluated(found: dict[str, Any]) -> dict[str, float]:
    ours = found["ours"]
    if "retrieval" in found:
        return {NDCG: float(found["retrieval"][ours][NDCG]["mean"])}
    if ERROR in found:
        return {ERROR: float(found[ERROR][ours]["mean"])}
    return {ACCURACY: float(found["mean_over_tasks"]["accuracy"][ours]["mean"])}


def known_metrics(job: str, base: TrainingJob) -> list[str]:
    """The metrics that a trial of these settings gives; those by domain are HELDOUT/DOMAIN beside."""
    if isinstance(base, PretrainSettings):
        return [LOSS] if base.source.selection == "none" else [LOSS, HELDOUT]
    of = {"answers": [], "class": [ACCURACY], "choices": [ACCURACY], "number": [ERROR], "embedding": [NDCG]}
    measured = of[base.examples.learn]
    return [LOSS, HELDOUT, *measured] if base.examples.heldout_share > 0 else [LOSS]
