"""A trial of `ablate`: pretrain on one arm's mix with one seed, judged on the held-out documents."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.run.sweep import Need
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .ablate_plan import DOMAIN_MEAN, AblationArm
from .pretraining import PretrainSettings
from .tune_trial import HELDOUT, RUN, STAGES, JobTrial

JOB = "pretrain"


@dataclass(frozen=True)
class ArmTrial:
    """Trains on what an arm selected; selections and tokens are there, nothing is scored or tokenised."""

    base: PretrainSettings
    """pretrain's settings that all trials share."""
    stage: str
    """Of the run, that holds the arms' selections."""
    arms: tuple[AblationArm, ...]
    need: Need

    def __call__(self, settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
        """Held-out loss over all tokens, by domain, and as a mean of domains; and the training loss.

        Raises
        ------
        ValueError
            If no held-out document was measured.
        """
        arm = next(arm for arm in self.arms if arm.name == settings["arm"])
        selection = f"{self.stage}/{arm.folder(seed)}"
        metrics = JobTrial(JOB, self.base, self.need)({"selection": selection}, seed, folder)
        by_domain = [value for name, value in metrics.items() if name.startswith(f"{HELDOUT}/")]
        if not by_domain:
            raise ValueError("an ablation needs held-out documents to judge by, got none; raise --holdout.")
        forget_checkpoints(folder / RUN / STAGES[JOB])
        return {**metrics, DOMAIN_MEAN: float(np.mean(by_domain))}


def forget_checkpoints(training: Folder) -> None:
    """Delete what only serves to go on; the model stays."""
    checkpoints = training / "checkpoints"
    for entry in checkpoints.files(recursive=True):
        checkpoints.delete(entry.path)
