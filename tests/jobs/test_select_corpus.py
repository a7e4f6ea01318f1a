import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import select_corpus
from jobs.parts import settings
from tests.select.conftest import corpus, read_arm, write_run


def parsed(*flags: str) -> select_corpus.Config:
    return settings.parse(select_corpus.Config, flags)


def test_flags_are_named_as_the_settings_of_the_parts(tmp_path):
    config = parsed("--run", "here", "--share", "0.5", "--share-of", "tokens", "--corpus-format", "parquet")
    assert config.selection.choosing.share_of == "tokens"
    assert config.export.corpus_format == "parquet"


def test_the_command_writes_a_selection_and_says_what_it_selected(tmp_path, capsys):
    run = write_run(tmp_path, corpus())
    select_corpus.main(parsed("--run", run, "--share", "0.5", "--arms", "random"))
    assert 0.49 < sum(read_arm(run)["selected"].to_pylist()) / 1521 < 0.51
    assert json.loads((Path(run) / "selection-random" / "card.json").read_text())["status"] == "finished"
    assert "math" in capsys.readouterr().out


def test_what_a_condition_on_a_stage_drops_is_printed_and_forgotten_without_it(tmp_path, capsys):
    files = corpus()
    run = write_run(tmp_path, files)
    for path in sorted((tmp_path / "scores").glob("*.parquet")):
        path.rename(path.with_name(f"{path.stem}-0123abcd-000000000000000.parquet"))
    marks = tmp_path / "marks"
    marks.mkdir()
    for path, rows in zip(sorted((tmp_path / "scores").glob("*.parquet")), files, strict=True):
        marked = [{"text_hash": row["text_hash"], "is_duplicate": n % 5 == 0} for n, row in enumerate(rows)]
        pq.write_table(pa.Table.from_pylist(marked), marks / path.name)
    (marks / "card.json").write_text(json.dumps({"status": "finished", "identity": {"a": 1}}))
    kept = parsed("--run", run, "--keep", "not marks.is_duplicate")
    assert select_corpus.main(kept) == 0
    assert "not marks.is_duplicate: drops 329" in capsys.readouterr().out
    assert select_corpus.main(parsed("--run", run)) == 0
    assert "rules keep" not in capsys.readouterr().out
    assert not (tmp_path / "rules").exists()
    assert select_corpus.main(parsed("--run", run, "--keep", "not duplicate")) == 0
    assert "rules keep" in capsys.readouterr().out
    assert select_corpus.main(kept) == 0
    assert "not marks.is_duplicate: drops 329" in capsys.readouterr().out
    assert select_corpus.main(parsed("--run", run)) == 0
    assert "rules keep" not in capsys.readouterr().out
    assert not (tmp_path / "rules").exists()


def test_wrong_export_settings_stop_before_the_selection_is_made(tmp_path):
    run = write_run(tmp_path, corpus())
    with pytest.raises(ValueError, match="file_size"):
        select_corpus.main(parsed("--run", run, "--file-size", "0"))
    assert not (tmp_path / "selection").exists()
