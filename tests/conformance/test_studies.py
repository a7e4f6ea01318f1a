"""Every study of jobs/studies: it runs at quick settings, its claims can fail, the same seed gives the same metrics."""

import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pytest

from jobs.studies.study import Study, load_study, study_names
from jobs.studies.verdicts import as_markdown, read_record, record, verdicts
from raypipe.evaluate.claims import Claim, share_shown_by_chance
from raypipe.runs.trials import TrialFiles, run_here, run_trial
from raypipe.storage.folder import Folder

AT_MOST = 0.06
"""Of 400 draws: an interval of 95 % leaves 2.5 % on one side; 14 draws more are beyond four standard errors."""

LONG = {
    "attention-influence", "autows-bench", "class-dependent-compression", "debate-w2s", "debate-w2s-text",
    "diffusion-classifier", "disc-vs-gen", "imbalanced-semi-self", "lbl2transformervec", "limit-text", "min-k-prob",
    "modeling-collaborator", "open-set", "rcal", "shrinkmatch", "soap", "sparse-training", "ss3", "st-protopnet",
    "teen", "text-generation-augmentation", "tsetlin", "weaver-answers", "z-loss",
}  # fmt: skip
"""Studies whose quick settings take 1.5 CPU seconds and more."""


@pytest.fixture(params=study_names())
def study(request: pytest.FixtureRequest) -> Study:
    return load_study(request.param)


@cache
def by_chance(claim: Claim, n_seeds: int) -> float:
    """Chance draws once what it would once for each claim of its form."""
    return share_shown_by_chance(claim, n_seeds=n_seeds)


def form(claim: Claim) -> Claim:
    """The claim with its names left out: what is equal to what, and its bar."""
    names = {claim.metric: "m0"}
    for name in (claim.over_metric, claim.share_of):
        if name is not None:
            names.setdefault(name, f"m{len(names)}")
    renamed = {
        "metric": "m0", "over_metric": names.get(claim.over_metric), "share_of": names.get(claim.share_of),
        "of": "a", "over": "a" if claim.over == claim.of else "b",
    }  # fmt: skip
    return replace(claim, sentence="", data=(), **renamed)


def test_no_claim_is_shown_by_chance(study: Study) -> None:
    def is_hollow(claim: Claim) -> bool:
        """A bar above 0 is passed by no draw that doesn't pass 0, so 0 is tried first."""
        own = form(claim)
        without_bar = replace(own, at_least=min(own.at_least, 0.0))
        return all(by_chance(one, study.seeds) > AT_MOST for one in (without_bar, own))

    assert [claim.sentence for claim in study.claims if is_hollow(claim)] == []


def test_a_claim_that_cannot_fail_is_shown_by_chance() -> None:
    claim = Claim(sentence="at most .9 worse", metric="m", of="a", over="b", at_least=-0.9)
    assert by_chance(form(claim), 5) > AT_MOST


def test_claims_of_one_form_are_shown_by_chance_alike() -> None:
    claim = next(c for c in load_study("attention-influence").claims if c.over_metric)
    assert share_shown_by_chance(claim, n_seeds=5) == share_shown_by_chance(form(claim), n_seeds=5)


@pytest.mark.parametrize(
    "study", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in study_names()], indirect=True
)
def test_a_quick_run_gives_every_claim_an_effect_and_the_same_metrics_again(study: Study, tmp_path: Path) -> None:
    files = TrialFiles(Folder(str(tmp_path / "trials")), study.identity())
    results = run_here(study.trial, study.trials(data=study.data, seeds=2, quick=True), files)
    assert [result.error for result in results if result.error] == []
    outcomes = verdicts(study, results)
    assert len(outcomes) == len(study.claims)
    for outcome in outcomes:
        claim = outcome.claim
        if not set(claim.data or study.data) & set(study.data) or {claim.of, claim.over} & set(study.needs):
            # of sets, or of an arm's model, that only --data has
            assert (outcome.effect, outcome.verdict) == (None, "not shown")
        elif outcome.claim.share_of is not None:  # of two seeds the interval of a share is seldom bounded
            assert outcome.data
        else:
            assert outcome.effect is not None
            assert outcome.effect.n == 2
    found = record(study, results, data=study.data, left_out=study.more_data, seeds=2)
    assert all(claim.sentence in as_markdown(found) for claim in study.claims)
    again = run_trial(study.trial, results[0].trial, TrialFiles(Folder(str(tmp_path / "again")), {}))
    assert again.metrics == results[0].metrics


def test_arms_of_a_seed_share_it_and_no_two_trials_are_alike(study: Study) -> None:
    trials = study.trials(data=study.data, seeds=3, beside=tuple(study.needs))
    assert len({trial.name({}) for trial in trials}) == len(trials) == 3 * len(study.data) * len(study.arms)


def test_committed_results_are_of_claims_as_they_stand(study: Study) -> None:
    found = read_record(study.name)
    if found is None:
        pytest.skip("this study has not been run yet; python -m jobs.study runs it")
    wanted = [json.loads(json.dumps(asdict(claim))) for claim in study.claims]
    assert [{name: claim.get(name) for name in wanted[0]} for claim in found["claims"]] == wanted
