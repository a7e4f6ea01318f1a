"""Rules over columns of any stage, applied by position."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.select.rules.published import PUBLISHED
from raypipe.select.rules.ruling import BEFORE
from raypipe.select.selection import Selection
from raypipe.select.stage import select
from raypipe.settings.nested import built
from tests.select.conftest import SCORES, corpus, read_arm

CUTS = {"scores": 150, "columns": 70}
"""Rows of a file: each stage is cut in its own way."""


def write(folder: Path, rows: list[dict], schema: pa.Schema, *, size: int) -> None:
    folder.mkdir(parents=True)
    for start in range(0, len(rows), size):
        table = pa.Table.from_pylist(rows[start : start + size], schema=schema)
        pq.write_table(table, folder / f"a.parquet-0123abcd-{start:015d}.parquet")
    counts = {"rows": len(rows)}
    card = {"stage": folder.name, "status": "finished", "identity": {"seed": 0}, "counts": counts}
    (folder / "card.json").write_text(json.dumps(card))


def described(row: dict, number: int) -> dict:
    """Columns of a description that can be checked by hand; every seventh has no language."""
    known = None if row["text_hash"] is None or number % 7 == 0 else "en" if number % 3 else "fr"
    keys = {name: row[name] for name in ("id", "text_hash", "status", "reason")}
    return {**keys, "language": known, "n_words": number, "share": math.nan if number % 11 == 0 else number / 600}


@pytest.fixture
def run(tmp_path: Path) -> str:
    rows = [row for file in corpus(sizes={"web": 600}) for row in file]
    write(tmp_path / "run/scores", rows, SCORES, size=CUTS["scores"])
    found = [described(row, number) for number, row in enumerate(rows)]
    kinds = [("id", pa.string()), ("text_hash", pa.int64()), ("status", pa.string()), ("reason", pa.string()),
             ("language", pa.string()), ("n_words", pa.int32()), ("share", pa.float64())]  # fmt: skip
    write(tmp_path / "run/columns", found, pa.schema(kinds), size=CUTS["columns"])
    return str(tmp_path / "run")


def reasons(run: str) -> list[dict]:
    return read_arm(run, "rules").to_pylist()


def test_only_rows_that_keep_every_rule_are_seen_and_the_others_say_why(run: str) -> None:
    rules = ("language = 'en'", "share < 0.5", "columns.n_words % 2 = 0")
    select(run, built(Selection, keep=" and ".join(rules), share=1.0, holdout=0.0, arms=("random",)))
    described, found = read_arm(run, "columns").to_pylist(), reasons(run)
    for row, of in zip(described, found, strict=True):
        if row["text_hash"] is None:
            assert (of["reason"], of["dropped_by"]) == (BEFORE, None)
            continue
        held = (row["language"] == "en", row["share"] < 0.5, row["n_words"] % 2 == 0)  # NaN isn't below
        dropped = [rule for rule, ok in zip(rules, held, strict=True) if not ok]
        assert len(of["dropped_by"]) == len(dropped)
        assert all(rule.split()[0].rpartition(".")[2] in by for rule, by in zip(dropped, of["dropped_by"], strict=True))
        assert of["reason"] == (of["dropped_by"][0] if dropped else None)
        assert of["status"] == ("skipped" if dropped else "scored")
    kept = {of["text_hash"] for of in found if of["status"] == "scored"}
    for arm in ("selection", "selection-random"):
        seen = {row["text_hash"] for row in read_arm(run, arm).to_pylist() if row["weight"] > 0}
        assert seen == kept
        assert len(seen) > 30
    select(run, built(Selection, arms=("random",)))
    assert not (Path(run) / "rules").exists()


def test_the_card_says_what_each_rule_dropped_and_what_it_alone(run: str) -> None:
    select(run, built(Selection, keep="language = 'en' and n_words >= 300", share=1.0))
    said = json.loads((Path(run) / "rules/card.json").read_text())["rules"]
    found = [of["dropped_by"] for of in reasons(run) if of["dropped_by"] is not None]
    assert (said["rows"], said["kept"]) == (len(found), sum(not by for by in found))
    for one in said["rules"]:
        assert one["dropped"] == sum(one["rule"] in by for by in found) > 0
        assert one["alone"] == sum(by == [one["rule"]] for by in found) > 0
        assert one["first"] == sum(by[:1] == [one["rule"]] for by in found) > 0
        assert one["tokens"] > one["dropped"]


def test_a_rule_may_ask_for_the_rank_by_the_score_and_for_copies(run: str) -> None:
    select(run, built(Selection, keep="influence_rank > .8 and not duplicate", share=1.0, holdout=0.0, mix="keep"))
    scores = {row["id"]: row for row in read_arm(run, "scores").to_pylist()}
    seen = [row["id"] for row in read_arm(run).to_pylist() if row["weight"] > 0]
    first = {row["text_hash"]: row for row in reversed(scores.values()) if row["status"] == "scored"}
    best = sorted(first.values(), key=lambda row: -row["influence"])[: len(seen)]
    assert set(seen) == {row["id"] for row in best}
    assert len(seen) == pytest.approx(0.2 * len(first), abs=1)


def test_the_same_command_returns_at_once_and_a_change_of_a_column_does_not(run: str) -> None:
    settings = built(Selection, keep="language = 'en'")
    card = select(run, settings)
    stamps = {path: path.stat().st_mtime_ns for path in Path(run).glob("*/*.parquet")}
    assert select(run, settings)["identity"] == card["identity"]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    other = select(run, built(Selection, keep="language = 'fr'"))
    assert other["identity"] != card["identity"]
    assert select(run, Selection())["identity"].keys().isdisjoint({"keep", "rules", "ruled_files"})


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"keep": "languag = 'en'"}, KeyError, "no stage of the run has a column 'languag'; did you mean 'l"),
        ({"keep": "status = 'scored' and scores.los > 1"}, KeyError, "no stage of the run has a column"),
        ({"keep": "n_words > (select 1)"}, ValueError, "can't be used"),
        ({"keep": "language > interval 1 day"}, ValueError, "rule 'language > interval 1 day' can't be used"),
        ({"rules": ("gopher",)}, KeyError, "needs column 'mean_word_length' of stage 'columns', which describe_corpus"),
        ({"rules": ("gofer",)}, ValueError, "rules must be some of"),
    ],
)  # fmt: skip
def test_a_rule_that_cant_be_asked_is_refused_before_anything_is_written(run, settings, error, message) -> None:
    with pytest.raises(error, match=message):
        select(run, built(Selection, **settings))
    assert not (Path(run) / "selection").exists()
    assert not (Path(run) / "rules").exists()


def test_a_name_of_two_stages_must_say_which(run: str, tmp_path: Path) -> None:
    (tmp_path / "run/columns-old").mkdir()
    for path in Path(run, "columns").iterdir():
        (tmp_path / "run/columns-old" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(KeyError, match=r"is a column of several stages; say which: columns\.language, columns-"):
        select(run, built(Selection, keep="language = 'en'"))
    assert select(run, built(Selection, keep="columns.language = 'en'"))["counts"]["selected"] > 0


def test_a_stage_of_other_rows_is_refused(run: str) -> None:
    last = max(Path(run, "columns").glob("*.parquet"))
    table = pq.read_table(last)
    pq.write_table(table[:-1], last)
    with pytest.raises(ValueError, match="stage 'columns' must hold the rows of the scores"):
        select(run, built(Selection, keep="language = 'en'"))


def test_published_rules_name_columns_of_a_description() -> None:
    from raypipe.describe.describe import PART_NAMES, Describe, parts_of
    from raypipe.select.rules.ruling import rules_of

    known = set(Describe(parts_of(PART_NAMES)).adds.names)
    named = {name for rule in rules_of(tuple(PUBLISHED), None) for name in rule.named}
    assert named <= known
    assert len(rules_of(("gopher",), None)) == 23


def test_a_description_alone_can_be_selected_from(run: str, tmp_path: Path) -> None:
    described = [row | {"domain": "web", "n_bytes": 9} for row in read_arm(run, "columns").to_pylist()]
    kinds = [("domain", pa.string()), ("n_bytes", pa.int64())]
    schema = pa.schema([*read_arm(run, "columns").schema, *kinds])
    write(tmp_path / "alone/columns", described, schema, size=100)
    settings = {"scores": "columns", "score": "share", "arms": ("random", "longest"), "share": 0.5, "holdout": 0.0}
    card = select(str(tmp_path / "alone"), built(Selection, keep="language = 'en'", **settings))
    with pytest.raises(KeyError, match=r"arm lowest-loss needs the column 'loss', .* --arms random longest"):
        select(str(tmp_path / "alone"), built(Selection, **{**settings, "arms": ("random", "longest", "lowest-loss")}))
    kept = {row["text_hash"]: row for row in described if row["language"] == "en" and row["text_hash"]}
    assert card["counts"]["eligible"] == sum(not math.isnan(row["share"]) for row in kept.values())
    assert card["counts"]["tokens_selected"] > 0  # words stand for tokens
