import json
from pathlib import Path

import pytest

from jobs.chunk_corpus import Config, main
from raypipe.corpus import Corpus
from tests.corpus.reading import read_all

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(180)]


def test_chunks_of_a_corpus_are_a_corpus_that_goes_on_and_is_cut_anew_when_asked(tmp_path: Path) -> None:
    texts = [f"Line one of {row}.\nLine two of it, which is longer." for row in range(30)]
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": text, "n": row}) + "\n" for row, text in enumerate(texts))
    )
    settings = {"corpus": (str(tmp_path / "a.jsonl"),), "output": str(tmp_path / "run"), "id_column": "n"}

    def chunks() -> dict[str, str]:
        """The texts of the chunks, put together by the row that they come from."""
        found: dict[str, str] = {}
        for row in read_all(Corpus((str(tmp_path / "run/chunks/*.parquet"),), id_column="id")):
            source = row["id"].rpartition("#")[0]
            found[source] = found.get(source, "") + row["text"]
        return found

    assert main(Config(**settings, max_chars=20, shard_bytes=900)) == 0
    assert chunks() == {str(row): text for row, text in enumerate(texts)}
    stamps = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run/chunks").iterdir()}
    assert main(Config(**settings, max_chars=20, shard_bytes=900)) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run/chunks").iterdir()} == stamps
    assert main(Config(**settings, max_chars=1000, shard_bytes=900)) == 0  # runs no model: done again without asking
    card = json.loads((tmp_path / "run/chunks/card.json").read_text())
    assert (card["counts"]["written"], card["identity"]["max_chars"]) == (30, 1000)
