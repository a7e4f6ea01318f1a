"""From a study's trials to its verdicts: the committed results file, and the table of all studies."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from raypipe.evaluate.claims import Outcome, Values, judge
from raypipe.runs.card import now, versions
from raypipe.runs.trials import Result

from ..parts.training import commit
from .study import Study, load_study

RESULTS = Path(__file__).parent / "results"
TABLE = Path(__file__).parent / "RESULTS.md"
HEAD = """# What the studies show

Made by `make studies` from `jobs/studies/results/`; don't edit. A claim is *shown* where the whole 95 % interval of its
effect (paired over seeds) lies beyond its bar, *contradicted* where all of it lies short of it, else *not shown*; the
bars were set before the runs. A claim that names no data set is of the mean over them, signs included: on one of them
it may fail.

"""


def values_of(results: Sequence[Result]) -> Values:
    """The metrics of finished trials by arm, data set and seed."""
    values: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    for result in results:
        if result.status == "finished":
            key = (result.trial.settings["arm"], result.trial.settings["data"])
            values.setdefault(key, {})[result.trial.seed] = result.metrics
    return values


def verdicts(study: Study, results: Sequence[Result]) -> list[Outcome]:
    """What came of every claim.

    Raises
    ------
    ValueError
        If a claim speaks of a metric that no trial of its arm gave.
    """
    values = values_of(results)
    given: dict[str, set[str]] = {}
    for (arm, _), of in values.items():
        given.setdefault(arm, set()).update(name for one in of.values() for name in one)
    for claim in study.claims:
        asked = [(claim.of, claim.metric), (claim.over, claim.over_metric or claim.metric)]
        for arm, metric in [*asked, *([(claim.of, claim.share_of)] if claim.share_of else [])]:
            if arm in given and metric not in given[arm]:
                raise ValueError(f"arm {arm!r} must give metric {metric!r}, it gave {', '.join(sorted(given[arm]))}.")
    return [judge(claim, values) for claim in study.claims]


def identity_of(study: Study, *, data: tuple[str, ...], seeds: int, beside: tuple[str, ...] = ()) -> dict[str, Any]:
    """Whatever can change a verdict."""
    own = study.identity()  # reads the code, so once
    names = sorted(trial.name(own) for trial in study.trials(data=data, seeds=seeds, beside=beside))
    return dict(json.loads(json.dumps({"trials": names, "claims": [asdict(claim) for claim in study.claims]})))


def record(
    study: Study, results: Sequence[Result], *, data: tuple[str, ...], left_out: tuple[str, ...], seeds: int,
    beside: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """The results file of a study; `beside` are the arms that need a folder and had it."""
    return {
        "study": study.name,
        "summary": study.summary,
        "source": study.source,
        "commit": commit(),
        "date": now(),
        "versions": versions(),
        "identity": identity_of(study, data=data, seeds=seeds, beside=beside),
        **({"beside": beside} if study.needs else {}),
        "data": data,
        "left_out": left_out,
        "seeds": seeds,
        "seconds": round(sum(result.seconds for result in results), 1),
        "failed": {str(result.trial): result.error for result in results if result.status == "failed"},
        "claims": [_as_json(outcome) for outcome in verdicts(study, results)],
        "arms": _means(values_of(results)),
    }


def _as_json(outcome: Outcome) -> dict[str, Any]:
    effect = outcome.effect
    numbers = {} if effect is None else {name: round(value, 5) for name, value in asdict(effect).items()}
    is_unbounded = outcome.claim.share_of is not None and bool(outcome.data) and effect is None
    said = {"verdict": outcome.verdict, "bar": outcome.claim.bar, "effect": numbers, "is_unbounded": is_unbounded}
    return {**asdict(outcome.claim), **said}


def _means(values: Values) -> dict[str, Any]:
    """Each arm's metrics, their mean and spread over seeds."""
    means: dict[str, Any] = {}
    for (arm, data), of_seed in values.items():
        for metric in sorted({name for metrics in of_seed.values() for name in metrics}):
            of = np.array([metrics[metric] for metrics in of_seed.values() if metric in metrics])
            spread = float(of.std(ddof=1)) if len(of) > 1 else 0.0
            numbers = [round(float(of.mean()), 5), round(spread, 5), len(of)]
            means.setdefault(data, {}).setdefault(arm, {})[metric] = numbers
    return means


def read_record(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """The committed results of a study, None if it has none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def is_stale(study: Study, found: dict[str, Any]) -> bool:
    """Whether a study's code or bars are others than those that its results were made with."""
    beside = tuple(found.get("beside", ()))
    now = identity_of(study, data=tuple(found["data"]), seeds=found["seeds"], beside=beside)
    return bool(found["identity"] != now)


def write_record(found: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Put a study's results where they are committed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found['study']}.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def write_table(folder: Path = RESULTS, table: Path = TABLE) -> None:
    """Assemble RESULTS.md from the results files."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    parts = [as_markdown(one, is_stale=is_stale(load_study(one["study"]), one)) for one in found]
    table.write_text(HEAD + "\n".join(parts), encoding="utf-8")


def as_markdown(found: dict[str, Any], *, is_stale: bool = False) -> str:
    """One study's part of the table; a stale one is said to be of other code than there is now."""
    run = f"{found['seeds']} seeds; {found['seconds']:,.0f} s of trials; commit {(found['commit'] or 'none')[:9]}"
    lines = [
        f"## {found['study']}\n",
        f"{found['summary']} {found['source']}. Data: {', '.join(found['data'])}; {run}, {found['date'][:10]}.\n",
        "| claim | verdict | effect | 95 % interval | bar | n |",
        "|---|---|---|---|---|---|",
    ]
    for claim in found["claims"]:
        effect, without = claim["effect"], "| unbounded" if claim.get("is_unbounded") else "| "
        numbers = f"{effect['mean']:.3g} | {effect['low']:.3g} to {effect['high']:.3g}" if effect else without
        n = effect.get("n", 0)
        lines.append(f"| {claim['sentence']} | **{claim['verdict']}** | {numbers} | {claim['bar']} | {n} |")
    if is_stale:
        lines.append("\nOf code before the last change to this study or to what it imports; to be run again.")
    if found["left_out"]:
        lines.append(f"\nNot there, and left out: {', '.join(found['left_out'])}.")
    return "\n".join(lines) + "\n"
