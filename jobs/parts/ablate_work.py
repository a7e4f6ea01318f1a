"""The trials of an ablation: what they share, what each trains on, and the function that runs one."""

from dataclasses import dataclass, replace

from raypipe.run.cluster import connect
from raypipe.run.sweep import Need
from raypipe.runs.card import Json
from raypipe.runs.trials import Trial
from raypipe.storage.folder import Folder
from raypipe.train.data.index import Listing

from .ablate_mixes import Mixes, write_mixes
from .ablate_plan import AblationArm, base_of, identity_of
from .ablate_settings import AblateSettings
from .ablate_trial import ArmTrial
from .pretraining import PretrainSettings


@dataclass(frozen=True)
class Ablation:
    """An ablation that can be run."""

    config: AblateSettings
    base: PretrainSettings
    """pretrain's settings that all trials share."""
    arms: tuple[AblationArm, ...]
    stage: str
    listing: Listing
    identity: Json
    """What can change a trial's metrics beside its mix and its seed."""
    mixes: Mixes

    @property
    def trials(self) -> list[Trial]:
        """Once the mixes are written."""
        return self.mixes.trials

    @property
    def n_tokens(self) -> int:
        """That every trial trains on."""
        return int(self.base.sequences.n_steps * self.base.sequences.batch_tokens)

    def with_mixes(self, run: Folder) -> "Ablation":
        """The same once every arm's selection is written; raises as `write_mixes`."""
        mixes = write_mixes(self.config, self.arms, run, self.stage, self.listing, n_tokens=self.n_tokens)
        return replace(self, mixes=mixes)

    def need(self, *, has_gpus: bool | None = None) -> Need:
        """What one trial takes; a GPU where the cluster, which is joined or started, has one."""
        has_gpus = connect().gpus > 0 if has_gpus is None else has_gpus
        gpus = self.base.training.gpus_per_worker
        return Need(cpus=self.base.training.cpus_per_worker or 1.0, gpus=float(has_gpus) if gpus is None else gpus)

    def trial(self, need: Need) -> ArmTrial:
        """The function that runs a trial."""
        return ArmTrial(self.base, self.stage, self.arms, need)


def plan_work(config: AblateSettings, arms: list[AblationArm], listing: Listing, run: Folder, stage: str) -> Ablation:
    """The work that checked settings ask for; nothing is written."""
    base = base_of(config)
    return Ablation(config, base, tuple(arms), stage, listing, identity_of(base, listing), Mixes(listing))
