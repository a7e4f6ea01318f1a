"""The selection stage: a scores folder to a selection and its control arms, as files of the same names and rows.

Reads score columns only, several times, and file by file; in memory are about 100 bytes a row while no domain has more
than `exact_rows`, and a few tens of MB a domain above that. A card's `identity` holds everything that can change a byte
of the files; if it is unchanged nothing is done, else everything is done again: no model runs.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import raypipe
from raypipe import columns
from raypipe.select.groups import Eligible, adjust, find_bounds, find_copies, pool_small, rank_groups
from raypipe.select.orders import AtRandom, Drawn, Order, by_score, keys, longest, lowest_loss
from raypipe.select.ranks import Ranks, Unit
from raypipe.select.rows import Rows, Scores, ahead
from raypipe.select.selection import Selection
from raypipe.select.summary import Overlap, Tally, totals, warnings
from raypipe.storage import Entry, Folder

STAGE = "selection"
VERSION = 1
CARD = "card.json"
ARMS: tuple[str, ...] = ("random", "longest", "lowest-loss")
Json = dict[str, Any]


@dataclass(frozen=True)
class Pick:
    """How an arm ranks rows and which of them it takes."""

    order: Order
    ranks: dict[str, Ranks]
    draw: Order
    """The order in which rows are taken: `order`, or a draw from it"""
    bounds: dict[str, complex]
    """By group: rows with a higher key of `draw` are taken"""

    def of(self, rows: Rows, group: str, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Ranks [n] in (0, 1], and which rows are taken [n] bool."""
        ranked = keys(rows, group, order=self.order, seed=seed)
        drawn = ranked if self.draw is self.order else keys(rows, group, order=self.draw, seed=seed)
        return self.ranks[group].rank(ranked), drawn > self.bounds[group]


def select(run: str, settings: Selection) -> Json:
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
    folder = Folder(run)
    scores_card = finished_card(folder / settings.scores)
    files = [file for file in (folder / settings.scores).files() if file.path.endswith(".parquet")]
    identity = _identity(settings, scores_card, files)
    if (card := _done(folder, identity, settings, files)) is not None:
        return card
    return _Run(folder, settings, files, identity).write(scores_card)


def arm_folder(arm: str) -> str:
    """The folder of an arm: "random" -> "selection-random"; "selection" is itself."""
    return arm if arm == STAGE else f"{STAGE}-{arm}"


def finished_card(folder: Folder) -> Json:
    """The card of a stage that is finished.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it isn't finished.
    """
    card = _card(folder)
    if card is None:
        raise FileNotFoundError(f"{folder.uri} has no {CARD}; run the stage that writes it first, or correct --run.")
    if card.get("status") != "finished":
        raise ValueError(
            f"{folder.uri} must be finished before it is read, but is {card.get('status')!r}; "
            "give its command again to go on where it stopped."
        )
    return card


def _card(folder: Folder) -> Json | None:
    return dict(json.loads(folder.read(CARD))) if folder.exists(CARD) else None


def _identity(settings: Selection, scores_card: Json, files: list[Entry]) -> Json:
    listing = json.dumps([[file.path, file.size_bytes] for file in files])
    digest = hashlib.sha256(listing.encode()).hexdigest()
    inputs = {"scores_identity": scores_card.get("identity"), "scores_files": digest}
    return dict(json.loads(json.dumps({**settings.flat(), **inputs, "version": VERSION})))


def _done(folder: Folder, identity: Json, settings: Selection, files: list[Entry]) -> Json | None:
    """The card, if every file of every arm is there and was made with this identity."""
    names = [file.path for file in files]
    for arm in (*settings.arms, STAGE):
        card = _card(folder / arm_folder(arm))
        there = [file.path for file in (folder / arm_folder(arm)).files() if file.path.endswith(".parquet")]
        if card is None or card.get("status") != "finished" or card["identity"] != {**identity, "arm": arm}:
            return None
        if there != names:
            return None
    return card


class _Run:
    """One writing of the selection and its arms."""

    def __init__(self, folder: Folder, settings: Selection, files: list[Entry], identity: Json) -> None:
        self.folder, self.settings, self.files, self.identity = folder, settings, files, identity
        self.scores = Scores(folder / settings.scores, files, settings)
        self.started = datetime.now(UTC)
        self.clock_s = time.monotonic()

    def write(self, scores_card: Json) -> Json:
        """Every arm's files, then the cards, the selection's last."""
        self._clear()
        eligible, n_rows = self._eligible()
        expected = scores_card.get("counts", {}).get("rows", n_rows)
        if expected != n_rows:
            raise ValueError(f"{self.scores.folder.uri} has {n_rows} rows but its card counts {expected}; score again.")
        order: Order = adjust(eligible) if self.settings.adjust else by_score
        pick = self._pick(eligible, order)
        tallies, chosen = {}, {}
        tallies[STAGE], chosen[STAGE] = self._write_arm(STAGE, eligible, pick)
        target = _tokens_by_group(tallies[STAGE], eligible.group_of)
        groups = self._groups(eligible, pick)
        for arm in self.settings.arms:
            pick = self._fill(eligible, _control(arm, self.settings.seed), target)
            tallies[arm], chosen[arm] = self._write_arm(arm, eligible, pick)
        overlap = self._overlap(eligible, chosen)
        for arm in self.settings.arms:
            self._write_card(arm, tallies[arm], {"domains": tallies[arm]}, [])
        summary = {"domains": tallies[STAGE], "groups": groups, "arms": _arms(tallies), "overlap": overlap}
        return self._write_card(STAGE, tallies[STAGE], summary, warnings(tallies[STAGE], eligible.group_of))

    def _clear(self) -> None:
        """Say that a writing is under way, and remove what it won't replace."""
        names = {file.path for file in self.files}
        for arm in (STAGE, *ARMS):
            folder = self.folder / arm_folder(arm)
            is_wanted = arm == STAGE or arm in self.settings.arms
            if is_wanted:
                card = {"stage": arm_folder(arm), "status": "running", "identity": {**self.identity, "arm": arm}}
                folder.write(CARD, json.dumps(card).encode())
            folder.sweep()
            for file in folder.files():
                is_stale = file.path.endswith(".parquet") and file.path not in names
                if is_stale or not is_wanted:
                    folder.delete(file.path)

    def _eligible(self) -> tuple[Eligible, int]:
        n_rows = sum(ahead(self._count, self.files))
        copies = find_copies(self.scores, n_rows=n_rows)
        everything = Eligible(self.scores, copies, {})
        n_eligible: dict[str, int] = {}
        for _, rows, is_copy in everything.files():
            counts = np.bincount(rows.domain[rows.is_candidate & ~is_copy], minlength=len(rows.domains))
            for name, n in zip(rows.domains, counts.tolist(), strict=True):
                n_eligible[name] = n_eligible.get(name, 0) + n
        return Eligible(self.scores, copies, pool_small(n_eligible, min_rows=self.settings.min_domain_rows)), n_rows

    def _count(self, file: Entry) -> int:
        with self.scores.folder.open(file.path) as source:
            return int(pq.read_metadata(source).num_rows)

    def _pick(self, eligible: Eligible, order: Order) -> Pick:
        """The selection itself: a share of each group."""
        settings, unit = self.settings, self.settings.share_of
        ranks = rank_groups(eligible, order)
        draw, drawn = order, ranks
        if settings.sampling == "temperature":
            draw = Drawn(ranks, order, settings.temperature, settings.seed)
            drawn = rank_groups(eligible, draw)
        targets = {group: _target(own, settings.share, unit) for group, own in ranks.items()}
        return Pick(order, ranks, draw, find_bounds(eligible, draw, ranks=drawn, targets=targets, unit=unit))

    def _fill(self, eligible: Eligible, order: Order, target: dict[str, int]) -> Pick:
        """A control arm: each group filled to as many tokens as the selection has there."""
        ranks = rank_groups(eligible, order)
        targets = {group: target[group] for group in ranks}
        return Pick(order, ranks, order, find_bounds(eligible, order, ranks=ranks, targets=targets, unit="tokens"))

    def _write_arm(self, arm: str, eligible: Eligible, pick: Pick) -> tuple[Json, list[np.ndarray]]:
        """Its files; what they hold by domain, and by file which rows are selected (packed bits)."""
        folder, tally, chosen = self.folder / arm_folder(arm), Tally(), []

        def write(item: tuple[int, Rows, np.ndarray]) -> tuple[Rows, np.ndarray, np.ndarray]:
            file, rows, is_copy = item
            rank, selected = self._ranked(eligible, pick, rows, is_copy)
            weight = weights(rows, is_copy=is_copy, selected=selected, settings=self.settings)
            table = self._table(self.files[file], rows, rank=rank, selected=selected, weight=weight)
            buffer = pa.BufferOutputStream()
            pq.write_table(table, buffer, compression="zstd")
            folder.write(self.files[file].path, buffer.getvalue())
            return rows, is_copy, selected

        for rows, is_copy, selected in ahead(write, eligible.files()):
            tally.update(rows, is_copy=is_copy, is_selected=selected)
            chosen.append(np.packbits(selected))
        return tally.result(), chosen

    def _ranked(self, eligible: Eligible, pick: Pick, rows: Rows, is_copy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rank, selected = np.full(len(rows), np.nan), np.zeros(len(rows), bool)
        for group, part in eligible.split(rows.take(rows.is_candidate & ~is_copy)):
            rank[part.index], selected[part.index] = pick.of(part, group, seed=self.settings.seed)
        return rank, selected

    def _table(self, file: Entry, rows: Rows, **added: np.ndarray) -> pa.Table:
        """A selection table: the keys of the scores file, its footer's record of the shard, and what is added."""
        with self.scores.folder.open(file.path) as source:
            parquet = pq.ParquetFile(source)
            table = parquet.read([columns.ID, columns.TEXT_HASH, columns.DOMAIN])
            footer = {**(parquet.metadata.metadata or {})}
        if table.num_rows != len(rows):
            raise ValueError(f"{file.path} changed while it was read; start the selection again.")
        split = pa.DictionaryArray.from_arrays(rows.is_heldout.astype(np.int8), ["train", "heldout"]).cast(pa.string())
        arrays = [
            pa.array(added["rank"], from_pandas=True),  # NaN becomes null
            split,
            pa.array(added["selected"]),
            pa.array(added["weight"], pa.float32()),
        ]
        record = {key: value for key, value in footer.items() if key.startswith(b"raypipe.")}
        keys_read = [table[name].cast(columns.SELECTION.field(name).type) for name in table.column_names]
        return pa.table([*keys_read, *arrays], schema=columns.SELECTION.with_metadata(record))

    def _groups(self, eligible: Eligible, pick: Pick) -> Json:
        """By ranking group: its rows, the most a rank can be wrong by, and what an adjustment explained."""
        fits = getattr(pick.order, "fits", {})
        return {
            group: {
                "eligible": ranks.n_rows,
                "rank_error": ranks.max_error,
                "domains": sum(own == group for own in eligible.group_of.values()),
                "r_squared": fits[group].r_squared if group in fits else None,
            }
            for group, ranks in sorted(pick.ranks.items())
        }

    def _overlap(self, eligible: Eligible, chosen: Mapping[str, list[np.ndarray]]) -> list[Json]:
        overlap = Overlap(tuple(chosen))
        for file, rows, _ in eligible.files():
            selected = {arm: np.unpackbits(bits[file], count=len(rows)) for arm, bits in chosen.items()}
            overlap.update(selected, rows.n_tokens_total)
        return overlap.result()

    def _write_card(self, arm: str, domains: Json, summary: Json, found: list[str]) -> Json:
        """The card of an arm, once the rows of its committed files are as many as those of the scores."""
        folder, counts = self.folder / arm_folder(arm), totals(domains)

        def committed(file: Entry) -> int:
            with folder.open(file.path) as source:
                return int(pq.read_metadata(source).num_rows)

        n_written = sum(ahead(committed, self.files))
        assert n_written == counts["rows"], f"{folder.uri}: {counts['rows']} rows read, {n_written} written"
        finished = datetime.now(UTC)
        card = {
            "stage": arm_folder(arm),
            "kind": "annotate",
            "op": "Selection",
            "status": "finished",
            "identity": {**self.identity, "arm": arm},
            "versions": {"raypipe": raypipe.__version__, "numpy": np.__version__, "pyarrow": pa.__version__},
            "inputs": {"files": len(self.files), "bytes": sum(file.size_bytes for file in self.files)},
            "counts": counts,
            "times": {
                "started": self.started.isoformat(timespec="seconds"),
                "finished": finished.isoformat(timespec="seconds"),
                "wall_s": round(time.monotonic() - self.clock_s, 3),
            },
            "warnings": found,
            "selection": summary,
        }
        folder.write(CARD, json.dumps(card, indent=1).encode())
        return card


def weights(rows: Rows, *, is_copy: np.ndarray, selected: np.ndarray, settings: Selection) -> np.ndarray:
    """How often each row is seen: [n] float32.

    With `upsample` every scored training row counts once, eligible or not, because the full corpus is trained on, and
    a selected one `extra_copies` times more; further copies of a text weigh 0, so that a text's weight doesn't depend
    on how often it was crawled. With `keep` a selected row counts once and no other does. Held-out rows weigh 0.
    """
    if settings.mix == "keep":
        return selected.astype(np.float32)
    is_seen = rows.is_scored & ~rows.is_heldout & ~is_copy
    return np.where(is_seen, 1 + settings.extra_copies * selected, 0).astype(np.float32)


def _control(arm: str, seed: int) -> Order:
    if arm == "random":
        return AtRandom(seed)
    return longest if arm == "longest" else lowest_loss


def _target(ranks: Ranks, share: float, unit: Unit) -> int:
    """How many documents (at least one) or tokens a share is."""
    if unit == "documents":
        return max(1, int(share * ranks.n_rows + 0.5))
    return int(share * int(ranks.tokens.sum()) + 0.5)


def _tokens_by_group(domains: Json, group_of: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, own in domains.items():
        found[group_of[name]] = found.get(group_of[name], 0) + own["tokens_selected"]
    return found


def _arms(tallies: Mapping[str, Json]) -> Json:
    """By arm: documents and tokens selected, in all and in each domain."""
    names = ("selected", "tokens_selected")
    return {
        arm: {
            **{name: totals(domains)[name] for name in names},
            "domains": {domain: {name: own[name] for name in names} for domain, own in domains.items()},
        }
        for arm, domains in tallies.items()
    }
