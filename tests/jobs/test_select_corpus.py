import json
from pathlib import Path

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


def test_wrong_export_settings_stop_before_the_selection_is_made(tmp_path):
    run = write_run(tmp_path, corpus())
    with pytest.raises(ValueError, match="file_size"):
        select_corpus.main(parsed("--run", run, "--file-size", "0"))
    assert not (tmp_path / "selection").exists()
