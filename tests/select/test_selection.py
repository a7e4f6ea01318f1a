import json

import pytest

from raypipe.select.selection import Selection


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("share", 0.0, "above 0 and at most 1"),
        ("share", 1.1, "above 0 and at most 1"),
        ("share", float("nan"), "above 0 and at most 1"),
        ("holdout", 1.0, "at least 0 and below 1"),
        ("holdout", -0.1, "at least 0 and below 1"),
        ("temperature", 0.0, "above 0"),
        ("min_loss", -1.0, "at least 0"),
        ("extra_copies", 0.0, "above 0"),
        ("exact_rows", 1, "at least 2"),
        ("share_of", "bytes", "documents"),
        ("sampling", "best", "temperature"),
        ("mix", "drop", "upsample"),
        ("arms", ("shortest",), "lowest-loss"),
        ("arms", ("random", "random"), "each once"),
        ("adjust", ("size",), "zlib"),
    ],
)
def test_settings_without_sense_are_refused_by_name_rule_and_value(name, value, rule):
    with pytest.raises(ValueError, match=rule) as refusal:
        Selection(**{name: value}).check()
    assert str(refusal.value).startswith(name)
    assert repr(value) in str(refusal.value)


def test_the_defaults_are_sound_and_survive_json():
    Selection().check()
    flat = Selection(adjust=("loss",)).flat()
    assert json.loads(json.dumps(flat)) == flat
