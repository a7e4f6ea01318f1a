import errno
import os
import pickle
import threading
from pathlib import Path

import pytest

from raypipe.storage import folder as storage
from raypipe.storage import retry
from raypipe.storage.folder import Folder, walk
from raypipe.storage.retry import retrying
from raypipe.storage.uris import filesystem, glob_root, is_remote, local_path, normalise, redact


@pytest.fixture(params=["file", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "file":
        return Folder(str(tmp_path / "a folder"))
    return Folder(f"{request.getfixturevalue('s3_bucket')}/some/prefix")


def test_what_is_put_is_listed_and_read(folder: Folder) -> None:
    assert folder.files() == []  # no such folder yet
    folder.write("b é.txt", b"two")
    folder.write("a.txt", b"one")
    folder.write("below/c.txt", b"three")
    assert [entry.path for entry in folder.files()] == ["a.txt", "b é.txt"]
    assert [entry.path for entry in folder.files(recursive=True)] == ["a.txt", "b é.txt", "below/c.txt"]
    assert [entry.size_bytes for entry in folder.files()] == [3, 3]
    assert folder.read("b é.txt") == b"two"
    assert (folder / "below").read("c.txt") == b"three"
    with folder.open("below/c.txt") as file:
        file.seek(2)
        assert file.read(2) == b"re"
    assert (folder.exists("a.txt"), folder.exists("z.txt")) == (True, False)


def test_a_put_replaces_and_a_delete_forgives(folder: Folder) -> None:
    folder.write("a", b"one")
    before = folder.files()[0].fingerprint
    folder.write("a", b"other")
    assert folder.read("a") == b"other"
    assert folder.files()[0].fingerprint != before
    folder.delete("a")
    folder.delete("a")
    assert folder.files() == []
    with pytest.raises(FileNotFoundError):
        folder.read("a")


def test_a_file_is_created_once_however_many_try(folder: Folder) -> None:
    folder.write("warm", b"")
    won: list[bool] = []
    threads = [threading.Thread(target=lambda i=i: won.append(folder.create("lock", b"%d" % i))) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 11 + [True]
    assert folder.create("lock", b"late") is False
    assert folder.read("lock") != b"late"
    assert [entry.path for entry in folder._files()] == ["lock", "warm"]  # nothing half-written is left


def test_a_swap_needs_what_was_seen(folder: Folder) -> None:
    assert folder.swap("lock", b"mine", seen=b"old") is False  # nothing there
    folder.write("lock", b"old")
    assert folder.swap("lock", b"mine", seen=b"older") is False
    assert folder.read("lock") == b"old"  # given back
    assert folder.swap("lock", b"mine", seen=b"old") is True
    assert folder.read("lock") == b"mine"
    assert [entry.path for entry in folder._files()] == ["lock"]


def test_of_many_swaps_one_wins(folder: Folder) -> None:
    folder.write("lock", b"old")
    won: list[bool] = []
    threads = [
        threading.Thread(target=lambda i=i: won.append(folder.swap("lock", b"new %d" % i, seen=b"old")))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "a\\b", "a\0b", ".."])
def test_a_name_cannot_lead_out_of_the_folder(folder: Folder, name: str) -> None:
    for act in (folder.read, folder.exists, folder.delete, folder.open, lambda name: folder / name):
        with pytest.raises(ValueError, match="must be relative and without"):
            act(name)
    for put in (folder.write, folder.create):
        with pytest.raises(ValueError, match="must be relative and without"):
            put(name, b"")


def test_a_folder_can_be_sent_to_another_process(folder: Folder) -> None:
    folder.write("a", b"one")
    assert pickle.loads(pickle.dumps(folder)).read("a") == b"one"  # noqa: S301


def test_half_written_files_are_hidden_and_swept(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write("a", b"one")
    (tmp_path / f".b{storage.TEMPORARY}0011").write_bytes(b"half")
    assert [entry.path for entry in folder.files()] == ["a"]
    assert folder.sweep() == 1
    assert os.listdir(tmp_path) == ["a"]
    assert folder.sweep() == 0


def test_readers_of_a_file_that_is_replaced_see_it_whole(tmp_path: Path) -> None:
    folder, wrong = Folder(str(tmp_path)), []
    folder.write("a", b"0" * 1_000_000)
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            content = folder.read("a")
            if len(content) != 1_000_000 or len(set(content)) != 1:
                wrong.append(len(content))

    thread = threading.Thread(target=read)
    thread.start()
    for digit in range(30):
        folder.write("a", b"%d" % (digit % 10) * 1_000_000)
    ended.set()
    thread.join()
    assert wrong == []


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        folder.write("a", b"one")
    assert os.listdir(tmp_path) == []


def test_a_temporary_file_swept_by_the_owner_does_not_confuse_who_tries_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, link, swept = Folder(str(tmp_path)), os.link, []

    def sweep_first(source: str, target: str) -> None:
        if not swept:
            swept.append(folder.sweep())
        link(source, target)

    monkeypatch.setattr(os, "link", sweep_first)
    assert folder.create("lock", b"mine") is True
    assert swept == [1]
    assert os.listdir(tmp_path) == ["lock"]


class Flaky:
    def __init__(self, n_failures: int, error: OSError) -> None:
        self.n_failures, self.error, self.n_calls = n_failures, error, 0

    def __call__(self) -> str:
        self.n_calls += 1
        if self.n_calls <= self.n_failures:
            raise self.error
        return "done"


def test_what_may_pass_is_tried_again_and_what_lasts_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    flaky = Flaky(4, OSError("AWS Error INTERNAL_FAILURE (HTTP status 500)"))
    assert retrying(flaky, what="s3://b/x") == "done"
    assert pauses == [0.2, 0.4, 0.8, 1.6]
    for lasting in (
        FileNotFoundError(errno.ENOENT, "x"),
        PermissionError(errno.EACCES, "x"),
        OSError(errno.ENOSPC, "x"),
        OSError("AWS Error ACCESS_DENIED during HeadObject operation: No response body."),
    ):
        once = Flaky(1, lasting)
        with pytest.raises(type(lasting)):
            retrying(once, what="s3://b/x")
        assert once.n_calls == 1
    hopeless = Flaky(10**9, OSError("timeout"))
    with pytest.raises(OSError, match=r"s3://b/x: timeout \(tried again for 0 s\)"):
        retrying(hopeless, what="s3://b/x", limit_s=0.0)
    assert hopeless.n_calls == 1


def test_s3_that_is_silent_is_an_os_error(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setattr(retry, "RETRY_S", 0.0)
    with pytest.raises(OSError, match="can't write s3://bucket/a"):
        Folder("s3://bucket").create("a", b"")
    with pytest.raises(OSError, match="can't read s3://bucket/a"):
        Folder("s3://bucket").swap("a", b"", seen=b"")


@pytest.mark.parametrize(
    ("uri", "normal", "path"),
    [
        ("/data/a b/", "file:///data/a%20b", "/data/a b"),
        ("file:///data/a%20b", "file:///data/a%20b", "/data/a b"),
        ("s3://bucket/a/", "s3://bucket/a", None),
        ("hf://datasets/x/y", "hf://datasets/x/y", None),
    ],
)
def test_uris_have_one_form(uri: str, normal: str, path: str | None) -> None:
    assert normalise(uri) == normal
    assert normalise(normal) == normal
    assert local_path(uri) == path
    assert is_remote(uri) == (path is None)


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'ftp://x/y' can't be opened: .*Known are paths, file://, s3://"):
        filesystem("ftp://x/y")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIA:hush-hush@bucket/a",
        "gs://user:hush-hush@bucket",
        "s3://bucket/a?secret_key=hush-hush",
        "s3://bucket/a?region=x&X-Amz-Signature=hush-hush",
        "hf://datasets/a/b?TOKEN=hush-hush",
    ],
)
def test_a_uri_with_credentials_is_refused_and_they_are_not_repeated(uri: str) -> None:
    uses = [
        filesystem,
        lambda uri: Folder(uri).create("a", b""),
        lambda uri: Folder(uri).files(),
        lambda uri: [*walk(uri)],
    ]
    for act in uses:
        with pytest.raises(ValueError, match="must not hold credentials") as refusal:
            act(uri)
        assert "hush" not in str(refusal.value)


def test_globs_and_revisions_are_no_credentials() -> None:
    assert filesystem("s3://bucket/part-?.parquet")[1] == "bucket/part-?.parquet"
    assert filesystem("s3://bucket/a&sig=1.jsonl")[1] == "bucket/a&sig=1.jsonl"  # only a query can hold any
    assert filesystem("s3://bucket/my-key=x&token=y/a")[1] == "bucket/my-key=x&token=y/a"


def test_secrets_of_a_uri_are_taken_out() -> None:
    assert redact("s3://key:secret@bucket/a?token=x") == "s3://bucket/a"
    assert redact(("/plain/a@b?c", "hf://datasets/a/b@main/c")) == ("/plain/a@b?c", "hf://datasets/a/b@main/c")
    assert redact(7) == 7


@pytest.mark.parametrize(
    ("pattern", "root", "rest"),
    [
        ("s3://b/x/*.parquet", "s3://b/x", "*.parquet"),
        ("/a/b-?/c/*.json", "/a", "b-?/c/*.json"),
        ("/a/[xy]/c", "/a", "[xy]/c"),
        ("/a/b", "/a/b", ""),
        ("*", "", "*"),
    ],
)
def test_a_glob_is_split_above_its_first_wildcard(pattern: str, root: str, rest: str) -> None:
    assert glob_root(pattern) == (root, rest)


def test_a_walk_finds_files_and_leaves_hidden_ones_out(folder: Folder) -> None:
    for name in ("b.json", "x/a.json", "x/_SUCCESS", ".hidden/c.json", "_temporary/d.json"):
        folder.write(name, b"1")
    assert [entry.path for entry in walk(folder.uri)] == ["b.json", "x/a.json"]
    assert [entry.path for entry in walk(f"{folder.uri}/b.json")] == [""]  # the one file
    with pytest.raises(FileNotFoundError, match=r"nothing at .*/nothing; check the path and the credentials"):
        list(walk(f"{folder.uri}/nothing"))


def test_a_removed_folder_leaves_nothing_and_its_neighbours_stay(folder):
    for name in ("old/a", "old/deep/b", "older/c"):
        folder.write(name, b"x")
    (folder / "old").remove()
    (folder / "old").remove()  # it isn't there any more
    assert [entry.path for entry in folder.files(recursive=True)] == ["older/c"]
    if folder.is_local:
        assert not Path(folder.path("old")).exists()


def test_empty_folders_are_pruned_whatever_the_store(folder: Folder) -> None:
    for name in ("a/b/c", "d/e"):
        folder.write(name, b"1")
    folder.delete("a/b/c")
    folder.prune()
    assert [entry.path for entry in folder.files(recursive=True)] == ["d/e"]
    assert not folder.exists("a")
    Folder(f"{folder.uri}/none").prune()
