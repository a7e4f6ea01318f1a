"""What weak-to-strong learning came to: accuracies on the same test rows, the gap recovered, and the controls."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from raypipe.arrays.intervals import mean_proportion_interval
from raypipe.evaluate.recovered_gap import MIN_ERRORS, gap_error, recovered_gap
from raypipe.train.data.binary import BinaryRows

from .arms import Arm
from .rows import halves_of, read_predictions
from .settings import WeakToStrongSettings

Json = dict[str, Any]


def results_of(config: WeakToStrongSettings, rows: BinaryRows, arms: Sequence[Arm], seeds: Sequence[int]) -> Json:
    """Accuracies of all arms, PGR of the students, and whether the controls fell back as they must."""
    tested = [arm for arm in arms if arm.transcript is None]
    right = {arm.name: np.stack(correct(config, rows, (arm.name,), seeds, part="test")) for arm in tested}
    right["majority"] = majority_correct(config, rows, seeds)
    students = [arm.name for arm in tested if arm.teachers and not arm.has_shuffled_labels]
    halves = [halves_of(config, rows, seed) for seed in seeds]
    return {
        "seeds": list(seeds),
        "rows": {
            "first": [len(half.first) for half in halves],
            "second": [len(half.second) for half in halves],
            "test": len(halves[0].test),
        },
        "test_accuracy": {name: accuracy(found) for name, found in right.items()},
        "recovered": {
            name: asdict(recovered_gap(right["weak"], right[name], right["ceiling"])) for name in students
        },
        "weak_labels": weak_labels(config, rows, arms, seeds),
        "controls": controls(config, rows, arms, seeds, right),
    }  # fmt: skip


def correct(
    config: WeakToStrongSettings, rows: BinaryRows, names: Sequence[str], seeds: Sequence[int], *, part: str
) -> list[np.ndarray]:
    """What the mean of some arms gets right of a part of the rows: [n] bool for each seed."""
    found = []
    for seed in seeds:
        numbers = getattr(halves_of(config, rows, seed), part)
        probability = np.mean([read_predictions(config, name, seed, numbers) for name in names], axis=0)
        found.append((probability >= 0.5) == (rows.labels[numbers] == 1))
    return found


def majority_correct(config: WeakToStrongSettings, rows: BinaryRows, seeds: Sequence[int]) -> np.ndarray:
    """What always saying the commoner label of the first half gets right: [s, n] bool."""
    found = []
    for seed in seeds:
        halves = halves_of(config, rows, seed)
        commoner = int(rows.labels[halves.first].mean() >= 0.5)
        found.append(rows.labels[halves.test] == commoner)
    return np.stack(found)


def accuracy(right: Iterable[np.ndarray]) -> Json:
    """Mean over seeds and its 95 % interval, from what was right: [n] bool for each seed."""
    by_seed = np.array([one.mean() for one in right])
    return {"mean": float(by_seed.mean()), "interval": mean_proportion_interval(by_seed), "by_seed": by_seed.tolist()}


def weak_labels(config: WeakToStrongSettings, rows: BinaryRows, arms: Sequence[Arm], seeds: Sequence[int]) -> Json:
    """How right the labels of the second half are, by who gave them; debates are read here and nowhere else."""
    weak = [arm for arm in arms if arm.role == "weak"]
    teams: dict[str, tuple[str, ...]] = {arm.name: (arm.name,) for arm in weak}
    teams |= {f"teachers of {arm.name}": arm.teachers for arm in arms if len(arm.teachers) > 1}
    return {name: accuracy(correct(config, rows, team, seeds, part="second")) for name, team in teams.items()}


def controls(
    config: WeakToStrongSettings, rows: BinaryRows, arms: Sequence[Arm], seeds: Sequence[int],
    right: dict[str, np.ndarray],
) -> Json:  # fmt: skip
    """Each control by what it must not be better than: the advantage, its standard error, and whether it passed."""
    found = {"shuffled labels against the majority": advantage(right["majority"], right["strong-shuffled-labels"])}
    if any(arm.has_shuffled_transcripts for arm in arms):
        plain, shuffled = (correct(config, rows, (name,), seeds, part="second") for name in ("weak", "judge-shuffled"))
        n = min(map(len, plain))  # halves of several seeds differ a little in size, and in their rows
        pair = (np.stack([one[:n] for one in team]) for team in (plain, shuffled))
        found["shuffled debates against none"] = advantage(*pair)
    return found


def advantage(baseline: np.ndarray, control: np.ndarray) -> Json:
    """How much better a control is than its baseline, [s, n] bool each."""
    difference, error = float(control.mean() - baseline.mean()), gap_error(baseline, control)
    return {"advantage": difference, "standard_error": error, "passed": difference <= MIN_ERRORS * error}


def table_of(results: Json) -> str:
    """The results as lines of text."""
    rows, seeds = results["rows"], results["seeds"]
    first, second = (f"{min(rows[half]):,}-{max(rows[half]):,}" for half in ("first", "second"))
    lines = [
        f"{len(seeds)} seeds; {first} rows with truth, {second} with weak labels, the same {rows['test']:,} to test",
        f"{'test accuracy':34} {'mean':>6} {'95 % over seeds':>16}   PGR    95 % over seeds",
    ]
    for name, found in results["test_accuracy"].items():
        lines.append(f"{name:34} {_accuracy(found)}   {_pgr(results['recovered'].get(name))}".rstrip())
    lines.append("accuracy of weak labels")
    lines += [f"{name:34} {_accuracy(found)}" for name, found in results["weak_labels"].items()]
    if withheld := [found["withheld"] for found in results["recovered"].values() if found["withheld"]]:
        lines.append(f"PGR is withheld: {withheld[0]}.")
    for name, found in results["controls"].items():
        sign = "passed" if found["passed"] else "FAILED"
        lines.append(
            f"control {sign}: {name}: {found['advantage']:+.3f} (standard error {found['standard_error']:.3f})"
        )
    return "\n".join(lines) + "\n"


def _accuracy(found: Json) -> str:
    return f"{found['mean']:6.3f} {_interval(found['interval'], '.3f'):>16}"


def _pgr(found: Json | None) -> str:
    if found is None or found["pgr"] is None:
        return ""
    return f"{found['pgr']:5.2f}  {_interval(found['interval'], '.2f')}"


def _interval(ends: Sequence[float] | None, form: str) -> str:
    return "unbounded" if ends is None else f"{ends[0]:{form}} to {ends[1]:{form}}"
