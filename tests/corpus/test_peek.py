import json
from pathlib import Path

import pytest

from raypipe.corpus import Corpus, plan_shards
from tests.corpus.reading import read_all


def write(path: Path, *records: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": "t", **record}) + "\n" for record in records))


def refusal(folder: Path, where: str) -> str:
    with pytest.raises(KeyError) as error:
        plan_shards(Corpus((str(folder),), where=where), shard_bytes=10**6, part_rows=10)
    return str(error.value.args[0])


def test_a_misspelt_key_in_a_condition_is_refused_with_the_nearest_name(tmp_path: Path):
    write(tmp_path / "a.jsonl", {"language": "en", "meta": {"score": 3}})
    said = refusal(tmp_path, "langauge = 'en'")
    assert "none of the first 1 rows of a.jsonl has a key 'langauge'" in said
    assert "did you mean 'language'?" in said
    assert "langauge IS NULL OR ..." in said
    assert "did you mean 'language'?" in refusal(tmp_path, "Language = 'en'")  # keys are as they are spelt
    assert "did you mean 'meta.score'?" in refusal(tmp_path, "meta.scroe > 2")
    assert "did you mean" in refusal(tmp_path, "text <> '' AND langage IS NOT NULL")


@pytest.mark.parametrize(
    "where",
    [
        "language = 'en'",
        "meta.score > 2",
        "meta['score'] > 2",
        "deleted IS NULL",
        "deleted IS NULL OR deleted = 0",
        "coalesce(deleted, 0) = 0",
        "len(list_filter(tags, lambda x: x > 0)) >= 0",
        "1 = 1",
    ],
)
def test_what_rows_have_or_may_lack_by_the_condition_s_own_words_is_not(tmp_path: Path, where: str):
    write(tmp_path / "a.jsonl", {"language": "en", "meta": {"score": 3}, "tags": [1]})
    assert [row["reason"] for row in read_all(Corpus((str(tmp_path),), where=where))] == [None]


@pytest.mark.parametrize(("file", "row"), [(0, 700), (37, 20)])
def test_a_rare_key_is_found_far_behind_or_in_a_late_file(tmp_path: Path, file: int, row: int):
    for i in range(40):
        rows = [{"n": n} for n in range(800 if i == file else 3)]
        if i == file:
            rows[row]["rare"] = 1
        write(tmp_path / f"{i:02d}.jsonl", *rows)
    plan = plan_shards(Corpus((str(tmp_path),), where="rare = 1"), shard_bytes=10**6, part_rows=10)
    assert len(plan.shards) >= 40  # every file, and no complaint of a key that isn't there


def test_a_condition_changed_over_known_files_is_looked_at_again(tmp_path: Path):
    write(tmp_path / "a.jsonl", {"language": "en"})
    plan = plan_shards(Corpus((str(tmp_path),), where="language = 'en'"), shard_bytes=10**6, part_rows=10)
    with pytest.raises(KeyError, match="langauge"):
        plan_shards(
            Corpus((str(tmp_path),), where="langauge = 'en'"), shard_bytes=10**6, part_rows=10, known=plan.known
        )
