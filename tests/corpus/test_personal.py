"""What in a text is personal."""

import time

import pytest

from raypipe.corpus.personal import KINDS, count, replaced

FOUND = {
    "emails": ["a.b@c-d.org", "first+tag@mail.example.co.uk", "x_1@host.io"],
    "ips": ["8.8.8.8", "151.101.1.69"],
    "phones": ["+49 30 1234567", "+1 (212) 555-1234", "(212) 555-1234", "212-555-1234"],
}
OTHER = {
    "emails": ["x@y", "@handle", "a @ b.org", "me@.org"],
    "ips": ["192.168.1.1", "127.0.0.1", "1.2.3.4.5", "256.1.1.1", "v8.8.8.8", "8.8.8"],
    "phones": ["2020-10-10", "1234-567-8901", "3.14159265", "+12", "12-34-56"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_of_a_kind_is_counted_and_replaced_by_what_is_nobodys(kind) -> None:
    for one in FOUND[kind]:
        assert count(f"See {one}, please.", kind) == 1, one
        said = replaced(f"See {one}, please.", (kind,))
        assert one not in said
        assert said.startswith("See ")
        assert said.endswith(", please.")
        assert count(said, "ips") == 0  # a free address is no public one


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_looks_like_it_stays(kind) -> None:
    for one in OTHER[kind]:
        assert count(f"See {one}, please.", kind) == 0, one
        assert replaced(f"See {one}, please.", (kind,)) == f"See {one}, please."


def test_only_the_kinds_that_are_asked_for_are_replaced() -> None:
    assert replaced("a@b.org 8.8.8.8 212-555-1234", ("ips",)) == "a@b.org 192.0.2.1 212-555-1234"
    assert replaced("a@b.org 8.8.8.8", ()) == "a@b.org 8.8.8.8"


@pytest.mark.parametrize("text", ["a." * 20_000 + "@", "-" * 40_000 + "@", "1 " * 20_000, "+1" * 20_000, "1." * 20_000])
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    for kind in KINDS:
        count(text, kind)
    assert time.process_time() - start < 5
