"""A stage of links: what a failure leaves, and what other inputs change; the groups are looked through here."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from raypipe.corpus import Corpus
from raypipe.run.links import PARTS, LinkStage
from raypipe.select.dedup.shared_keys import SharedKeys
from raypipe.select.dedup.text_keys import ExactKeys
from raypipe.storage.folder import Folder

from .in_process import use_this_process
from .stages import SIZES, make_stage, stamps, texts_of, write_lines


@dataclass
class BrittleKeys(SharedKeys):
    """Its second group fails as long as a file is there."""

    fails: str = ""

    def result(self) -> Any:
        if self.group == 1 and Path(self.fails).exists():
            raise ValueError("a group that doesn't fit")
        return super().result()


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    use_this_process(monkeypatch)


def stage(root: Path, **changes: Any) -> LinkStage:
    linker = BrittleKeys("keys", fails=f"{root}/fails")
    settings = {"n_groups": 3, "corpus": Corpus((f"{root}/corpus",)), "sizes": SIZES, "stages": ("keys",), **changes}
    return LinkStage(Folder(f"{root}/run"), "links", linker, **settings)


def write_keys(root: Path, texts: list[str]) -> None:
    write_lines(root / "corpus/a.jsonl", texts)
    make_stage(root, ExactKeys(), stage="keys")()  # type: ignore[arg-type]


def test_groups_that_were_done_before_a_failure_stay_and_all_are_looked_through_once(tmp_path: Path) -> None:
    texts = texts_of(20)
    write_keys(tmp_path, [*texts, *texts[:5], *texts[:2]])
    (tmp_path / "fails").touch()
    with pytest.raises(ValueError, match="a group that doesn't fit"):
        stage(tmp_path)()
    left = stamps(tmp_path, "links")
    assert len(left) == 1
    (tmp_path / "fails").unlink()
    card = stage(tmp_path)()
    assert (card["status"], card["counts"]["links"]) == ("finished", 7)
    done = stamps(tmp_path, "links")
    assert left.items() <= done.items()
    assert len(done) == 3
    assert stage(tmp_path)()["key"] == card["key"]
    assert stamps(tmp_path, "links") == done


def test_other_rows_or_groups_make_all_of_it_anew_and_nothing_old_remains(tmp_path: Path) -> None:
    texts = texts_of(20)
    write_keys(tmp_path, [*texts, *texts[:5]])
    assert stage(tmp_path)()["counts"]["links"] == 5
    before = stamps(tmp_path, "links")
    write_keys(tmp_path, [*texts, *texts[:2]])
    assert stage(tmp_path)()["counts"]["links"] == 2
    assert not stamps(tmp_path, "links").items() & before.items()
    assert stage(tmp_path, n_groups=2)()["counts"]["links"] == 2
    assert len(stamps(tmp_path, "links")) == 2


def test_parts_say_at_which_row_of_the_run_each_begins(tmp_path: Path) -> None:
    write_keys(tmp_path, texts_of(20))
    stage(tmp_path)()
    with pa.OSFile(str(tmp_path / "run/links" / PARTS)) as file:
        table = pa.ipc.open_file(file).read_all()
    first = table["first_row"].to_pylist()
    assert first[0] == 0
    assert first == sorted(set(first))
    assert len(first) > 2
    assert table["part"].to_pylist() == sorted(table["part"].to_pylist())
    assert table.schema.metadata[b"n_rows"] == b"20"


def test_a_changed_source_whose_keys_are_old_is_refused_by_name(tmp_path: Path) -> None:
    write_keys(tmp_path, texts_of(20))
    write_lines(tmp_path / "corpus/a.jsonl", texts_of(21))
    with pytest.raises(ValueError, match=r"stage 'keys' was made before a.jsonl changed"):
        stage(tmp_path, stopping=threading.Event())()
