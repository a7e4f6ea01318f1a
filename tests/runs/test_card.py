from pathlib import Path

import pytest

from raypipe.runs.card import (
    FORMAT,
    IdentityChanged,
    check_identity,
    device_hours,
    differences,
    read_card,
    versions,
    write_card,
)
from raypipe.storage.folder import Folder

CARD = {"format": FORMAT, "identity": {"model": "a", "heads": [[1, 2]], "limit": None}, "times": {"busy_s": 5400.0}}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"model": "b", "heads": [[1, 2]], "limit": None}, ["model was 'a' and is now 'b'"]),
        ({"model": "a", "heads": [[1, 3]], "limit": None}, ["heads was [[1, 2]] and is now [[1, 3]]"]),
        ({"model": "a", "heads": [[1, 2]], "limit": 10}, ["limit was None and is now 10"]),
        ({"heads": [[1, 2]], "new": 1}, ["model was 'a' and is now None", "new was None and is now 1"]),
        ({"model": "a", "heads": [[1, 2]]}, []),  # None and missing are the same
    ],
)
def test_each_difference_is_named_with_both_values(now: dict, said: list[str]) -> None:
    assert [str(one) for one in differences(CARD["identity"], now)] == said
    if said:
        with pytest.raises(IdentityChanged) as refusal:
            check_identity("scores", CARD, now)
        assert all(one in str(refusal.value) for one in said)
        assert "--name NEW" in str(refusal.value)
        assert "--restart scores (throws away 1.50 device-hours of work)" in str(refusal.value)
    else:
        check_identity("scores", CARD, now)


def test_an_older_card_is_refused_with_the_version_that_wrote_it() -> None:
    old = {**CARD, "versions": {"raypipe": "0.0.9"}}
    del old["format"]
    with pytest.raises(IdentityChanged, match=r"was made by raypipe 0\.0\.9 in format 1.*--restart scores"):
        check_identity("scores", old, CARD["identity"])


def test_no_card_refuses_nothing_and_tuples_equal_lists() -> None:
    check_identity("scores", None, {"anything": 1})
    check_identity("scores", CARD, {"model": "a", "heads": ((1, 2),), "limit": None})


def test_a_card_comes_back_as_it_was_put(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "scores"))
    assert read_card(folder) is None
    write_card(folder, CARD)
    assert read_card(folder) == CARD
    assert device_hours(CARD) == 1.5
    assert device_hours({}) == 0.0


def test_versions_name_what_could_change_a_byte() -> None:
    assert {"raypipe", "torch", "transformers", "tokenizers"} <= versions().keys()
