"""What each arm of `ablate` trains on: selections written, weighed against the budget, and counted for the report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from raypipe.runs.card import Json
from raypipe.runs.trials import Trial
from raypipe.select.rivals import rival, token_fractions
from raypipe.select.summary import Overlap
from raypipe.storage.folder import Folder
from raypipe.train.data.index import Listing, Mix, read_mix

from .ablate_plan import FULL, INFLUENCE, RANDOM, AblationArm, column_of, selection_of
from .ablate_settings import AblateSettings

BLOCK_ROWS = 1 << 20


@dataclass
class Mixes:
    """The mixes of all arms and seeds, in figures."""

    listing: Listing
    trials: list[Trial] = field(default_factory=list)
    """Every arm with every seed, seed by seed, so that what there is so far is paired."""
    arms: dict[str, Json] = field(default_factory=dict)
    """By arm, what it selected; of random rows with the first seed."""
    n_heldout: int = 0
    """Documents that no arm sees."""
    chosen: dict[str, np.ndarray] = field(default_factory=dict)
    """By arm with a selection, which rows of the listing are in it [n] bool."""

    def overlap(self) -> list[Json]:
        """For each two arms, the documents and the tokens that they have in common."""
        if not self.chosen:
            return []
        found = Overlap(tuple(self.chosen))
        for start in range(0, len(self.listing), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            found.update({arm: rows[block] for arm, rows in self.chosen.items()}, self.listing.n_tokens[block])
        return found.result()


def write_mixes(
    config: AblateSettings, arms: Sequence[AblationArm], run: Folder, stage: str, listing: Listing, *, n_tokens: int
) -> Mixes:
    """Write the selection of every arm and seed into the stage, and count what they are.

    Raises
    ------
    ValueError
        If nothing is held out, or an arm's tokens would be gone through more than `max_passes` times.
    """
    mixes, shas = Mixes(listing), dict[str, str]()
    fractions = {share: _fractions(config, run, share) for share in config.shares}
    for arm, seed in _every(config, arms):
        folder, settings = run / stage / arm.folder(seed), selection_of(config, arm)
        rival(run, folder, settings, arm.selector, fractions=fractions.get(arm.share, {}), draw=seed)
        mix = read_mix(listing, folder)
        mixes.n_heldout = _n_heldout(mix, config)
        figures = _figures(config, arm, mix, n_tokens)
        _require_tokens(arm, figures, n_tokens, config.max_passes)
        shas[arm.folder(seed)] = mix.sha256[:16]
        mixes.arms.setdefault(arm.name, figures)
        if arm.selector != FULL:
            mixes.chosen.setdefault(arm.name, _chosen(config, mix))
    seeds = range(config.training.seed, config.training.seed + config.seeds)
    mixes.trials += [Trial({"arm": arm.name, "mix": shas[arm.folder(seed)]}, seed) for seed in seeds for arm in arms]
    return mixes


def _every(config: AblateSettings, arms: Sequence[AblationArm]) -> Iterator[tuple[AblationArm, int]]:
    """Every selection once: (arm, seed)."""
    for arm in arms:
        for seed in range(config.training.seed, config.training.seed + (config.seeds if arm.selector == RANDOM else 1)):
            yield arm, seed


def _fractions(config: AblateSettings, run: Folder, share: float) -> dict[str, float]:
    """The part of each group's tokens that all arms of this share take: what the best by the first scores hold."""
    first = config.scores[0]
    arm = AblationArm(INFLUENCE, first, share, column=column_of(config, run, first))
    return token_fractions(run, selection_of(config, arm))


def _chosen(config: AblateSettings, mix: Mix) -> np.ndarray:
    return mix.weight > (1 if config.weighing.mix == "upsample" else 0)


def _figures(config: AblateSettings, arm: AblationArm, mix: Mix, n_tokens: int) -> Json:
    """What an arm selected, in documents and in the trainee's tokens."""
    listing = mix.listing
    chosen = np.zeros(len(listing), bool) if arm.selector == FULL else _chosen(config, mix)
    counts, sizes = (np.bincount(listing.domain[chosen], weights=of, minlength=len(listing.domains)) for of in
                     (None, listing.n_tokens[chosen].astype(np.float64)))  # fmt: skip
    in_a_pass = float((mix.weight.astype(np.float64) * listing.n_tokens).sum())
    return {
        "selector": arm.selector, "scores": arm.scores, "share": arm.share,
        "documents": int(chosen.sum()), "tokens": int(listing.n_tokens[chosen].sum()),
        "pass_tokens": round(in_a_pass), "passes": n_tokens / in_a_pass if in_a_pass else float("inf"),
        "domains": {name: [int(counts[at]), int(sizes[at])] for at, name in enumerate(listing.domains)},
    }  # fmt: skip


def _n_heldout(mix: Mix, config: AblateSettings) -> int:
    n = int((mix.is_heldout & (mix.listing.n_tokens > 1)).sum())
    if not n:
        raise ValueError(
            f"an ablation is judged on held-out documents, but holdout {config.eligibility.holdout} leaves none of the "
            f"{len(mix.listing):,} rows; raise it."
        )
    return n


def _require_tokens(arm: AblationArm, figures: Json, n_tokens: int, max_passes: float) -> None:
    """Refuse a training that would repeat itself more than is allowed.

    Raises
    ------
    ValueError
        With the tokens that there are and that are asked for.
    """
    if figures["passes"] <= max_passes:
        return
    there = figures["pass_tokens"]
    raise ValueError(
        f"arm {arm.name!r} has too few tokens for the budget: {there:,} in one pass, and training on "
        f"{n_tokens:,} would go through them {figures['passes']:.1f} times, "
        f"max_passes is {max_passes:g}; train on fewer tokens, select a larger share, or raise max_passes."
    )
