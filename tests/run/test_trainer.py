"""What a training asks before any worker starts."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raypipe.contracts.op import Pool
from raypipe.run import trainer
from raypipe.storage.folder import Folder


@pytest.mark.parametrize(("n_workers", "is_asked"), [(1, False), (2, True)])
def test_several_workers_must_see_the_run_and_all_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_workers: int, is_asked: bool
) -> None:
    asked: list[Any] = []
    plan = SimpleNamespace(n_steps=1)
    training: Any = SimpleNamespace(folder=Folder(str(tmp_path / "train")), inputs=("rows.jsonl", "model"), plan=plan)

    def refuse(run: Folder, *, paths: tuple[str, ...]) -> None:
        asked.append((run.uri, paths))
        raise ValueError("not seen")

    def start(*_: object, **__: object) -> None:
        raise ValueError("started")

    monkeypatch.setattr(trainer, "check_seen_by_all", refuse)
    monkeypatch.setattr(trainer, "_Followed", start)
    with pytest.raises(ValueError, match="not seen" if is_asked else "started"):
        trainer.fit(training, n_workers=n_workers, pool=Pool(), max_failures=0, stopping=threading.Event())
    assert asked == ([(training.folder.uri, ("rows.jsonl", "model"))] if is_asked else [])
