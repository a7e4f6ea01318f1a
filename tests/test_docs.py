"""The API page says what the docstrings say, and no word is lost on the way."""

import ast
import html
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("classify", "losses")


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/docs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def docstrings() -> ModuleType:
    return loaded("docstrings")


@pytest.mark.parametrize(
    ("docstring", "page"),
    [
        ("One.\n\nTwo, a < b * c.", "<p>One.</p>\n<p>Two, a &lt; b * c.</p>"),
        ("A card.\n\nSource: X,\n2506.1, page 2.\nCost: O(n).",
         "<p>A card.</p>\n<p><strong>Source:</strong> X,\n2506.1, page 2.</p>\n<p><strong>Cost:</strong> O(n).</p>"),
        ("So:\n\n    a  <b>\n\n    c\n\nThen.", "<p>So:</p>\n<pre><code>a  &lt;b&gt;\n\nc</code></pre>\n<p>Then.</p>"),
        ("Takes:\n\n- `x`, and\n  more;\n- y.",
         "<p>Takes:</p>\n<ul><li><code>x</code>, and\n  more;\n</li><li>y.</li></ul>"),
        ("It.\n\nRaises\n------\nValueError\n    If a\n    or b.\nKeyError\n    If c.",
         ("<p>It.</p>\n<h6>Raises</h6><dl><dt><code>ValueError</code></dt><dd>If a\nor b.</dd>"
          "<dt><code>KeyError</code></dt><dd>If c.</dd></dl>")),
    ],
)  # fmt: skip
def test_a_docstring_as_html(docstrings: ModuleType, docstring: str, page: str) -> None:
    assert docstrings.to_html(docstring) == page


def test_an_example_is_told_from_other_blocks(docstrings: ModuleType) -> None:
    for space in ("", "    "):
        found = docstrings.to_html(f"So:\n\n{space}>>> 1 + 1\n{space}2\n\nThen\n>>> that.")
        assert found.count('class="gp"') == 1
        assert found.endswith("<p>Then\n&gt;&gt;&gt; that.</p>")
    assert docstrings.to_html("") == ""


def test_the_first_sentence_may_have_two_lines(docstrings: ModuleType) -> None:
    assert docstrings.first_sentence("A `b` of\nvol. 2.\nMore.") == "A <code>b</code> of\nvol. 2."


def test_no_word_of_a_docstring_is_lost(docstrings: ModuleType) -> None:
    found = [one for name in PACKAGES for one in docstrings_of(ROOT / "raypipe" / name)]
    assert len(found) > 300
    for said in found:
        seen = html.unescape(re.sub(r"<[^>]+>", "", docstrings.to_html(said)))
        assert letters(seen) == letters(re.sub(r"^(-+$|- )", "", said, flags=re.MULTILINE))


def test_a_method_has_what_its_study_shows() -> None:
    found = loaded("studies").outcomes(ROOT)
    results = json.loads((ROOT / "jobs/studies/results/tsetlin.json").read_text())["claims"]
    (study,) = found["raypipe.classify.tsetlin"]
    assert study["name"] == "tsetlin"
    for verdict in {claim["verdict"] for claim in results}:
        assert f"{sum(claim['verdict'] == verdict for claim in results)} {verdict}" in study["said"]
    assert len({one["name"] for of in found.values() for one in of}) > 20


@pytest.mark.parametrize(
    ("job", "said"), [("show_run", "  --every-s FLOAT "), ("submit", "  address "), ("benchmark", "usage")]
)
def test_a_jobs_page_has_its_help_without_colours_and_leaves_the_process_as_it_was(job, said, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.argv", before := ["x"])
    words = loaded("commands").help_of(job)
    assert said in words
    assert "\x1b" not in words
    assert (sys.argv, os.environ["FORCE_COLOR"]) == (before, "1")


def letters(text: str) -> str:
    """What isn't white space, nor the sign of code."""
    return re.sub(r"[\s`]", "", text)


def docstrings_of(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (said := ast.get_docstring(node)):
                yield said
