import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.corpus import Corpus, Shard

PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300)


def shard(path: str, *, start: int = 0, fingerprint: str = "7-8", size: int = 9) -> Shard:
    return Shard(path, "file:///x", "bytes", start, start + 1, fingerprint, size=size)


@given(PATHS)
def test_a_key_is_a_safe_file_name_and_short(path: str):
    key = shard(path).key
    assert re.fullmatch(r"[A-Za-z0-9%~-][A-Za-z0-9._~%-]*-[0-9a-f]{8}-[0-9]{15}", key)
    assert len(key) <= 175
    assert "/" not in key


@given(PATHS, PATHS)
def test_other_paths_have_other_keys(one: str, other: str):
    assert (shard(one).key == shard(other).key) == (one == other)


@given(PATHS, st.lists(st.integers(0, 10**15 - 1), min_size=2))
def test_keys_of_a_file_sort_by_start(path: str, starts: list[int]):
    shards = [shard(path, start=start) for start in starts]
    assert [s.start for s in sorted(shards, key=lambda s: s.key)] == sorted(starts)


def test_keys_are_what_they_were():
    assert shard("web/a b.jsonl", start=12).key == "web%2Fa%20b.jsonl-a6474081-000000000000012"
    assert shard(".x").key.startswith("%2Ex-")


def test_a_rewritten_file_and_another_size_have_other_keys_and_another_place_has_not():
    keys = {shard("a").key, shard("a", fingerprint="7-9").key, shard("a", size=10).key}
    assert len(keys) == 3
    assert Shard("a", "s3://elsewhere/a", "bytes", 0, 1, "7-8", size=9).key == shard("a").key


def test_long_paths_that_differ_at_the_end_have_other_keys():
    assert shard("x" * 300 + "a").key != shard("x" * 300 + "b").key


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": ()}, "at least one"),
        ({"sources": "data"}, "must be a tuple"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"max_line_bytes": 0}, "max_line_bytes must be at least 1"),
        ({"domain_from_path": "(x"}, r"'\(x' is not a regular expression: missing"),
        ({"domain_from_path": "x"}, "needs a group for the domain"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Corpus(**{"sources": ("data",), **settings})


def test_the_domain_of_a_path_is_the_first_group():
    corpus = Corpus(("x",), domain_from_path=r"lang=(\w+)?")
    assert [corpus.path_domain(path) for path in ("a/lang=en/b", "lang=/b", "c")] == ["en", "unknown", "unknown"]
    assert Corpus(("x",)).path_domain("a") == "all"
