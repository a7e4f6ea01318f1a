"""With more than one node, each must see the run folder and the corpus; here one node answers for two."""

from pathlib import Path

import pytest
import ray

from raypipe.corpus import Corpus, plan_shards
from raypipe.run.cluster import check_seen_by_all
from raypipe.storage.folder import Folder

from .stages import write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(120)]


@pytest.fixture
def two_nodes(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    node = next(node for node in ray.nodes() if node["Alive"])
    monkeypatch.setattr(ray, "nodes", lambda: [node, node])


def test_shared_folders_pass_and_nothing_is_left_in_them(tmp_path: Path, two_nodes: None) -> None:
    write_corpus(tmp_path / "corpus")
    plan = plan_shards(Corpus((str(tmp_path / "corpus"),)), shard_bytes=400, part_rows=5)
    check_seen_by_all(Folder(str(tmp_path / "run")), plan.shards)
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_folder_of_one_machine_is_refused_with_the_nodes_address(
    tmp_path: Path, two_nodes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Folder, "write", lambda *_: None)  # what is written here can't be seen there
    address = ray.nodes()[0]["NodeManagerAddress"]
    with pytest.raises(ValueError, match=rf"/run must be shared by all nodes, but node {address} doesn't see"):
        check_seen_by_all(Folder(str(tmp_path / "run")))


def test_what_a_training_reads_must_be_seen_by_all_unless_it_is_no_path(
    tmp_path: Path, two_nodes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, run = tmp_path / "rows.jsonl", Folder(str(tmp_path / "run"))
    rows.write_text("{}")
    check_seen_by_all(run, paths=[str(rows), "sample", "org/name", "s3://bucket/rows"])
    rows.unlink()
    monkeypatch.setattr("os.path.exists", lambda _: True)  # here it is, there it isn't
    with pytest.raises(ValueError, match=r"rows\.jsonl must be shared by all nodes"):
        check_seen_by_all(run, paths=[str(rows)])


def test_a_corpus_of_one_machine_is_refused(tmp_path: Path, two_nodes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "corpus")
    plan = plan_shards(Corpus((str(tmp_path / "corpus"),)), shard_bytes=400, part_rows=5)
    for path in (tmp_path / "corpus").iterdir():
        path.unlink()
    check_seen_by_all(Folder(str(tmp_path / "run")), plan.shards)  # gone from here too: the reader will say so
    monkeypatch.setattr("os.path.isfile", lambda _: True)  # here they are, there they aren't
    with pytest.raises(ValueError, match=r"part-\d\.jsonl must be shared by all nodes"):
        check_seen_by_all(Folder(str(tmp_path / "run")), plan.shards)
