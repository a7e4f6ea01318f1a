"""A search through Ray, by one worker and by four."""

from pathlib import Path

import pytest

from tests.jobs.test_find_duplicates import PLAIN, find, output, write

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(300)]


def test_marks_are_the_same_by_one_worker_and_by_four(tmp_path: Path) -> None:
    words = " ".join(f"w{number}" for number in range(60))
    texts = [*PLAIN, words, f"{words} and more", "...", words.replace("w30 ", "other "), PLAIN[2], None]
    write(tmp_path / "corpus", texts)
    given = {"by": "minhash", "ngram": 2, "bands": 40, "rows_per_band": 4, "memory_gb": 1e-5}
    for name, workers in (("one", 1), ("four", 4)):
        assert find(tmp_path, **given, name=name, max_workers=workers) == 0
    one, four = (output(tmp_path, f"minhash_duplicates-{name}") for name in ("one", "four"))
    assert one.equals(four)
    assert sum(one["is_duplicate"].fill_null(False).to_pylist()) > 2
    links = [len(list((tmp_path / "run" / f"minhash_links-{name}").glob("*.parquet"))) for name in ("one", "four")]
    assert links[0] == links[1] > 2
