"""What `ablate` is to do: its arms, what each is compared with, and whether the run has what they need."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from raypipe.models.tokenizer import open_vocabulary
from raypipe.runs import card as cards
from raypipe.runs.names import nearest
from raypipe.select.export.files import column_names
from raypipe.select.ranking.arms import Choosing
from raypipe.select.rivals import OF_LOSSES, Selector
from raypipe.select.selection import Selection
from raypipe.settings.nested import changed
from raypipe.storage.folder import Folder
from raypipe.train.data.index import Listing, read_listing

from .ablate_settings import AblateSettings
from .idle import refuse_idle
from .learning import flat_settings
from .pretraining import PretrainSettings
from .training import part
from .tune_plan import RUNNING
from .tune_space import NOT_SEARCHED
from .tune_trial import HELDOUT

RANDOM: Selector = "random"
FULL: Selector = "full"
INFLUENCE: Selector = "influence"
BY_SCORES: tuple[Selector, ...] = ("influence", "adjusted")
"""Run for every scores; the others once, or once a proxy."""
DOMAIN_MEAN = "domain_mean"
"""The mean of the domains' held-out losses, each counting once."""
MIN_SEEDS = 2


@dataclass(frozen=True)
class AblationArm:
    """One way of selecting, and what is trained on: a row of the ablation's tables."""

    selector: Selector
    scores: str
    """The stage of the scores that it selects by: of a proxy, and of a share of its heads."""
    share: float
    is_first: bool = True
    """Whether those scores are the first that were named."""
    column: str = INFLUENCE
    """Of the scores, what their best are the best by."""

    @property
    def name(self) -> str:
        """Of its folder, and in every table: influence-0.2, and with `@heads-10` behind it by other scores.

        The best by scores that have no influence are named by what they have: quality-0.2@classes.
        """
        if self.selector == FULL:
            return FULL
        by = "" if self.is_first else f"@{self.scores.removeprefix('scores-')}"
        return f"{self.column if self.selector == INFLUENCE else self.selector}-{self.share:g}{by}"

    def folder(self, seed: int) -> str:
        """Its selection's, in the stage's; random rows are drawn anew for every seed."""
        return f"arms/{self.name}-seed-{seed}" if self.selector == RANDOM else f"arms/{self.name}"


def arms_of(config: AblateSettings, run: Folder) -> list[AblationArm]:
    """Every arm: random at every share and the full corpus first, then each selector by each scores.

    What only lengths decide, or only the proxy's losses, isn't run again for scores that have the same of them; a
    classifier's have none.
    """
    proxies: dict[str, str] = {}
    first = column_of(config, run, config.scores[0])
    arms = [
        AblationArm(FULL, config.scores[0], 1.0, column=first),
        *(AblationArm(RANDOM, config.scores[0], share, column=first) for share in config.shares),
    ]
    for stage in config.scores:
        proxy = cards.finished_card(run, stage)["identity"].get("model_sha256")
        is_first, is_new = stage == config.scores[0], proxies.setdefault(str(proxy), stage) == stage
        for selector in config.selectors:
            if is_first or selector in BY_SCORES or (selector in OF_LOSSES and is_new and proxy is not None):
                column = column_of(config, run, stage)
                arms += [AblationArm(selector, stage, share, is_first, column) for share in config.shares]
    return arms


def column_of(config: AblateSettings, run: Folder, stage: str) -> str:
    """What the rows of a stage of scores are ranked by: the setting; of scores without influence, what they have."""
    asked, columns = config.eligibility, column_names(run / stage, cards.tables(run / stage))
    if asked.score == INFLUENCE and INFLUENCE not in columns:
        asked = replace(asked, score=None)
    return asked.of_scores(cards.finished_card(run, stage), columns).column


def pairs_of(arms: Sequence[AblationArm]) -> list[tuple[str, str]]:
    """(arm, its control): the random selection of the same size; the full corpus against every one of them."""
    random = {arm.share: arm.name for arm in arms if arm.selector == RANDOM}
    others = [(arm.name, random[arm.share]) for arm in arms if arm.selector not in (RANDOM, FULL)]
    return [*others, *((FULL, name) for name in random.values())]


def selection_of(config: AblateSettings, arm: AblationArm) -> Selection:
    """The settings that its rows are selected with."""
    return Selection(
        scores=arm.scores,
        eligibility=replace(config.eligibility, score=arm.column),
        choosing=Choosing(share=arm.share, share_of=config.share_of),
        adjust=config.adjust,
        weighing=config.weighing,
        arms=(),
        leave_out=config.leave_out,
        seed=config.split_seed,
    )


def check(config: AblateSettings) -> None:
    """Refuse settings that leave nothing to compare, or that a trial takes from its arm.

    Raises
    ------
    ValueError
        With the setting.
    """
    for name in ("selectors", "shares", "scores"):
        values = getattr(config, name)
        if not values or len(set(values)) != len(values):
            raise ValueError(f"{name} must hold at least one value, each once, got {list(values) or 'none'}.")
    if wrong := set(config.selectors) - set(get_args(Selector)):
        raise ValueError(f"selectors must be some of {', '.join(get_args(Selector))}, got {sorted(wrong)[0]!r}.")
    if always := {RANDOM, FULL} & set(config.selectors):
        raise ValueError(f"selectors needn't name {sorted(always)[0]!r}, which is always run; leave it out.")
    if config.seeds < MIN_SEEDS:
        raise ValueError(f"seeds must be at least {MIN_SEEDS} for an interval, got {config.seeds}.")
    if not config.max_passes > 0:
        raise ValueError(f"max_passes must be above 0, got {config.max_passes}.")
    if config.training.workers != 1:
        raise ValueError(f"workers must be 1, a trial trains in one process; got {config.training.workers}.")
    refuse_idle(config.source, ["selection", "read_from"], because="in ablate, where each arm has its own selection")
    if "adjusted" not in config.selectors:
        refuse_idle(config, ["adjust"], because="without adjusted among --selectors")
    elif not config.adjust:
        raise ValueError("adjust must name what the score is adjusted for, got nothing.")
    for share in config.shares:
        selection_of(config, AblationArm(RANDOM, "scores", share)).check()


def check_run(config: AblateSettings, run: Folder) -> Listing:
    """What was tokenised, once the run has all that the arms need and the metric is one that trials give.

    Raises
    ------
    ValueError
        If a stage isn't whole, or no trial will report the metric.
    FileNotFoundError
        If a stage isn't there, with the nearest.
    """
    for stage in (*config.scores, *([config.leave_out] if config.leave_out is not None else [])):
        cards.finished_card(run, stage)
    config.source.check(run, open_vocabulary(config.source.tokenizer))
    listing = read_listing(run / config.source.tokens)
    known = [HELDOUT, DOMAIN_MEAN, *(f"{HELDOUT}/{domain}" for domain in listing.domains)]
    if config.metric not in known:
        raise ValueError(
            f"metric must be one that every trial reports, got {config.metric!r}; {nearest(config.metric, known)}."
        )
    return listing


def base_of(config: AblateSettings) -> PretrainSettings:
    """The settings of pretrain that all trials share."""
    base = part(PretrainSettings, config)
    return changed(base, name=None, restart=None, yes=False, retry="nothing", read_from=config.run.output)


def identity_of(base: PretrainSettings, listing: Listing) -> dict[str, Any]:
    """What can change a trial's metrics beside its arm's mix and its seed."""
    left_out = (*NOT_SEARCHED, *RUNNING, "selection", "read_from")
    shared = {name: value for name, value in flat_settings(base).items() if name not in left_out}
    return dict(json.loads(json.dumps({"job": "pretrain", **shared, "tokens_sha256": listing.sha256})))
