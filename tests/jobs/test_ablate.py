"""The ablate job, in this process and without Ray: arms, budget, verdict, resume."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jobs.ablate import Config, main
from jobs.parts import ablate_trial, settings
from jobs.parts.ablate_plan import arms_of, pairs_of
from raypipe.runs.signals import Stopped
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder
from raypipe.train.data.index import read_listing, read_mix
from tests.jobs.ablation import write_classes, write_scored_run

RECIPES = Path(__file__).parents[2] / "jobs/recipes"


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def config(tmp_path, tokenizer):
    write_scored_run(tmp_path / "run", tokenizer)
    return built(
        Config, output=str(tmp_path / "run"), tokenizer=tokenizer, length=32, batch_tokens=128, steps=2,
        heldout_every=1, cpus_per_worker=1, selectors=("longest",), seeds=2, holdout=0.2, min_domain_rows=10, on="here",
    )  # fmt: skip


@pytest.fixture
def untrained(monkeypatch):
    """Trials that train nothing: longest is better by .1, and seeds differ more; what was run is listed."""
    ran = []

    def run(self, given, seed, folder):
        arm = given["selection"].removeprefix("ablation/arms/").split("-seed-")[0]
        ran.append((arm, seed))
        loss = 3 + seed - 0.1 * arm.startswith("longest") + 0.001 * ((7 * seed + len(arm)) % 5)
        return {"loss": loss, "heldout_loss": loss, "heldout_loss/a": loss, "heldout_loss/b": loss + 1}

    monkeypatch.setattr(ablate_trial.JobTrial, "__call__", run)
    return ran


def found(config, stage="ablation"):
    return json.loads((Path(config.run.output) / stage / "ablation.json").read_text())


def test_an_ablation_trains_every_arm_on_equal_tokens_and_ends_in_a_verdict(config, tmp_path, capsys):
    assert main(config) == 0
    assert "<bdi>running</bdi>" not in (tmp_path / "run/report.html").read_text()  # not written too early
    record = found(config)
    assert record["order"] == ["full", "random-0.2", "longest-0.2"]
    assert [one["seed"] for one in record["trials"]] == [0, 0, 0, 1, 1, 1]
    assert {one["status"] for one in record["trials"]} == {"finished"}
    for trial in record["trials"]:
        model = tmp_path / "run/ablation" / trial["name"] / "run/train/model"
        lineage = json.loads((model / "raypipe.json").read_text())
        assert lineage["tokens_seen"] == 256
        assert lineage["identity"]["mix_sha256"].startswith(trial["mix"])
        assert lineage["selection"]["arm"] == record["arms"][trial["arm"]]["selector"]
        assert lineage["selection"]["scores_identity"]["model_sha256"] == "m"
        assert not (model.parent / "checkpoints").exists() or not any((model.parent / "checkpoints").rglob("*.*"))
    for curve in record["arms"]["longest-0.2"]["curves"]:
        assert [step for step, _ in curve] == [1, 2]
    assert {one["domain"] for one in record["domains"]} == {"a", "b"}
    assert {one["verdict"] for one in record["comparisons"]} <= {"better", "worse", "no difference shown"}
    assert record["seconds"] == pytest.approx(sum(arm["seconds"] for arm in record["arms"].values()))
    assert re.search(r"longest-0.2 against random-0.2: [+-]0\.\d+ \[.*\], 2 seeds: ", capsys.readouterr().out)


def test_held_out_documents_are_in_no_mix_and_random_rows_are_drawn_for_each_seed(config, untrained):
    assert main(config) == 0
    listing, mixes = read_listing(Folder(config.run.output) / "tokens"), {}
    for name in ("full", "longest-0.2", "random-0.2-seed-0", "random-0.2-seed-1"):
        mixes[name] = read_mix(listing, Folder(config.run.output) / "ablation/arms" / name)
    heldout = mixes["full"].is_heldout
    assert 5 < heldout.sum() < len(listing) / 2
    assert found(config)["heldout_documents"] == (heldout & (listing.n_tokens > 1)).sum()
    for mix in mixes.values():
        assert (mix.is_heldout == heldout).all()
        assert not mix.weight[heldout].any()
    chosen = {name: mix.weight > 1 for name, mix in mixes.items()}
    assert not (chosen["random-0.2-seed-0"] == chosen["random-0.2-seed-1"]).all()
    sizes = {name: int(listing.n_tokens[rows].sum()) for name, rows in chosen.items()}
    assert sizes.pop("full") == 0
    assert max(sizes.values()) - min(sizes.values()) <= 2 * listing.n_tokens.max()  # two domains, a document each
    shared = found(config)["overlap"]
    both = chosen["longest-0.2"] & chosen["random-0.2-seed-0"]
    either = chosen["longest-0.2"] | chosen["random-0.2-seed-0"]
    assert shared[0]["documents"] == pytest.approx(both.sum() / either.sum())


def test_what_a_decontamination_skipped_is_in_no_arm(config, untrained):
    run = Path(config.run.output)
    listing = read_listing(Folder(config.run.output) / "tokens")
    tables = [pq.read_table(path, columns=["text_hash", "status"]) for path in sorted(run.glob("tokens/*.parquet"))]
    marks = pa.concat_tables(tables).to_pylist()
    dirty = np.arange(len(marks)) % 5 == 0
    for mark, is_dirty in zip(marks, dirty, strict=True):
        mark["status"] = "skipped" if is_dirty else "scored"
    (run / "decontamination").mkdir()
    pq.write_table(pa.Table.from_pylist(marks), run / "decontamination/all.parquet")
    (run / "decontamination/card.json").write_text(json.dumps({"status": "finished"}))
    assert main(changed(config, leave_out="decontamination")) == 0
    for arm in ("full", "random-0.2-seed-0", "random-0.2-seed-1", "longest-0.2"):
        mix = read_mix(listing, Folder(config.run.output) / "ablation/arms" / arm)
        assert not mix.weight[dirty].any()
        assert (mix.weight[~dirty] > 0).sum() > len(listing) / 2
    with pytest.raises(FileNotFoundError, match="no stage 'decontamin'; the nearest is 'decontamination'"):
        main(changed(config, leave_out="decontamin"))


def test_an_arm_that_is_better_in_every_seed_wins_and_more_seeds_run_only_what_is_new(config, untrained, capsys):
    config = changed(config, seeds=4)
    assert main(config) == 0
    assert found(config)["winner"] == "longest-0.2"
    assert "Winner: longest-0.2." in capsys.readouterr().out
    assert sorted(untrained) == sorted((arm, seed) for seed in range(4) for arm in found(config)["order"])
    untrained.clear()
    assert main(changed(config, seeds=5, selectors=("longest", "influence"))) == 0
    new = [(arm, 4) for arm in ("full", "random-0.2", "longest-0.2")]
    assert sorted(untrained) == sorted([*new, *(("influence-0.2", seed) for seed in range(5))])
    assert found(config)["winner"] == "longest-0.2"


def test_other_settings_of_training_are_refused_and_other_scores_are_other_trials(config, untrained, tmp_path):
    assert main(config) == 0
    with pytest.raises(ValueError, match=r"steps was 2 and is now 3.*--name NEW.*--restart ablation"):
        main(changed(config, steps=3))
    untrained.clear()
    assert main(changed(config, share_of="tokens")) == 0  # other rows: what they were before stays beside
    assert ("longest-0.2", 0) in untrained
    assert ("full", 0) not in untrained


def test_scores_of_other_proxies_and_heads_are_arms_of_their_own(config, tokenizer, tmp_path):
    write_scored_run(tmp_path / "run", tokenizer, scores="scores-heads-10")
    write_scored_run(tmp_path / "run", tokenizer, scores="scores-large", model="larger")
    config = changed(
        config, scores=("scores", "scores-heads-10", "scores-large"), selectors=("influence", "longest", "lowest-loss"),
        shares=(0.2, 0.4),
    )  # fmt: skip
    arms = arms_of(config, Folder(config.run.output))
    assert [arm.name for arm in arms if arm.share != 0.4] == [
        "full", "random-0.2", "influence-0.2", "longest-0.2", "lowest-loss-0.2", "influence-0.2@heads-10",
        "influence-0.2@large", "lowest-loss-0.2@large",
    ]  # fmt: skip
    pairs = pairs_of(arms)
    assert ("influence-0.4@large", "random-0.4") in pairs
    assert [pair for pair in pairs if pair[0] == "full"] == [("full", "random-0.2"), ("full", "random-0.4")]
    assert len(pairs) == len(arms) - 3 + 2


def test_the_best_by_a_classifier_s_score_are_an_arm(config, untrained, tmp_path):
    write_classes(tmp_path / "run")
    config = changed(config, scores=("scores", "classes"), selectors=("influence", "longest", "lowest-loss"))
    run = Folder(config.run.output)
    assert [arm.name for arm in arms_of(config, run)] == [
        "full", "random-0.2", "influence-0.2", "longest-0.2", "lowest-loss-0.2", "quality-0.2@classes",
    ]  # fmt: skip
    assert main(config) == 0
    assert ("quality-0.2@classes", 0) in untrained
    selected = read_mix(read_listing(run / "tokens"), run / "ablation/arms/quality-0.2@classes").weight > 1
    quality = np.concatenate([pq.read_table(path)["quality"].to_numpy(zero_copy_only=False)
                              for path in sorted((tmp_path / "run/classes").glob("*.parquet"))])  # fmt: skip
    assert np.nanmean(quality[selected]) > np.nanmean(quality) + 0.2
    first = changed(config, scores=("classes",), selectors=("influence",))
    assert [arm.name for arm in arms_of(first, run)] == ["full", "random-0.2", "quality-0.2"]
    with pytest.raises(KeyError, match="no column 'influnce'"):
        main(changed(first, score="influnce", name="other"))


def test_one_failed_trial_leaves_the_others_and_all_failed_is_status_1(config, untrained, monkeypatch, capsys):
    run = ablate_trial.JobTrial.__call__

    def fails(self, given, seed, folder):
        if everything or (seed == 1 and "longest" in given["selection"]):
            raise ValueError("the loss isn't finite")
        return run(self, given, seed, folder)

    monkeypatch.setattr(ablate_trial.JobTrial, "__call__", fails)
    everything = False
    assert main(config) == 0
    said = capsys.readouterr()
    assert "failed: arm longest-0.2, mix" in said.err
    assert "longest-0.2 against random-0.2: not judged, fewer than two seeds finished" in said.out
    everything = True
    assert main(changed(config, name="b")) == 1
    assert "none of 6 trials finished" in capsys.readouterr().err
    everything = False
    assert main(changed(config, name="b", retry="failed")) == 0


def test_a_stopped_ablation_goes_on_where_it_was(config, untrained, monkeypatch):
    run = ablate_trial.JobTrial.__call__

    def stopped(self, given, seed, folder):
        if len(untrained) == 3:
            raise Stopped("stopped in a trial; go on with the same command.")
        return run(self, given, seed, folder)

    monkeypatch.setattr(ablate_trial.JobTrial, "__call__", stopped)
    main(config)
    assert json.loads((Path(config.run.output) / "run.json").read_text())["status"] == "incomplete"
    monkeypatch.setattr(ablate_trial.JobTrial, "__call__", run)
    assert main(config) == 0
    assert len(untrained) == len(set(untrained)) == 6


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"selectors": ()}, "selectors must hold at least one value, each once, got none"),
        ({"shares": ()}, "shares must hold at least one value"),
        ({"shares": (0.2, 0.2)}, r"each once, got \[0.2, 0.2\]"),
        ({"shares": (1.5,)}, "share must be above 0 and at most 1, got 1.5"),
        ({"selectors": ("random",)}, "needn't name 'random', which is always run"),
        ({"selectors": ("best",)}, "selectors must be some of influence, .*, got 'best'"),
        ({"seeds": 1}, "seeds must be at least 2 for an interval, got 1"),
        ({"max_passes": 0.0}, "max_passes must be above 0"),
        ({"workers": 2}, "workers must be 1"),
        ({"selection": "selection-random"}, "--selection has no effect in ablate"),
        ({"adjust": ("loss",)}, "--adjust has no effect without adjusted among --selectors"),
        (
            {"metric": "heldout_loss/c"},
            "metric must be one that every trial reports, got 'heldout_loss/c'; the nearest",
        ),
        ({"metric": "accuracy"}, "metric must be one that every trial reports, got 'accuracy'"),
        ({"scores": ("score",)}, "has no stage 'score'; the nearest is 'scores'"),
        ({"tokens": "token"}, "isn't there .the nearest is 'tokens'"),
        ({"warmup_fraction": 2.0}, r"warmup_fraction must be in \[0, 1\]"),
        ({"steps": None}, "give either --steps or --train-tokens"),
    ],
)
def test_what_can_not_be_compared_is_refused_before_anything_is_written(config, untrained, more, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        main(changed(config, **more))
    assert not untrained
    assert not (Path(config.run.output) / "run.json").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"steps": 500},
            r"arm 'full' has too few tokens for the budget: [\d,]+ in one pass, .* 64,000 .* \d+\.\d times",
        ),
        ({"steps": 40, "mix": "keep"}, r"arm 'random-0.2' has too few tokens for the budget: "),
        ({"holdout": 0.0}, "holdout 0.0 leaves none of the 180 rows"),
        ({"score": "influenc"}, "influenc"),
    ],
)
def test_an_arm_that_can_not_be_trained_on_is_refused_before_any_is(config, untrained, more, words):
    with pytest.raises((ValueError, KeyError), match=words):
        main(changed(config, **more))
    assert not untrained


def test_the_forecast_counts_trials_tokens_and_flops_and_writes_nothing(config, tmp_path, capsys):
    config = changed(config, output=str(tmp_path / "none"), plan=True, flops_per_s=1e9, shares=(0.2, 0.4))
    assert main(config) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("arms 5: full, random, longest; shares 0.2, 0.4")
    assert said[1] == "trials 10 (2 seeds)"
    assert said[3] == "tokens 256 a trial, 2,560 in all"
    flops, hours = (float(re.search(words, line).group(1)) for words, line in (
        (r"trial, ([\d.e+]+) in all", said[4]), (r"device-hours ([\d.]+) at", said[5])))  # fmt: skip
    assert hours == pytest.approx(flops / 1e9 / 3600, abs=0.01)
    assert not (tmp_path / "none").exists()


def test_the_forecast_measures_this_machine_where_no_speed_is_given(config, capsys, monkeypatch):
    monkeypatch.setattr("jobs.parts.ablate_forecast.MEASURED_S", 0.1)
    assert main(changed(config, plan=True)) == 0
    rate = float(re.search(r"at ([\d.e+]+) FLOPs a second, measured here", capsys.readouterr().out).group(1))
    assert 1e6 < rate < 1e15


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("ablation_demo.yaml", ["trials 6 (2 seeds)"]),
        ("ablation_cpu.yaml", ["arms 5: ", "trials 25 (5 seeds)", "parameters 2,4"]),
        ("ablation_50m.yaml", ["arms 13: ", "parameters 50,", "1,000,079,360 a trial", "at 3e+14 FLOPs a second"]),
    ],
)
def test_a_recipe_stands_ready(recipe, said, monkeypatch, capsys, tokenizer):
    """Its settings parse and fit each other; the tokenizer that it names isn't here, another stands in."""
    monkeypatch.chdir(RECIPES.parents[1])
    monkeypatch.setattr("jobs.parts.ablate_forecast.MEASURED_S", 0.0)
    stand_in = "sample" if "50m" in recipe else tokenizer
    words = ["--config", f"jobs/recipes/{recipe}", "--plan", "--tokenizer", stand_in]
    assert main(settings.parse(Config, words)) == 0
    forecast = capsys.readouterr().out
    assert [words for words in said if words not in forecast] == []
    assert re.search(r"device-hours [\d.,]+ at", forecast)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_arms_are_trained_side_by_side_on_ray_tune(config):
    assert main(changed(config, on="tune")) == 0
    record = found(config)
    assert {one["status"] for one in record["trials"]} == {"finished"}
    assert len({one["name"] for one in record["trials"]}) == 6
    assert {one["effect"]["n"] for one in record["comparisons"]} == {2}
    assert [[step for step, _ in curve] for curve in record["arms"]["full"]["curves"]] == [[1, 2], [1, 2]]
    assert json.loads((Path(config.run.output) / "run.json").read_text())["status"] == "finished"
