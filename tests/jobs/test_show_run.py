import json
import threading
import time

import pytest

from jobs.show_run import Config, main
from raypipe.storage.folder import Folder


def write(folder: Folder, status: str) -> None:
    folder.write("run.json", json.dumps({"name": "small", "status": status, "stages": ["scores"]}).encode())


def test_it_prints_the_state_of_a_run(tmp_path, capsys):
    write(Folder(str(tmp_path)), "finished")
    main(Config(run=str(tmp_path), summary=True))
    printed = capsys.readouterr().out
    assert "small: finished" in printed
    assert "not begun" in printed
    assert "Nothing is scored yet" in printed


def test_watching_ends_with_the_run(tmp_path, capsys):
    folder = Folder(str(tmp_path))
    write(folder, "running")
    ending = threading.Timer(0.2, write, (folder, "incomplete"))
    ending.start()
    started = time.monotonic()
    main(Config(run=str(tmp_path), watch=True, every_s=0.05))
    assert time.monotonic() - started > 0.15
    assert "small: incomplete" in capsys.readouterr().out


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(SystemExit, match="holds no run"):
        main(Config(run=str(tmp_path / "nothing")))
