"""What a search came to: its record for the report, the best settings as a recipe, which settings mattered."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import yaml

from raypipe.run.sweep_search import Goal, distributions, point_of
from raypipe.runs.space import Space
from raypipe.runs.trials import Result
from raypipe.settings.nested import changed, flat, settings_of
from raypipe.storage.folder import Folder

from .tune_plan import Search

RECORD, BEST = "search.json", "best.yaml"
MIN_FOR_IMPORTANCE = 8
"""Finished trials below which a forest can't tell settings apart."""
SHOWN = 10
"""Trials in the terminal's table."""
OF_A_RUN = ("output", "name", "restart", "yes", "retry")
Json = dict[str, Any]


def in_order(results: Sequence[Result], goal: Goal) -> list[Result]:
    """Those that have the metric, finished ones first, the best first."""
    sign = 1 if goal.mode == "min" else -1
    have = [result for result in results if goal.metric in result.metrics]
    return sorted(have, key=lambda result: (result.status != "finished", sign * result.metrics[goal.metric]))


def best_of(results: Sequence[Result], goal: Goal) -> Result | None:
    """The best of those that finished, None if none did."""
    ordered = in_order(results, goal)
    return ordered[0] if ordered and ordered[0].status == "finished" else None


def record(search: Search, results: Sequence[Result]) -> Json:
    """Everything that the report shows, the best trial first."""
    goal, best = search.goal, best_of(results, search.goal)
    ordered = in_order(results, goal)
    rest = [result for result in results if goal.metric not in result.metrics]
    shown = importance(search.space, [result for result in results if result.status == "finished"], goal)
    return {
        "job": search.job, "metric": goal.metric, "mode": goal.mode, "search": search.kind,
        "asha": dataclasses.asdict(search.asha) if search.asha else None, "settings": list(search.space),
        "best": best.trial.settings if best else None, "importance": shown,
        "n_finished": sum(result.status == "finished" for result in results),
        "seconds": round(sum(result.seconds for result in results), 3),
        "steps": sum(result.steps for result in results),
        "trials": [_told(result, search) for result in [*ordered, *rest]],
    }  # fmt: skip


def _told(result: Result, search: Search) -> Json:
    metric = search.goal.metric
    curve = [[point["step"], point[metric]] for point in result.curve if metric in point]
    return {
        "name": result.trial.name(search.trial_identity), "settings": result.trial.settings, "seed": result.trial.seed,
        "status": result.status, "metrics": result.metrics, "curve": curve, "error": result.error,
        "seconds": result.seconds, "steps": result.steps,
    }  # fmt: skip


def importance(space: Space, finished: Sequence[Result], goal: Goal) -> dict[str, float]:
    """The share of the metric's variance over the space that each setting explains, the largest first; else empty.

    By Optuna's fANOVA: F. Hutter et al., An Efficient Approach for Assessing Hyperparameter Importance, ICML 2014.
    Trials that were stopped don't count: their last metric is of an earlier step.
    """
    values = {result.metrics[goal.metric] for result in finished}
    if len(finished) < MIN_FOR_IMPORTANCE or len(values) < 2:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, known = optuna.create_study(), distributions(space)
    for result in finished:
        point = point_of(space, result.trial)
        study.add_trial(optuna.create_trial(params=point, distributions=known, value=result.metrics[goal.metric]))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return {
        name: float(share)
        for name, share in optuna.importance.get_param_importances(study, evaluator=evaluator).items()
    }


def write_best(run: Folder, search: Search, best: Result) -> str:
    """Write the settings of the best trial as a file that the job takes by --config; its URI.

    What differs from the job's defaults is in it, in the order of the job's settings, but for the run folder.
    """
    from .tune_space import applied

    config = changed(applied(search.base, best.trial.settings), seed=best.trial.seed)
    found, known = flat(config), settings_of(type(config))
    recipe = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in found.items()
        if name not in OF_A_RUN and value != known[name].default
    }
    metric = f"{search.goal.metric} {best.metrics[search.goal.metric]:.6g}"
    said = f"# {search.job}: the best of a search by {metric}, trial {best.trial.name(search.trial_identity)}\n"
    run.write(BEST, (said + str(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))).encode())
    return f"{run.uri}/{BEST}"


def table_of(found: Json) -> str:
    """The best trials for a terminal, and which settings mattered."""
    metric, trials = found["metric"], found["trials"]
    title = f"{found['n_finished']:,} of {len(trials):,} trials finished in {found['seconds']:,.0f} s of training"
    lines = [f"{t['metrics'][metric]:<10.5g} {_words(t['settings'])}" for t in trials if t["status"] == "finished"]
    more = [f"... and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["importance"].items())
    mattered = [f"What the metric's variance comes from: {shares}"] if shares else []
    return "\n".join([f"{title}; by {metric}:", *lines[:SHOWN], *more, *mattered])


def _words(settings: Json) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
