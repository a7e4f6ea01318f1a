import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.report.numbers.read import list_run, read_progress, read_rows
from raypipe.report.numbers.run_numbers import gather_numbers
from raypipe.storage.folder import Folder


def whole(made, stage="scores"):
    """All rows of a stage as pandas-free columns."""
    files = sorted(entry.path for entry in (made.folder / stage).files() if entry.path.endswith(".parquet"))
    return pa.concat_tables([pq.read_table((made.folder / stage).path(name)) for name in files])


def test_counts_by_domain_equal_a_plain_count(made):
    rows, table = read_rows(list_run(made.folder)), whole(made).to_pylist()
    for number, domain in enumerate(rows.domains):
        mine = [row for row in table if row["domain"] == domain]
        scored = [row for row in mine if row["status"] == "scored"]
        assert rows.counts["rows"][number] == len(mine)
        assert rows.counts["scored"][number] == len(scored)
        assert rows.counts["tokens"][number] == sum(row["n_tokens"] for row in scored)
        assert rows.counts["tokens_total"][number] == sum(row["n_tokens_total"] for row in scored)
        assert rows.counts["truncated"][number] == sum(row["truncated"] for row in scored)


def test_skipped_rows_are_counted_by_reason_with_the_first_of_each(made):
    files = list_run(made.folder)
    rows, table = read_rows(files), whole(made).to_pylist()
    skipped = [row["reason"] for row in table if row["status"] == "skipped"]
    assert dict(rows.reasons) == {reason: skipped.count(reason) for reason in skipped}
    for reason, (file, row) in rows.examples.items():
        stored = pq.read_table(files.folder.path(f"scores/{files.tables['scores'][file]}"))
        assert stored["reason"][row].as_py() == reason


def test_kept_rows_point_to_their_place(made):
    files = list_run(made.folder)
    rows = read_rows(files)
    for kept in rows.kept[::37]:
        stored = pq.read_table(files.folder.path(f"scores/{files.tables['scores'][kept['file']]}"))
        assert stored["text_hash"][int(kept["row"])].as_py() == kept["text_hash"]
        assert np.float32(stored["influence"][int(kept["row"])].as_py()) == kept["score"]


def test_overlap_of_arms_equals_set_intersections(made):
    rows = read_rows(list_run(made.folder))
    assert rows.arms[0] == "selection"
    assert len(rows.arms) == 4
    chosen = [{row["text_hash"] for row in whole(made, arm).to_pylist() if row["selected"]} for arm in rows.arms]
    assert rows.overlap.tolist() == [[len(a & b) for b in chosen] for a in chosen]
    assert rows.arm_documents.sum(axis=1).tolist() == [len(a) for a in chosen]


def test_threshold_is_the_lowest_selected_score(made):
    rows, table, picked = (
        read_rows(list_run(made.folder)),
        whole(made).to_pylist(),
        whole(made, "selection").to_pylist(),
    )
    for number, domain in enumerate(rows.domains):
        pairs = [(s["influence"], p) for s, p in zip(table, picked, strict=True) if s["domain"] == domain]
        selected = [score for score, pick in pairs if pick["selected"]]
        assert rows.lowest_selected[number] == pytest.approx(min(selected), rel=1e-6)
        assert rows.highest_passed_over[number] <= rows.lowest_selected[number]


def test_a_selection_of_other_scores_is_left_out_and_named(make):
    made = make(hostile=False)
    name = next(e.path for e in (made.folder / "selection-random").files() if e.path.endswith(".parquet"))
    path = (made.folder / "selection-random").path(name)
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    rows = read_rows(list_run(made.folder))
    assert rows.arms == ["selection", "selection-longest", "selection-lowest-loss"]
    assert "other scores" in rows.problems["selection-random"]
    assert rows.overlap.shape == (3, 3)


def test_a_sample_takes_all_copies_of_a_text_or_none_and_counts_stay_exact(make):
    made = make(n_rows=3000, hostile=False, duplicates=600)
    everything, some = read_rows(list_run(made.folder)), read_rows(list_run(made.folder), exact_rows=1000)
    assert some.kept_fraction == pytest.approx(1000 / everything.counts["scored"].sum())
    assert some.counts["rows"].tolist() == everything.counts["rows"].tolist()
    hashes, n_copies = np.unique(some.kept["text_hash"], return_counts=True)
    whole_hashes, whole_copies = np.unique(everything.kept["text_hash"], return_counts=True)
    assert n_copies.tolist() == whole_copies[np.isin(whole_hashes, hashes)].tolist()
    assert 650 < len(hashes) * len(everything.kept) / len(whole_hashes) < 1350


def test_the_same_seed_keeps_the_same_rows(make):
    made = make(hostile=False)
    one, two, other = (
        read_rows(list_run(made.folder), exact_rows=100, seed=seed).kept["text_hash"].tolist() for seed in (0, 0, 1)
    )
    assert one == two != other


def test_an_empty_run_is_refused_and_a_new_one_has_no_rows(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither run\.json nor"):
        list_run(Folder(str(tmp_path)))
    Folder(str(tmp_path)).write("run.json", b'{"name": "new", "status": "running"}')
    assert gather_numbers(Folder(str(tmp_path))).rows.is_empty


def test_a_broken_card_is_named(made, tmp_path):
    folder = Folder(str(tmp_path))
    folder.write("scores/card.json", b"{")
    with pytest.raises(ValueError, match=r"scores/card\.json isn't JSON"):
        list_run(folder)
    folder.write("scores/card.json", b"[]")
    with pytest.raises(ValueError, match="must hold a JSON object, got a list"):
        list_run(folder)


def test_progress_is_in_order_of_time(made):
    times = [entry["time"] for entry in read_progress(list_run(made.folder))]
    assert times == sorted(times)
    assert len(times) == 30


def test_scores_under_another_name_are_found(make):
    made = make(parts=("scores",))
    root = made.folder.path("")
    import os

    os.rename(f"{root}/scores", f"{root}/scores-min-k")
    assert list_run(made.folder).scores_stage == "scores-min-k"
    assert json.loads(made.folder.read("run.json"))["name"]
