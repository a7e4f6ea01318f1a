"""What an ablation came to: the verdict, and the record that the report and the terminal show."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from raypipe.evaluate.arm_effects import ByArm, compare_arms, winner
from raypipe.runs.card import Json, now, read_card, versions
from raypipe.runs.run_file import read_run_file
from raypipe.runs.trials import Result
from raypipe.settings.nested import flat
from raypipe.storage.folder import Folder

from .ablate_plan import pairs_of
from .ablate_settings import AblateSettings
from .ablate_work import Ablation
from .training import commit
from .tune_trial import HELDOUT

RECORD = "ablation.json"


def record(work: Ablation, results: Sequence[Result], *, run: Folder) -> Json:
    """Everything that is shown of an ablation."""
    config, mixes, pairs = work.config, work.mixes, pairs_of(work.arms)
    finished = [result for result in results if result.status == "finished"]
    found = compare_arms(by_arm(finished, config.metric), pairs, lower_is_better=True)
    best = winner(found)
    return {
        "metric": config.metric, "share_of": config.share_of, "mix": config.weighing.mix, "seeds": config.seeds,
        "order": [arm.name for arm in work.arms],
        "arms": {name: {**figures, **_measured(name, finished)} for name, figures in mixes.arms.items()},
        "overlap": mixes.overlap(),
        "comparisons": [asdict(one) for one in found],
        "winner": best.arm if best else None,
        "domains": by_domain(finished, pairs, mixes.listing.domains),
        "heldout_documents": min(config.sequences.heldout_documents, mixes.n_heldout),
        "trained_tokens": work.n_tokens,
        "trials": [_told(result, work.identity) for result in results],
        "seconds": round(sum(result.seconds for result in results), 3),
        "lineage": lineage(config, run, work.stage), "date": now(), "versions": versions(),
    }  # fmt: skip


def by_arm(finished: Sequence[Result], metric: str) -> ByArm:
    """A metric of the trials that finished, by arm and seed."""
    values: dict[str, dict[int, float]] = {}
    for result in finished:
        if metric in result.metrics:
            values.setdefault(result.trial.settings["arm"], {})[result.trial.seed] = result.metrics[metric]
    return values


def by_domain(finished: Sequence[Result], pairs: Sequence[tuple[str, str]], domains: Sequence[str]) -> list[Json]:
    """The same comparisons in each domain, one family of them all: there are many, so little may be shown."""
    metrics = {domain: by_arm(finished, f"{HELDOUT}/{domain}") for domain in domains}
    values = {f"{domain}\n{arm}": of for domain, arms in metrics.items() for arm, of in arms.items()}
    every = [(domain, pair) for domain in domains for pair in pairs]
    family = [(f"{domain}\n{arm}", f"{domain}\n{control}") for domain, (arm, control) in every]
    found = compare_arms(values, family, lower_is_better=True)
    return [
        {"domain": domain, **asdict(one), "arm": arm, "control": control}
        for (domain, (arm, control)), one in zip(every, found, strict=True)
    ]


def _measured(arm: str, finished: Sequence[Result]) -> Json:
    """An arm's metrics over its seeds, mean and standard deviation, its curves, and what it cost."""
    own = [result for result in finished if result.trial.settings["arm"] == arm]
    names = sorted({name for result in own for name in result.metrics})
    metrics = {}
    for name in names:
        of = np.array([result.metrics[name] for result in own if name in result.metrics])
        metrics[name] = [float(of.mean()), float(of.std(ddof=1)) if len(of) > 1 else None, len(of)]
    curves = [[[point["step"], point[HELDOUT]] for point in result.curve if HELDOUT in point] for result in own]
    return {"metrics": metrics, "curves": curves, "seconds": round(sum(result.seconds for result in own), 3)}


def _told(result: Result, identity: Json) -> Json:
    return {
        "name": result.trial.name(identity), "arm": result.trial.settings["arm"], "mix": result.trial.settings["mix"],
        "seed": result.trial.seed, "status": result.status, "metrics": result.metrics, "error": result.error,
        "seconds": result.seconds, "steps": result.steps,
    }  # fmt: skip


def table_of(found: Json) -> str:
    """The verdict for a terminal."""
    lines = [f"{found['metric']} by arm, mean over seeds; {found['seconds']:,.0f} s of trials"]
    for arm in found["order"]:
        of, n_documents = found["arms"][arm]["metrics"].get(found["metric"]), found["arms"][arm]["documents"]
        said = "no trial finished" if of is None else f"{of[0]:.4f}" + (f" ± {of[1]:.4f}" if of[1] is not None else "")
        lines.append(f"  {arm:<28} {said:<20} {n_documents:>9,} documents selected")
    lines.append("how much better than its control, with intervals corrected for the number of comparisons")
    return "\n".join([*lines, *(f"  {line_of(one)}" for one in found["comparisons"]), conclusion(found)])


def line_of(one: Json) -> str:
    """A comparison in words."""
    effect, who = one["effect"], f"{one['arm']} against {one['control']}"
    if effect is None:
        return f"{who}: not judged, fewer than two seeds finished"
    needed = one["seeds_for_half"]
    seeds = "more seeds than can be run" if needed is None else f"{needed:,} seeds"
    more = f"; half of it would take {seeds} to see" if one["verdict"] == "no difference shown" else ""
    size = f"{effect['mean']:+.4f} [{effect['low']:+.4f}, {effect['high']:+.4f}]"
    return f"{who}: {size}, {effect['n']} seeds: {one['verdict']}{more}"


def conclusion(found: Json) -> str:
    """Who won, in a sentence."""
    if found["winner"]:
        return f"Winner: {found['winner']}."
    return "No difference shown: no arm is better than a random selection of its size."


def lineage(config: AblateSettings, run: Folder, stage: str) -> list[Json]:
    """From the figures back to the corpus: where each thing lies, and what its card says that it was made of."""
    jobs = ((read_run_file(run) or {}).get("jobs") or {}).values()
    sources = [uri for job in jobs for uri in job.get("recipe", {}).get("corpus") or ()]
    tokens = (read_card(run / config.source.tokens) or {}).get("identity", {})
    split = _some(flat(config), "share_of", "mix", "holdout", "split_seed")
    found = [
        _origin("figures", f"{stage}/{RECORD}", "the trials' files beside it", {"commit": commit()}),
        _origin("models", f"{stage}/TRIAL/run/train/model", "tokens and an arm's selection; TRIAL as in the table", {}),
        _origin("tokens", config.source.tokens, "corpus", _some(tokens, "tokenizer_sha256", "vocabulary_size")),
        _origin("selections", f"{stage}/arms/ARM", "scores", split),
    ]
    for scores in config.scores:
        identity = (read_card(run / scores) or {}).get("identity", {})
        known = _some(identity, "model_sha256", "scorers", "max_tokens", "dtype")
        found.append(_origin("scores", scores, "corpus and heads", {**known, "heads": len(identity.get("heads", []))}))
    for entry in (run / "heads").files():
        heads = json.loads((run / "heads").read(entry.path))
        found.append(_origin("heads", f"heads/{entry.path}", "the proxy's weights", _some(heads, "share", "chosen")))
    inputs = (read_card(run / config.scores[0]) or {}).get("inputs", {})
    return [*found, _origin("corpus", ", ".join(dict.fromkeys(sources)) or "unknown", "", inputs)]


def _origin(what: str, where: str, made_of: str, known: Json) -> Json:
    return {"what": what, "where": where, "made_of": made_of, "known": known}


def _some(identity: Json, *names: str) -> Json:
    return {name: identity[name] for name in names if name in identity}
