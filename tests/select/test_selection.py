import json

import pytest

from raypipe.select.selection import Selection
from raypipe.settings.nested import built, flat


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
        built(Selection, **{name: value}).check()
    assert str(refusal.value).startswith(name)
    assert repr(value) in str(refusal.value)


def test_the_defaults_are_sound_and_survive_json():
    Selection().check()
    settings = built(Selection, adjust=("loss",), share=0.3, min_tokens=9)
    assert Selection.from_flat(json.loads(json.dumps({**flat(settings), "arm": "selection"}))) == settings


MIN_K = {"column": "min_k", "label": "least likely tokens", "unit": "nats", "higher_is_better": True}
LOSS = {"column": "loss", "label": "loss", "unit": "nats a token", "higher_is_better": False}


@pytest.mark.parametrize(
    ("card", "columns", "settings", "expected"),
    [
        ({"score": MIN_K}, ["loss", "min_k"], {}, ("min_k", False)),
        ({"score": LOSS}, ["loss", "min_k"], {}, ("loss", True)),
        ({"score": [MIN_K, LOSS]}, ["loss", "min_k"], {"score": "loss"}, ("loss", True)),
        ({"score": MIN_K}, ["min_k"], {"lower_is_better": True}, ("min_k", True)),
        ({"score": MIN_K}, ["min_k", "zlib_ratio"], {"score": "zlib_ratio"}, ("zlib_ratio", False)),
        ({}, ["loss", "influence"], {}, ("influence", False)),  # cards that were written before they told
        ({}, ["loss", "perplexity"], {}, ("loss", True)),
    ],
)
def test_the_scores_card_says_what_is_ranked_by_and_which_end_is_better(card, columns, settings, expected):
    found = built(Selection, **settings).of_scores(card, columns)
    assert (found.eligibility.column, found.eligibility.lower_is_better) == expected
