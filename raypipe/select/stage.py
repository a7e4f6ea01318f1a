"""The selection stage: a scores folder to a selection and its control arms, as files of the same names and rows.

Reads score columns only, file by file. A corpus of at most `exact_rows` rows is remembered between readings: it is read
once for its scores and once an arm for its ids, and costs about 120 bytes a row in all (measured). A larger one is read
again for each step, and each group is held at 24 bytes a row, some 60 while it is sorted, up to `exact_rows` rows; from
there on its histogram takes some 100 MB (measured with exact_rows = 100,000: 417 MB for 2 and for 5 million rows).

No model runs, so changed settings or scores redo everything without asking, and the same command again returns at once.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import get_args

import numpy as np
import pyarrow as pa

import raypipe
from raypipe.runs.card import Json, finished_card, read_card, tables
from raypipe.runs.files import are_own, listing_digest
from raypipe.runs.stage import at_work
from raypipe.select.export.files import column_names, count_rows, write_arm
from raypipe.select.ranking.arms import Arm, Pick, pick_control, pick_share
from raypipe.select.ranking.groups import Eligible, find_copies, pool_small
from raypipe.select.ranking.orders import Adjusted
from raypipe.select.ranking.ranks import Ranks
from raypipe.select.rows import NO_TEXTS, Scores, skipped_texts
from raypipe.select.rules.ruling import Ruling, forget_rules, rules_of, write_rules
from raypipe.select.selection import STAGE, Selection, arm_stage
from raypipe.select.summary import Overlap, by_arm, by_group, totals, warnings
from raypipe.settings import identity
from raypipe.storage.folder import Entry, Folder

VERSION = 2
"""Raised whenever the same settings and scores give other bytes."""


@dataclass
class Written:
    """What has been written of a selection."""

    groups: Json
    """By ranking group"""
    domains: dict[str, Json] = field(default_factory=dict)
    """By arm, then by domain: sums over the rows"""
    chosen: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """By arm and file: which rows are selected, as packed bits"""


def select(run: str | Folder, settings: Selection) -> Json:
    """Write RUN/selection and the control arms beside it, and return the selection's card.

    Raises
    ------
    ValueError
        If a setting makes no sense, or the scores aren't finished.
    FileNotFoundError
        If the run has no scores.
    KeyError
        If a column that the settings need is missing.
    """
    settings.check()
    started, clock_s = datetime.now(UTC), time.monotonic()
    folder = Folder(run) if isinstance(run, str) else run
    source = folder / settings.scores
    scores_card, files = finished_card(folder, settings.scores), tables(source)
    columns = column_names(source, files)
    settings = settings.of_scores(scores_card, columns)
    settings.check_arms(columns)
    arms, left_out = (STAGE, *settings.arms), left_out_texts(folder, settings.leave_out)
    ruling = ruling_of(folder, settings)
    identities = {arm: identity_of(settings, scores_card, files, left_out, arm=arm, ruling=ruling) for arm in arms}
    if all(is_done(folder / arm_stage(arm), identities[arm], names=[file.path for file in files]) for arm in arms):
        return finished_card(folder, STAGE)

    n_rows = count_rows(source, files)
    require_count(n_rows, scores_card, where=source.uri)
    scores = Scores(
        source, files, settings.eligibility, seed=settings.seed, further=settings.further, left_out=left_out
    )
    if ruling is not None:
        found = write_rules(ruling, before_rules(ruling, scores, n_rows=n_rows), identities[STAGE])
        scores = scores.without(found.dropped)
    eligible = read_eligible(scores, n_rows=n_rows)
    with ExitStack() as work:  # not entered before the scores have proved readable
        cards = {arm: work.enter_context(at_work(folder / arm_stage(arm), _card(arm, identities[arm]))) for arm in arms}
        clear(folder, arms, names={file.path for file in files})
        if ruling is None:
            forget_rules(folder)
        said = describe(eligible, write_arms(folder, eligible, settings, identities))
        for arm in arms:
            own = folder / arm_stage(arm)
            n_written = count_rows(own, files)
            assert n_written == n_rows, f"{arm_stage(arm)}: {n_rows} rows read, {n_written} written"
            times = {"started": started.isoformat(timespec="seconds"), "wall_s": round(time.monotonic() - clock_s, 3)}
            cards[arm] |= said[arm] | {"inputs": _inputs(files), "listing": listing_digest(tables(own))}
            cards[arm]["times"] |= times
    return cards[STAGE]  # the selection's card was put last: where it is finished, all is


def ruling_of(run: Folder, settings: Selection) -> Ruling | None:
    """The rules of a selection, for scores whose column is known; None without any.

    Raises
    ------
    KeyError, ValueError, FileNotFoundError
        If what a rule names isn't there, or a rule isn't one.
    """
    if not is_ruled(settings):
        return None
    return Ruling(run, rules_of(settings.rules, settings.keep), settings.eligibility.column)


def is_ruled(settings: Selection) -> bool:
    """Whether a selection has rules, whose reasons RUN/rules keeps."""
    return bool(settings.rules) or settings.keep is not None


def left_out_texts(run: Folder, stage: str | None) -> np.ndarray:
    """Hashes of the texts that are never seen, sorted [m] int64; none where there is no `stage`.

    Raises
    ------
    FileNotFoundError
        If the run has no such stage, with the nearest.
    ValueError
        If it isn't finished.
    """
    if stage is None:
        return NO_TEXTS
    finished_card(run, stage)
    return skipped_texts(run / stage, tables(run / stage))


def identity_of(
    settings: Selection, scores_card: Json, files: list[Entry], left_out: np.ndarray = NO_TEXTS,
    *, arm: str, ruling: Ruling | None = None,
) -> Json:  # fmt: skip
    """Whatever can change a byte of an arm: settings, the scores' own identity and files, what isn't seen of them."""
    listing = json.dumps([[file.path, file.size_bytes] for file in files])
    digest = hashlib.sha256(listing.encode()).hexdigest()
    inputs = {"scores_identity": scores_card.get("identity"), "scores_files": digest}
    if settings.leave_out is not None:
        inputs["left_out_texts"] = hashlib.sha256(left_out.tobytes()).hexdigest()
    inputs |= ruling.identity() if ruling is not None else {}
    return identity.identity_of(settings, **inputs, arm=arm, version=VERSION)


def is_done(folder: Folder, identity: Json, *, names: list[str]) -> bool:
    """Whether an arm was finished with this identity, and all its files are there and its own."""
    card = read_card(folder)
    if card is None or card.get("status") != "finished" or card.get("identity") != identity:
        return False
    files = tables(folder)
    return [file.path for file in files] == names and are_own(folder, files, card)


def read_eligible(scores: Scores, *, n_rows: int) -> Eligible:
    """The rows that compete, their groups known: copies are found first, then each domain's rows are counted."""
    copies = find_copies(scores, n_rows=n_rows)
    n_eligible: dict[str, int] = {}
    for _, rows, is_copy in Eligible(scores, copies, {}).files():
        counts = np.bincount(rows.domain[rows.is_candidate & ~is_copy], minlength=len(rows.domains))
        for name, n in zip(rows.domains, counts.tolist(), strict=True):
            n_eligible[name] = n_eligible.get(name, 0) + n
    return Eligible(scores, copies, pool_small(n_eligible, min_rows=scores.eligibility.min_domain_rows))


def before_rules(ruling: Ruling, scores: Scores, *, n_rows: int) -> Eligible:
    """The rows that rules are asked about; copies and groups are found only where a rule asks for them."""
    return read_eligible(scores, n_rows=n_rows) if ruling.asks_of_copies else Eligible(scores, {}, {})


def clear(folder: Folder, arms: Sequence[str], *, names: set[str]) -> None:
    """Remove the files that a writing of these arms won't replace, and the arms that it won't write."""
    for arm in (STAGE, *get_args(Arm)):
        own = folder / arm_stage(arm)
        own.sweep()
        if arm not in arms:
            if own.files():
                own.remove()
            continue
        for file in tables(own):
            if file.path not in names:
                own.delete(file.path)


def write_arms(folder: Folder, eligible: Eligible, settings: Selection, identities: Mapping[str, Json]) -> Written:
    """Write the selection, then the controls one after the other: one arm's ranks are in memory at a time."""

    def write(arm: str, pick: Pick) -> None:
        """Write an arm, and keep what it holds."""
        own, weighing = folder / arm_stage(arm), settings.weighing
        tally, written.chosen[arm] = write_arm(own, eligible, pick, weighing=weighing, identity=identities[arm])
        written.domains[arm] = tally.result()

    pick = pick_share(eligible, settings.choosing, regressors=settings.adjust)
    written = Written(describe_groups(eligible, pick))
    write(STAGE, pick)
    del pick
    n_tokens = by_group(written.domains[STAGE], eligible.group_of, "tokens_selected")
    for arm in settings.arms:
        pick = pick_control(eligible, arm, n_tokens=n_tokens, seed=settings.seed)
        write(arm, pick)
        del pick
    return written


def describe(eligible: Eligible, written: Written) -> dict[str, Json]:
    """By arm, what its card says of the rows."""
    overlap = Overlap(tuple(written.chosen))
    for file, rows, _ in eligible.files():
        bits = {arm: np.unpackbits(chosen[file], count=len(rows)) for arm, chosen in written.chosen.items()}
        overlap.update(bits, rows.n_tokens_total)
    cards: dict[str, Json] = {}
    for arm, domains in written.domains.items():
        cards[arm] = {"counts": totals(domains), "selection": {"domains": domains}, "warnings": []}
        cards[arm]["versions"] = {"raypipe": raypipe.__version__, "numpy": np.__version__, "pyarrow": pa.__version__}
    compared = {"arms": by_arm(written.domains), "overlap": overlap.result()}
    cards[STAGE]["selection"] |= {"groups": written.groups} | compared
    cards[STAGE]["warnings"] = warnings(written.domains[STAGE], eligible.group_of)
    return cards


def describe_groups(eligible: Eligible, pick: Pick) -> Json:
    """By ranking group: its size, the most a rank can be wrong by, and what an adjustment explained of the score."""
    adjusted = pick.order if isinstance(pick.order, Adjusted) else None
    return {
        group: {
            "domains": sum(own == group for own in eligible.group_of.values()),
            "eligible": ranks.n_rows,
            "rank_error": _rank_error(ranks, 0.0 if adjusted is None else adjusted.most_moved(group)),
            "r_squared": None if adjusted is None else adjusted.fits[group].r_squared,
        }
        for group, ranks in sorted(pick.ranks.items())
    }


def _rank_error(ranks: Ranks, moved: float) -> float:
    """What a rank can be wrong by at most: in its bin, and by rows that an inexact adjustment put on the wrong side."""
    return min(1.0, ranks.max_error + ranks.max_share(moved))


def require_count(n_rows: int, scores_card: Json, *, where: str) -> None:
    """Refuse scores that have other rows than their card counts.

    Raises
    ------
    ValueError
        With both counts.
    """
    expected = scores_card.get("counts", {}).get("rows", n_rows)
    if n_rows != expected:
        raise ValueError(
            f"{where} has {n_rows} rows but its card counts {expected}: files were lost or added. "
            "Score the corpus again."
        )


def _card(arm: str, identity: Json) -> Json:
    return {"stage": arm_stage(arm), "kind": "annotate", "op": "Selection", "identity": identity}


def _inputs(files: list[Entry]) -> Json:
    return {"files": len(files), "bytes": sum(file.size_bytes for file in files)}
