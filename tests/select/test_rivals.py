"""Rival selections: as many tokens each in every group, each by its own order, the held-out rows the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from raypipe.select import rivals
from raypipe.select.rivals import Selector, rival, token_fractions
from raypipe.select.selection import Selection
from raypipe.select.stage import select
from raypipe.settings.nested import built
from raypipe.storage.folder import Folder
from tests.select.conftest import read_arm

SETTINGS = built(Selection, share=0.3, holdout=0.1, adjust=("loss", "length"))


@pytest.fixture
def made(run):
    """Every selector's rows beside their scores."""
    folder, scores = Folder(run), read_arm(run, "scores")
    fractions = token_fractions(folder, SETTINGS)
    return {selector: of(folder, selector, fractions, scores) for selector in get_args(Selector)}


def of(run: Folder, selector, fractions, scores, settings=SETTINGS, **more) -> dict[str, np.ndarray]:
    rival(run, run / "ablation/arms" / selector, settings, selector, fractions=fractions, **more)
    table = pa.concat_tables(
        pq.read_table(path) for path in sorted(Path(run.path(f"ablation/arms/{selector}")).glob("*.parquet"))
    )
    assert table["text_hash"].equals(scores["text_hash"])
    found = {name: table[name].to_numpy(zero_copy_only=False) for name in ("selected", "weight", "split")}
    names = ("domain", "n_tokens_total", "influence", "loss")
    return {**found, **{name: scores[name].to_numpy(zero_copy_only=False) for name in names}}


def tokens(rows, domain) -> float:
    return float(rows["n_tokens_total"][rows["selected"] & (rows["domain"] == domain)].sum())


def test_every_selector_takes_as_many_tokens_of_each_domain_as_the_best_share(made):
    for domain in ("code", "web", "math"):
        rows = made["influence"]
        wanted, longest_document = tokens(rows, domain), np.nanmax(rows["n_tokens_total"][rows["domain"] == domain])
        for selector, rows in made.items():
            if selector != "full":
                assert abs(tokens(rows, domain) - wanted) <= longest_document / 2, selector
    assert not made["full"]["selected"].any()


def test_each_takes_what_its_name_says(made):
    made = {selector: rows for selector, rows in made.items() if selector != "full"}

    def mean(selector, name):
        rows = made[selector]
        return rows[name][rows["selected"]].mean()

    best = {name: max(made, key=lambda selector: mean(selector, name)) for name in ("influence", "n_tokens_total")}
    assert best == {"influence": "influence", "n_tokens_total": "longest"}
    lowest = min((mean(selector, "loss"), selector) for selector in made)
    assert lowest[1] == "lowest-loss"

    def off(selector):
        rows = made[selector]
        chosen = rows["selected"] & (rows["domain"] == "web")
        return np.abs(rows["loss"][chosen] - np.nanmedian(rows["loss"][rows["domain"] == "web"])).mean()

    assert min((off(selector), selector) for selector in made)[1] == "perplexity-band"


def test_the_same_rows_are_held_out_of_all_and_all_others_are_seen_at_least_once(made):
    for rows in made.values():
        assert (rows["split"] == made["full"]["split"]).all()
        assert (rows["weight"] == made["full"]["weight"] + rows["selected"]).all()
        assert not rows["weight"][rows["split"] == "heldout"].any()


def test_the_best_share_is_the_one_that_select_takes(run, made):
    select(run, replace(SETTINGS, adjust=()))
    assert read_arm(run)["selected"].to_numpy(zero_copy_only=False).tolist() == made["influence"]["selected"].tolist()


def test_another_draw_is_another_random_selection_and_the_same_one_is_not_made_again(run, made, monkeypatch):
    folder, scores = Folder(run), read_arm(run, "scores")
    fractions = token_fractions(folder, SETTINGS)
    again = of(folder, "random", fractions, scores, draw=1)
    assert (again["selected"] != made["random"]["selected"]).mean() > 0.1
    monkeypatch.setattr(rivals, "write_arm", lambda *_, **__: pytest.fail("made again"))
    of(folder, "random", fractions, scores, draw=1)
    of(folder, "longest", fractions, scores)


def test_texts_that_another_stage_skipped_are_in_no_selection_and_count_for_none(run, made):
    scores = read_arm(run, "scores").select(["text_hash"])
    is_left_out = np.arange(len(scores)) % 7 == 0
    (Path(run) / "decontamination").mkdir()
    marks = scores.append_column("status", pa.array(np.where(is_left_out, "skipped", "scored")))
    pq.write_table(marks, Path(run) / "decontamination/all.parquet")
    (Path(run) / "decontamination/card.json").write_text(json.dumps({"status": "finished"}))
    left_out = pc.is_in(scores["text_hash"], scores["text_hash"].filter(pa.array(is_left_out)).combine_chunks())
    settings, hit = replace(SETTINGS, leave_out="decontamination"), left_out.to_numpy()
    fractions = token_fractions(Folder(run), settings)
    assert fractions != token_fractions(Folder(run), SETTINGS)
    for selector, before in made.items():
        rows = of(Folder(run), selector, fractions, read_arm(run, "scores"), settings=settings)
        assert (before["weight"][hit] > 0).sum() > 100
        assert not rows["weight"][hit].any()
        assert (rows["weight"][~hit] > 0).sum() == (before["weight"][~hit] > 0).sum()
    with pytest.raises(FileNotFoundError, match="no stage 'decontaminaton'; the nearest is 'decontamination'"):
        token_fractions(Folder(run), replace(SETTINGS, leave_out="decontaminaton"))


def test_scores_that_are_not_there_are_named_with_the_nearest(run):
    with pytest.raises(FileNotFoundError, match="no stage 'score'; the nearest is 'scores'"):
        token_fractions(Folder(run), replace(SETTINGS, scores="score"))
