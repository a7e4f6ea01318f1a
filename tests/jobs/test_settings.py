from dataclasses import dataclass
from typing import Literal

import pytest

from jobs.parts import settings


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a test."""

    corpus: tuple[str, ...] = ("sample",)
    """Where rows are."""
    share: float = 0.2
    """How much."""
    adjust: tuple[Literal["loss", "length"], ...] = ()
    """What is regressed out."""
    name: str | None = None
    """A name."""
    yes: bool = False
    """Don't ask."""


def parse(*arguments):
    return settings.parse(Config, list(arguments))


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("corpus: [a, b=s3://c]\nshare: 0.5\nyes: true\nname: null\nadjust: [loss]\n")
    return str(path)


def test_a_file_gives_settings_and_flags_win(recipe):
    assert parse("--config", recipe) == Config(corpus=("a", "b=s3://c"), share=0.5, adjust=("loss",), yes=True)
    assert parse(f"--config={recipe}", "--share", "0.1", "--no-yes", "--corpus", "z") == Config(
        corpus=("z",), share=0.1, adjust=("loss",)
    )


def test_a_repeated_flag_adds_up_where_several_are_taken_and_else_the_last_wins():
    found = parse("--corpus", "a", "--corpus", "b", "--share", "0.3", "--share=0.4")
    assert (found.corpus, found.share) == (("a", "b"), 0.4)


def test_a_few_words_may_be_joined_by_commas_but_a_path_may_hold_one():
    found = parse("--adjust", "loss,length", "--corpus", "a,b")
    assert (found.adjust, found.corpus) == (("loss", "length"), ("a,b",))


@pytest.mark.parametrize(
    "text", ["shar: 0.3\n", "share: 0.3\nshare: 0.4\n", "- 1\n", "!!python/object/apply:os.getcwd []\n"]
)
def test_a_file_that_is_no_settings_is_refused(text, tmp_path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit) as ended:
        parse("--config", str(path))
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_misspelt_setting_is_answered_with_the_nearest(tmp_path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text("shar: 0.3\n")
    with pytest.raises(SystemExit):
        parse("--config", str(path))
    assert "the nearest is 'share'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse("--shar", "0.3")
    assert "--share" in capsys.readouterr().err


def test_a_wrong_type_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        parse("--share", "much")
    assert ended.value.code == 2
    assert "share" in capsys.readouterr().err


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """A part of a job."""

    share: float = 0.2
    """How much."""
    adjust: tuple[Literal["loss", "length"], ...] = ()
    """What is regressed out."""


@dataclass(frozen=True, kw_only=True)
class Nested:
    """Settings of a job in parts."""

    choosing: Choosing = Choosing(share=0.3)
    output: str
    """Where."""


def test_a_setting_of_a_part_goes_by_its_own_name_and_by_the_whole_one():
    words = ["--output", "o"]
    assert settings.parse(Nested, words).choosing.share == 0.3
    assert settings.parse(Nested, [*words, "--share", "0.4"]).choosing.share == 0.4
    assert settings.parse(Nested, [*words, "--choosing.share=0.4", "--adjust", "loss,length"]) == Nested(
        choosing=Choosing(share=0.4, adjust=("loss", "length")), output="o"
    )


@dataclass(frozen=True, kw_only=True)
class Deep:
    """A job whose part has a part."""

    outer: Nested


def test_a_setting_goes_by_any_of_the_parts_it_lies_in_in_their_order(capsys):
    for flag in ("--share", "--choosing.share", "--outer.share", "--outer.choosing.share"):
        assert settings.parse(Deep, ["--output", "o", flag, "0.4"]).outer.choosing.share == 0.4
    for flag in ("--choosing.outer.share", "--inner.share", "--choosing.output"):
        with pytest.raises(SystemExit):
            settings.parse(Deep, ["--output", "o", flag, "0.4"])


@pytest.mark.parametrize("text", ["share: 0.4\nadjust: [loss]\n", "choosing: {share: 0.4, adjust: [loss]}\n"])
def test_a_file_may_put_settings_below_their_part(text, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"output: o\n{text}")
    assert settings.parse(Nested, ["--config", str(path)]) == Nested(
        choosing=Choosing(share=0.4, adjust=("loss",)), output="o"
    )


def test_a_setting_given_twice_in_a_file_is_refused(tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    path.write_text("output: o\nshare: 0.4\nchoosing: {share: 0.5}\n")
    with pytest.raises(SystemExit):
        settings.parse(Nested, ["--config", str(path)])
    assert "share more than once" in capsys.readouterr().err
