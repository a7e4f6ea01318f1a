"""The stage end to end, against a slow selection that sorts lists of dictionaries."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe import columns
from raypipe.arrays.hashing import uniform
from raypipe.select.ranking import groups
from raypipe.select.selection import Selection, arm_stage
from raypipe.select.stage import select
from raypipe.settings.nested import built
from tests.select.conftest import corpus, read_arm, write_run

ARMS = ("selection", "random", "longest", "lowest-loss")


def number(row: dict, purpose: str) -> float:
    return float(uniform(np.array([row["text_hash"]]), seed=0, purpose=purpose)[0])


def slow_eligible(files: list[list[dict]], settings: Selection) -> list[dict]:
    """The rows that compete, each with its group: first copies of scored, long enough, not held-out texts."""
    found, seen = [], set()
    for row in itertools.chain(*files):
        if row["status"] != "scored" or number(row, "holdout") < settings.eligibility.holdout:
            continue
        if row["text_hash"] not in seen and row["n_tokens"] >= settings.eligibility.min_tokens:
            found.append(row)
        seen.add(row["text_hash"])
    sizes = {row["domain"]: sum(other["domain"] == row["domain"] for other in found) for row in found}
    return [
        {**row, "group": row["domain"] if sizes[row["domain"]] >= settings.eligibility.min_domain_rows else "(pooled)"}
        for row in found
    ]


def slow_order(arm: str, row: dict) -> float:
    orders = {"selection": row["influence"], "longest": row["n_tokens_total"], "lowest-loss": -row["loss"]}
    return float(orders[arm]) if arm in orders else number(row, "random arm")


def slow_arm(eligible: list[dict], arm: str, *, share: float, tokens: dict[str, int] | None) -> dict[str, tuple]:
    """By id: (rank, selected)."""
    found = {}
    for group in {row["group"] for row in eligible}:
        rows = [row for row in eligible if row["group"] == group]
        rows.sort(key=lambda row: (slow_order(arm, row), number(row, "ties")), reverse=True)
        taken = math.floor(share * len(rows) + 0.5)
        if tokens is not None:
            filled = [0, *itertools.accumulate(row["n_tokens_total"] for row in rows)]
            taken = min(range(len(filled)), key=lambda n: (abs(filled[n] - tokens[group]), -n))
        for place, row in enumerate(rows):
            found[row["id"]] = (1 - place / len(rows), place < taken)
    return found


@pytest.mark.parametrize("exact_rows", [10**6, 150])
def test_every_arm_equals_a_slow_selection(tmp_path, exact_rows):
    files, settings = corpus(), built(Selection, min_tokens=40, holdout=0.05, exact_rows=exact_rows)
    run = write_run(tmp_path, files)
    card = select(run, settings)
    eligible = slow_eligible(files, settings)
    tokens = None
    for arm in ARMS:
        expected = slow_arm(eligible, arm, share=0.2, tokens=tokens)
        rows = read_arm(run, arm_stage(arm)).to_pylist()
        assert {row["id"] for row in rows if row["rank"] is not None} == set(expected)
        assert {row["id"] for row in rows if row["selected"]} == {id for id, (_, taken) in expected.items() if taken}
        if exact_rows > 150:
            assert all(row["rank"] == pytest.approx(expected[row["id"]][0]) for row in rows if row["rank"] is not None)
        else:
            worst = max(abs(row["rank"] - expected[row["id"]][0]) for row in rows if row["rank"] is not None)
            assert worst < 0.1
        if tokens is None:
            groups = {row["group"] for row in eligible}
            tokens = {group: sum_tokens(eligible, group, expected) for group in groups}
    assert card["counts"]["eligible"] == len(eligible)


def sum_tokens(rows: list[dict], group: str, found: dict[str, tuple]) -> int:
    return sum(row["n_tokens_total"] for row in rows if row["group"] == group and found[row["id"]][1])


def test_ranks_of_large_domains_are_within_the_error_that_the_card_states(tmp_path):
    run = write_run(tmp_path, corpus())
    select(run, built(Selection, arms=()))
    exact = read_arm(run).to_pylist()
    card = select(run, built(Selection, arms=(), exact_rows=100))
    for row, before in zip(read_arm(run).to_pylist(), exact, strict=True):
        group = row["domain"] if row["domain"] in card["selection"]["groups"] else "(pooled)"
        if row["rank"] is not None:
            assert abs(row["rank"] - before["rank"]) <= card["selection"]["groups"][group]["rank_error"] + 1e-12
        assert row["selected"] == before["selected"]
    assert card["selection"]["groups"]["web"]["rank_error"] > 0
    assert card["selection"]["groups"]["(pooled)"]["rank_error"] == 0


@pytest.mark.parametrize("exact_rows", [10**6, 3000])
def test_adjusted_ranks_of_large_domains_are_within_the_error_that_the_card_states(tmp_path, monkeypatch, exact_rows):
    settings = {"arms": (), "adjust": ("loss", "length", "zlib"), "min_domain_rows": 1}
    run = write_run(tmp_path, corpus(sizes={"web": 9000, "code": 300}))
    select(run, built(Selection, **settings))
    exact = read_arm(run)["rank"].to_numpy()
    monkeypatch.setattr(groups, "ADJUST_ROWS", 3000)
    anew = {"exact_rows": exact_rows, "extra_copies": 2.0}  # otherwise the selection would be done already
    card = select(run, built(Selection, **settings, **anew))
    stated = {name: own["rank_error"] for name, own in card["selection"]["groups"].items()}
    domain, found = (read_arm(run)[name].to_numpy() for name in ("domain", "rank"))
    real = np.nanmax(np.abs(found - exact)[domain == "web"])
    assert 0 < real <= stated["web"] < 0.2
    assert stated["code"] == 0  # held whole


def test_files_have_the_names_rows_and_schema_of_the_contract(run):
    select(run, Selection())
    for arm in ARMS:
        for scores in (Path(run) / "scores").glob("*.parquet"):
            table = pq.read_table(Path(run) / arm_stage(arm) / scores.name)
            assert table.schema.equals(columns.SELECTION)
            assert table["id"].equals(pq.read_table(scores)["id"])
            record = pq.read_schema(Path(run) / arm_stage(arm) / scores.name).metadata
            assert record[b"raypipe.source_path"] == pq.read_schema(scores).metadata[b"raypipe.source_path"]


def test_control_arms_have_the_tokens_of_the_selection_in_each_domain_to_one_document(run):
    select(run, built(Selection, min_domain_rows=1))
    sizes = dict(zip(*(read_arm(run, "scores")[name].to_pylist() for name in ("id", "n_tokens_total")), strict=True))

    def tokens(arm: str, domain: str) -> list[int]:
        rows = read_arm(run, arm_stage(arm)).to_pylist()
        return [sizes[row["id"]] for row in rows if row["selected"] and row["domain"] == domain]

    for domain, arm in itertools.product(("code", "web", "math", "tiny", "small"), ARMS[1:]):
        largest = max(size for id, size in sizes.items() if size and id.startswith(domain))
        assert abs(sum(tokens(arm, domain)) - sum(tokens("selection", domain))) < largest


@pytest.mark.parametrize("share", [0.001, 0.2, 0.5, 1.0])
def test_the_share_of_documents_is_exact(run, share):
    card = select(run, built(Selection, share=share, arms=(), min_domain_rows=1))
    for own in card["selection"]["domains"].values():
        assert own["selected"] == max(1, math.floor(share * own["eligible"] + 0.5))


@pytest.mark.parametrize("exact_rows", [10**6, 100])
def test_the_share_of_tokens_is_met_to_half_a_document(run, exact_rows):
    card = select(run, built(Selection, share=0.3, share_of="tokens", arms=(), exact_rows=exact_rows))
    scores = read_arm(run, "scores").to_pylist()
    for domain in ("code", "web", "math"):
        own = card["selection"]["domains"][domain]
        largest = max(row["n_tokens_total"] or 0 for row in scores if row["domain"] == domain)
        assert abs(own["tokens_selected"] - 0.3 * own["tokens_eligible"]) <= largest / 2 + 1


def test_weights_upsample_the_selected_and_count_every_other_training_text_once(run):
    select(run, built(Selection, holdout=0.1, min_tokens=50, extra_copies=2.0))
    scores = read_arm(run, "scores").to_pylist()
    seen = set()
    for row, score in zip(read_arm(run).to_pylist(), scores, strict=True):
        is_new = score["status"] == "scored" and row["split"] == "train" and row["text_hash"] not in seen
        seen.add(row["text_hash"])
        assert row["weight"] == (3 if row["selected"] else 1 if is_new else 0)


def test_keep_weighs_the_selected_rows_only(run):
    select(run, built(Selection, mix="keep"))
    assert all(row["weight"] == float(row["selected"]) for row in read_arm(run).to_pylist())


def test_held_out_texts_are_on_one_side_with_all_their_copies_and_no_arm_sees_them(run):
    select(run, built(Selection, holdout=0.2))
    for arm in ARMS:
        rows = read_arm(run, arm_stage(arm)).to_pylist()
        sides: dict[int, set[str]] = {}
        for row in rows:
            sides.setdefault(row["text_hash"], set()).add(row["split"])
            if row["split"] == "heldout":
                assert (row["rank"], row["selected"], row["weight"]) == (None, False, 0)
        assert all(len(found) == 1 for text_hash, found in sides.items() if text_hash is not None)
        assert 0.15 < sum(row["split"] == "heldout" for row in rows) / len(rows) < 0.25


def test_a_temperature_draws_other_rows_and_keeps_the_ranks(run):
    select(run, built(Selection, arms=()))
    top = read_arm(run)
    card = select(run, built(Selection, arms=(), sampling="temperature", temperature=0.3))
    drawn = read_arm(run)
    assert drawn["rank"].equals(top["rank"])
    assert not drawn["selected"].equals(top["selected"])
    ranks = drawn.filter(drawn["selected"])["rank"].to_numpy()
    assert 0.6 < ranks.mean() < 0.89
    assert card["counts"]["selected"] == sum(top["selected"].to_pylist())


@pytest.mark.parametrize("exact_rows", [10**6, 100])
def test_an_adjusted_score_no_longer_follows_the_loss(tmp_path, exact_rows):
    files = corpus(sizes={"web": 900})
    for row in itertools.chain(*files):
        if row["status"] == "scored":
            row["influence"] = np.float32(np.exp(-2 * row["loss"]) * (1 + row["influence"]))
    run = write_run(tmp_path, files)
    before = rank_correlation_with_loss(run, built(Selection, arms=(), exact_rows=exact_rows))
    after = rank_correlation_with_loss(
        run, built(Selection, arms=(), adjust=("loss", "length", "zlib"), exact_rows=exact_rows)
    )
    assert before < -0.9
    assert abs(after) < 0.15
    card = json.loads((Path(run) / "selection" / "card.json").read_text())
    assert 0.9 < card["selection"]["groups"]["web"]["r_squared"] < 1


def rank_correlation_with_loss(run: str, settings: Selection) -> float:
    select(run, settings)
    rank, loss = (read_arm(run, arm)[name].to_pandas() for arm, name in (("selection", "rank"), ("scores", "loss")))
    return float(rank.corr(loss, method="spearman"))


def test_a_score_that_the_card_tells_of_is_ranked_by_in_its_own_direction(run):
    card = Path(run) / "scores" / "card.json"
    says = {"column": "zlib_ratio", "label": "zlib ratio", "unit": "", "higher_is_better": False}
    card.write_text(json.dumps(json.loads(card.read_text()) | {"score": says}))
    identity = select(run, built(Selection, arms=()))["identity"]
    assert (identity["score"], identity["lower_is_better"]) == ("zlib_ratio", True)
    ratio, chosen = (
        read_arm(run, arm)[name].to_numpy() for arm, name in (("scores", "zlib_ratio"), ("selection", "selected"))
    )
    assert np.nanmean(ratio[chosen]) < np.nanmean(ratio[~chosen]) - 0.5


def test_the_same_settings_again_touch_nothing(run):
    first = select(run, Selection())
    before = stamps(run)
    assert select(run, Selection()) == first
    assert stamps(run) == before


def test_the_same_settings_give_the_same_bytes_anywhere(tmp_path):
    contents = []
    for name in ("a", "b"):
        run = write_run(tmp_path / name, corpus())
        select(run, built(Selection, sampling="temperature", adjust=("loss",)))
        contents.append([path.read_bytes() for path in sorted((tmp_path / name).glob("selection*/*.parquet"))])
    assert contents[0] == contents[1]


def test_a_changed_share_touches_selection_files_only(run):
    select(run, built(Selection, share=0.2))
    before = stamps(run)
    select(run, built(Selection, share=0.3))
    changed = {name for name, stamp in stamps(run).items() if before.get(name) != stamp}
    assert changed == {name for name in before if name.startswith("selection")}


def stamps(run: str) -> dict[str, int]:
    paths = (path for path in Path(run).rglob("*") if path.is_file())
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in paths}


def test_arms_and_files_that_are_no_longer_wanted_are_removed(run):
    select(run, Selection())
    stray = Path(run) / "selection" / "part-999.parquet"
    stray.write_bytes(b"")
    select(run, built(Selection, arms=("random",)))
    assert not stray.exists()
    assert {path.name for path in Path(run).iterdir()} == {"scores", "selection", "selection-random"}


def test_a_lost_file_or_a_writing_cut_short_is_redone(run):
    select(run, Selection())
    lost = Path(run) / "selection-longest" / "part-003.parquet"
    content = lost.read_bytes()
    lost.unlink()
    card = Path(run) / "selection" / "card.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "status": "running"}))
    select(run, Selection())
    assert lost.read_bytes() == content
    assert json.loads(card.read_text())["status"] == "finished"


def test_changed_scores_are_noticed(tmp_path):
    run = write_run(tmp_path, corpus())
    before = select(run, Selection())
    write_run(tmp_path, corpus(seed=1))
    after = select(run, Selection())
    assert after["identity"]["scores_files"] != before["identity"]["scores_files"]
    assert after["counts"] != before["counts"]


def test_sharding_changes_nothing_but_the_files(tmp_path):
    files = corpus()
    runs = [write_run(tmp_path / "many", files), write_run(tmp_path / "one", [list(itertools.chain(*files))])]
    for run in runs:
        select(run, built(Selection, sampling="temperature"))
    assert read_arm(runs[0]).equals(read_arm(runs[1]))


def test_copies_are_warned_of_and_small_domains_pooled(run):
    card = select(run, built(Selection, min_domain_rows=100))
    assert any("exact copies" in warning for warning in card["warnings"])
    assert any("'small', 'tiny'" in warning for warning in card["warnings"])
    assert set(card["selection"]["groups"]) == {"(pooled)", "code", "math", "web"}
    assert set(read_arm(run)["domain"].to_pylist()) == {"code", "math", "small", "tiny", "web"}


def test_a_run_without_rows_gives_an_empty_selection(tmp_path):
    run = write_run(tmp_path, [[]])
    assert select(run, Selection())["counts"]["rows"] == 0
    assert read_arm(run).num_rows == 0


def test_unfinished_and_missing_scores_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no stage 'scores'"):
        select(str(tmp_path / "nowhere"), Selection())
    run = write_run(tmp_path, corpus(), status="incomplete")
    with pytest.raises(ValueError, match="must be finished before it is read, but is 'incomplete'"):
        select(run, Selection())


def test_rows_that_the_card_does_not_count_are_refused(run):
    (Path(run) / "scores" / "part-000.parquet").unlink()
    with pytest.raises(ValueError, match="1492 rows but its card counts 1642"):
        select(run, Selection())


@pytest.mark.parametrize(
    ("score", "error", "message"),
    [("influense", KeyError, "no column 'influense'"), ("reason", ValueError, "must name a column of numbers")],
)
def test_a_wrong_score_is_refused_before_anything_is_touched(run, score, error, message):
    select(run, Selection())
    before = stamps(run)
    with pytest.raises(error, match=message):
        select(run, built(Selection, score=score))
    assert stamps(run) == before


def test_texts_that_another_stage_skipped_are_in_no_arm_and_weigh_nothing(tmp_path):
    files = corpus(sizes={"web": 300})
    run, texts = write_run(tmp_path / "run", files), [row for rows in files for row in rows if row["text_hash"]]
    stage, left_out = tmp_path / "run/decontamination", {row["text_hash"] for row in texts[::7]}
    stage.mkdir()
    marks = [
        {"text_hash": row["text_hash"], "status": "skipped" if row["text_hash"] in left_out else "scored"}
        for row in texts
    ]  # cut otherwise than the scores: one file
    pq.write_table(pa.Table.from_pylist([*marks, {"text_hash": None, "status": "skipped"}]), stage / "all.parquet")
    (stage / "card.json").write_text(json.dumps({"status": "finished"}))
    before = select(run, built(Selection, share=1.0))["identity"]
    card = select(run, built(Selection, share=1.0, leave_out="decontamination"))
    assert card["identity"] != before
    for arm in ARMS:
        rows = read_arm(run, arm_stage(arm)).to_pylist()
        weighing = {row["text_hash"] for row in rows if row["weight"] > 0}
        assert len(weighing) > 100
        assert not weighing & left_out
    with pytest.raises(FileNotFoundError, match="no stage 'decontaminaton'; the nearest is 'decontamination'"):
        select(run, built(Selection, leave_out="decontaminaton"))
