"""Rival selections for an experiment: each takes rows by one order, into a folder of its own.

All take the same part of the tokens of every ranking group, to the nearest document: that part which the best share by
the score holds. What differs between two of them is then the choice and not the amount.
Cost: the scores are read once a selection; memory as in `stage`.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from raypipe.runs.card import Json, finished_card, read_card, tables
from raypipe.runs.files import listing_digest
from raypipe.runs.stage import at_work
from raypipe.select.export.files import column_names, count_rows, write_arm
from raypipe.select.ranking.arms import Pick, pick_share, pick_tokens
from raypipe.select.ranking.groups import Eligible, adjust, rank_groups
from raypipe.select.ranking.orders import AtRandom, Middle, Order, by_score, longest, lowest_loss
from raypipe.select.rows import Regressor, Rows, Scores
from raypipe.select.rules.ruling import Ruling, ruled
from raypipe.select.selection import Selection
from raypipe.select.stage import (
    before_rules,
    identity_of,
    is_done,
    left_out_texts,
    read_eligible,
    require_count,
    ruling_of,
)
from raypipe.select.summary import totals
from raypipe.storage.folder import Entry, Folder

Selector = Literal["influence", "adjusted", "random", "longest", "lowest-loss", "perplexity-band", "full"]
"""influence: the best by the score. adjusted: by what loss and length leave unexplained of it. perplexity-band: nearest
to the middle of the losses. full: nothing is selected, every row is seen once."""
OF_LOSSES: tuple[Selector, ...] = ("lowest-loss", "perplexity-band")


def settings_of(selector: Selector, settings: Selection) -> Selection:
    """The settings with what this selector needs of them and nothing else, so that others change nothing of it."""
    own = replace(settings, adjust=settings.adjust if selector == "adjusted" else ())
    own = replace(own, arms=("lowest-loss",) if selector in OF_LOSSES else ())  # these read the losses
    return replace(own, weighing=replace(own.weighing, mix="upsample")) if selector == "full" else own  # else none seen


def token_fractions(run: Folder, settings: Selection) -> dict[str, float]:
    """By ranking group, the part of the eligible tokens that is in the best share by the score; raises as `rival`."""
    settings, card, files = opened(run, replace(settings, adjust=(), arms=()))
    left_out = left_out_texts(run, settings.leave_out)
    eligible = _eligible(run, settings, files, card, left_out, ruling_of(run, settings))
    pick = pick_share(eligible, settings.choosing)

    def add(sums: np.ndarray, group: str, rows: Rows) -> None:
        """Count tokens: those taken, and all."""
        _, taken = pick.of(rows, group)
        sums += np.array([rows.n_tokens_total[taken].sum(), rows.n_tokens_total.sum()])

    sums = eligible.fold(lambda _: np.zeros(2, np.int64), add)
    return {group: float(taken / max(every, 1)) for group, (taken, every) in sorted(sums.items())}


def rival(
    run: Folder, folder: Folder, settings: Selection, selector: Selector,
    *, fractions: Mapping[str, float], draw: int = 0,
) -> Json:  # fmt: skip
    """Write a selection into `folder` and return its card; one that is there already stays.

    `fractions` of each group's tokens are taken, of a group that isn't named the settings' share; `draw` is the seed of
    the random selector.

    Raises
    ------
    ValueError
        If a setting makes no sense, or the scores aren't finished.
    FileNotFoundError
        If the run has no such scores, or no such stage to leave out.
    KeyError
        If a column that the selector needs is missing.
    """
    settings, scores_card, files = opened(run, settings_of(selector, settings))
    left_out, ruling = left_out_texts(run, settings.leave_out), ruling_of(run, settings)
    identity = identity_of(settings, scores_card, files, left_out, arm=selector, ruling=ruling)
    identity |= json.loads(json.dumps({"draw": draw, "fractions": {} if selector == "full" else dict(fractions)}))
    if is_done(folder, identity, names=[file.path for file in files]):
        return read_card(folder) or {}
    eligible = _eligible(run, settings, files, scores_card, left_out, ruling)
    with at_work(folder, {"stage": "selection", "kind": "annotate", "op": "Selection", "identity": identity}) as card:
        folder.sweep()
        for file in tables(folder):
            folder.delete(file.path)
        pick = _pick(eligible, settings, selector, fractions, draw)
        tally, _ = write_arm(folder, eligible, pick, weighing=settings.weighing, identity=identity)
        domains = tally.result()
        card |= {"counts": totals(domains), "selection": {"domains": domains}}
        card["listing"] = listing_digest(tables(folder))
    return card


def opened(run: Folder, settings: Selection) -> tuple[Selection, Json, list[Entry]]:
    """The settings for the scores that they name, these scores' card and their files."""
    settings.check()
    source = run / settings.scores
    card, files = finished_card(run, settings.scores), tables(source)
    return settings.of_scores(card, column_names(source, files)), card, files


def _eligible(
    run: Folder,
    settings: Selection,
    files: list[Entry],
    card: Json,
    left_out: np.ndarray,
    ruling: Ruling | None,
) -> Eligible:
    source = run / settings.scores
    n_rows = count_rows(source, files)
    require_count(n_rows, card, where=source.uri)
    scores = Scores(
        source, files, settings.eligibility, seed=settings.seed, further=settings.further, left_out=left_out
    )
    if ruling is not None:
        scores = scores.without(ruled(ruling, before_rules(ruling, scores, n_rows=n_rows)).dropped)
    return read_eligible(scores, n_rows=n_rows)


def _pick(
    eligible: Eligible, settings: Selection, selector: Selector, fractions: Mapping[str, float], draw: int
) -> Pick:
    def target(group: str, n_tokens: int) -> int:
        """The tokens to take of a group."""
        if selector == "full":
            return 0
        return int(fractions.get(group, settings.choosing.share) * n_tokens + 0.5)

    return pick_tokens(eligible, _order(eligible, settings.adjust, selector, draw), target, seed=settings.seed)


def _order(eligible: Eligible, regressors: tuple[Regressor, ...], selector: Selector, draw: int) -> Order:
    seed = eligible.scores.seed
    if selector == "random":
        return AtRandom(draw)
    if selector == "perplexity-band":
        return Middle(rank_groups(eligible, lowest_loss), seed)
    if selector == "adjusted":
        return adjust(eligible, regressors)
    return {"longest": longest, "lowest-loss": lowest_loss}.get(selector, by_score)
