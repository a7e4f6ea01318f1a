"""A stage of links through Ray: what a kill leaves, and what other inputs change."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raypipe.corpus import Corpus
from raypipe.run.event_loop import StageFailed
from raypipe.run.links import LinkStage
from raypipe.run.stage import Annotate
from raypipe.runs.signals import Stopped
from raypipe.select.dedup.shared_keys import SharedKeys
from raypipe.select.dedup.text_keys import ExactKeys
from raypipe.storage.folder import Folder

from .fake_op import commit_fault
from .in_process import work
from .stages import SIZES, fault, make_stage, stamps, texts_of, write_lines

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(300)]


@dataclass
class DeadlyKeys(SharedKeys):
    """Its second group ends its process once."""

    once: str = ""

    def result(self) -> Any:
        if self.group == 1:
            commit_fault(self.once, "die")
        if self.group == 1 and (Path(self.once) / "raise").exists():
            (Path(self.once) / "raise").unlink()
            raise ValueError("a group that doesn't fit")
        return super().result()


def stage(root: Path, linker: SharedKeys, **changes: Any) -> LinkStage:
    settings = {"n_groups": 3, "corpus": Corpus((f"{root}/corpus",)), "sizes": SIZES, "stages": ("keys",), **changes}
    return LinkStage(Folder(f"{root}/run"), "links", linker, **settings)


def test_groups_survive_a_kill_and_a_failure_and_are_looked_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Annotate, "_work", work)  # the keys are made here; the groups by Ray
    texts = texts_of(20)
    write_lines(tmp_path / "corpus/a.jsonl", [*texts, *texts[:5], *texts[:2]])
    make_stage(tmp_path, ExactKeys(), stage="keys")()  # type: ignore[arg-type]
    once = fault(tmp_path, "die", "raise")
    with pytest.raises(StageFailed, match=r"links: .*a group that doesn't fit"):
        stage(tmp_path, DeadlyKeys("keys", once=once), max_workers=1)()
    left = stamps(tmp_path, "links")
    assert len(left) == 1
    assert not list(Path(once).iterdir())
    card = stage(tmp_path, DeadlyKeys("keys", once=once), max_workers=1)()
    assert card["counts"]["links"] == 7
    done = stamps(tmp_path, "links")
    assert left.items() <= done.items()
    assert len(done) == 3
    stage(tmp_path, DeadlyKeys("keys", once=once))()
    assert stamps(tmp_path, "links") == done
    write_lines(tmp_path / "corpus/a.jsonl", [*texts, *texts[:5]])
    make_stage(tmp_path, ExactKeys(), stage="keys")()  # type: ignore[arg-type]
    assert stage(tmp_path, DeadlyKeys("keys", once=once))()["counts"]["links"] == 5
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Stopped, match="links: stopped; the same command goes on"):
        stage(tmp_path, DeadlyKeys("keys", once=once), n_groups=2, stopping=stopping)()
