import re
from pathlib import Path

import pytest

from raypipe.corpus import Corpus, plan_shards
from raypipe.corpus.sources import find_files, glob_regex, split_source


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "a.jsonl",
        "b.json.gz",
        "sub/c.jsonl",
        "sub/deep/d.ndjson",
        "sub/e.parquet",
        "_x/f.jsonl",
        ".g.jsonl",
        "README.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def paths(*sources: str) -> list[str]:
    return sorted(file.path for file in find_files(sources)[0])


def test_a_folder_is_read_to_the_bottom_without_hidden_files_and_others_are_counted(tree: Path):
    files, ignored = find_files((str(tree),))
    assert sorted(file.path for file in files) == [
        "a.jsonl",
        "b.json.gz",
        "sub/c.jsonl",
        "sub/deep/d.ndjson",
        "sub/e.parquet",
    ]
    assert (ignored.n, ignored.names) == (1, ["README.md"])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jsonl", ["a.jsonl"]),
        ("?.jsonl", ["a.jsonl"]),
        ("[ab].json*", ["a.jsonl", "b.json.gz"]),
        ("[!a].json*", ["b.json.gz"]),
        ("**/*.jsonl", ["a.jsonl", "sub/c.jsonl"]),
        ("**", ["a.jsonl", "b.json.gz", "sub/c.jsonl", "sub/deep/d.ndjson", "sub/e.parquet"]),
        ("su*/*", ["sub/c.jsonl", "sub/e.parquet"]),
        ("*/deep/*", ["sub/deep/d.ndjson"]),
        ("sub/**/*.ndjson", ["deep/d.ndjson"]),
    ],
)
def test_wildcards(tree: Path, pattern: str, expected: list[str]):
    assert paths(f"{tree}/{pattern}") == expected
    assert paths(f"file://{tree}/{pattern}") == expected


def test_a_name_comes_before_the_path_and_is_the_domain(tree: Path):
    files, _ = find_files((f"web={tree}/sub", f"code={tree}/a.jsonl"))
    assert {file.path: file.domain for file in files} == {
        "web/c.jsonl": "web",
        "web/deep/d.ndjson": "web",
        "web/e.parquet": "web",
        "code/a.jsonl": "code",
    }


def test_relative_paths_and_the_home_folder(tree: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tree)
    monkeypatch.setenv("HOME", str(tree))
    assert paths("*.jsonl") == paths("a.jsonl") == paths("./a.jsonl") == paths("~/a.jsonl") == ["a.jsonl"]


def test_a_path_with_an_equals_sign_is_no_name(tmp_path: Path):
    (tmp_path / "lang=en").mkdir()
    (tmp_path / "lang=en" / "a.jsonl").write_bytes(b"")
    assert paths(f"{tmp_path}/lang=en") == ["a.jsonl"]
    assert paths(f"x={tmp_path}/lang=en") == ["x/a.jsonl"]
    assert split_source("s3://bucket/date=1") == (None, "s3://bucket/date=1")


def test_loops_of_symbolic_links_end_and_links_to_nowhere_are_passed_over(tree: Path):
    for link, target in (
        ("sub/up", ".."),
        ("sub/deep/up", "../.."),
        ("same", "."),
        ("self", "self"),
        ("no.jsonl", "nowhere"),
    ):
        (tree / link).symlink_to(target)
    assert paths(str(tree)) == ["a.jsonl", "b.json.gz", "sub/c.jsonl", "sub/deep/d.ndjson", "sub/e.parquet"]


def test_a_linked_file_is_read(tree: Path):
    (tree / "linked.jsonl").symlink_to("sub/c.jsonl")
    assert "linked.jsonl" in paths(str(tree))


@pytest.mark.parametrize(
    ("sources", "kind", "message"),
    [
        (("{}/nothing",), FileNotFoundError, "nothing at .*/nothing; check the path"),
        (("{}/*.parquet",), FileNotFoundError, r"has no file to read; known are"),
        (
            ("{}/*.md",),
            FileNotFoundError,
            r"no file to read, but 1 file of other formats \(README.md\); known are",
        ),
        (("{}/README.md",), ValueError, "no known suffix; known are .parquet, .parq, .pq, .jsonl"),
        (("{}/[z-a]*",), ValueError, "wildcards .* can't be read"),
        (("{}", "{}/a.jsonl"), ValueError, "both have a file 'a.jsonl'; give them names"),
        (("..={}",), ValueError, "must begin with a letter or digit"),
        (("={}",), ValueError, "must begin with a letter or digit"),
        (("a b ={}",), ValueError, "must begin with a letter or digit"),
        (("_a={}",), ValueError, "got '_a'; write './_a="),
        (("a=",), ValueError, "has no path"),
        (("ftp://host/x",), ValueError, "can't be opened"),
    ],
)
def test_what_is_wrong_with_a_source_is_said(tree: Path, sources: tuple[str, ...], kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        find_files(tuple(source.format(tree) for source in sources))


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="has no file to read"):
        plan_shards(Corpus((str(tmp_path),)), shard_bytes=1, part_rows=1)


def test_a_folder_that_may_not_be_read_is_not_passed_over(tree: Path, monkeypatch: pytest.MonkeyPatch):
    import os

    real = os.scandir

    def denied(path: str):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(PermissionError):
        find_files((str(tree),))


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path):
    (tmp_path / "a\udcff.jsonl").write_bytes(b"")
    with pytest.raises(ValueError, match="is not UTF-8; rename it"):
        find_files((str(tmp_path),))


@pytest.mark.parametrize(
    ("pattern", "match", "other"),
    [("[^a]", "^", "b"), ("[]]", "]", "a"), ("a.b", "a.b", "axb"), ("[a-c]", "b", "d"), ("[[]", "[", "]")],
)
def test_signs_of_regular_expressions_mean_nothing_in_globs(pattern: str, match: str, other: str):
    assert re.fullmatch(glob_regex(pattern), match)
    assert not re.fullmatch(glob_regex(pattern), other)
