"""The guides against what there is: their Python runs, jobs take their commands, the files that they name exist."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.__main__ import JOBS
from jobs.benchmark.__main__ import BENCHMARKS
from jobs.parts.completion import flags_of
from jobs.parts.settings import parse
from jobs.studies.study import study_names

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON_GUIDES = ["raypipe/README.md"]
GUIDES = ["README.md", "jobs/README.md", "raypipe/README.md", "cluster/README.md", "raypipe/run/README.md"]
COMMAND = re.compile(r"^ {4,}(?:raypipe |python -m jobs\.)((?:.*\\\n)*.*)$", re.MULTILINE)
INLINE = re.compile(r"`(?:raypipe |python -m jobs\.)([^`]+)`")
PLACEHOLDERS = {"NAME", "JOB"}


OPENED = re.compile(r"^    (raypipe\.(?:score|embed)\(.*?\)\[\".*?\"\])", re.MULTILINE)
"""An expression that opens a model."""


@pytest.fixture
def _demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run as `make demo` leaves it, of four rows."""
    keys = {"id": ["a", "b", "c", "d"], "text_hash": [1, 2, 3, 4]}
    scores = {"domain": ["web", "web", "code", "code"], "influence": [0.1, 0.2, 0.3, 0.4]}
    stages = {"scores": scores, "selection": {"domain": scores["domain"], "selected": [False, True, False, True]}}
    for stage, columns in stages.items():
        (tmp_path / "runs/demo" / stage).mkdir(parents=True)
        name = "a.jsonl-0123abcd-000000000000000.parquet"
        pq.write_table(pa.table({**keys, **columns}), tmp_path / "runs/demo" / stage / name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_demo")
@pytest.mark.parametrize("guide", PYTHON_GUIDES)
def test_every_block_of_a_guide_runs(guide: str) -> None:
    blocks, names = BLOCK.findall((ROOT / guide).read_text()), {"__name__": "guide"}
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, guide, "exec"), names)
    assert names["best"]["id"].tolist() == ["b", "d"]
    assert names["by_domain"].to_pylist() == [
        {"domain": "code", "n": 1, "influence": 0.4}, {"domain": "web", "n": 1, "influence": 0.2},
    ]  # fmt: skip


@pytest.mark.usefixtures("_demo")
def test_the_readme_opens_a_run_as_it_says() -> None:
    line = next(line for line in (ROOT / "README.md").read_text().splitlines() if "raypipe.open_run(" in line)
    table = eval(line.partition("#")[0].strip(), {"raypipe": importlib.import_module("raypipe")})
    assert {"scores.influence", "selection.selected"} <= set(table.column_names)


@pytest.mark.slow
@pytest.mark.parametrize("guide", ["README.md", "raypipe/README.md"])
def test_what_a_guide_does_to_texts_gives_a_column(guide: str) -> None:
    lines = OPENED.findall((ROOT / guide).read_text())
    assert len(lines) == 2
    for line in lines:
        assert len(eval(line, {"raypipe": importlib.import_module("raypipe")})) == 1


def commands(guide: str) -> Iterator[list[str]]:
    """The words of every command of a guide, of blocks and in lines of text."""
    text = (ROOT / guide).read_text()
    for found in [*COMMAND.findall(text), *INLINE.findall(text)]:
        yield shlex.split(re.sub(r"\\\n", " ", found).replace("\n", " "), comments=True)


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_of_a_guide_is_one_that_its_job_takes(guide: str, capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)  # recipes are read from here
    wrong = [(words, problem) for words in commands(guide) if (problem := problem_of(words, capsys))]
    assert wrong == []


def problem_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Why a command of a guide can't be given, if it can't; files and folders that it names needn't be there."""
    name, *given = words
    if name in PLACEHOLDERS or name.startswith("--"):
        return ""
    if name not in JOBS:
        return f"no job {name}"
    if name == "benchmark":
        return "" if given[0] in BENCHMARKS else f"no benchmark {given[0]}"
    if name == "study":
        return "" if given[0] in study_names() else f"no study {given[0]}"
    if "..." in given or not given:  # something is left out
        unknown = {word for word in given if word.startswith("--")} - set(flags_of(name))
        return f"no settings {sorted(unknown)}" if unknown else ""
    return _refusal(name, given, capsys)


def _refusal(name: str, given: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        parse(importlib.import_module(f"jobs.{name}").Config, given)
    except SystemExit as ended:
        return capsys.readouterr().err or f"status {ended.code}"
    return ""


def test_a_wrong_command_would_be_found(capsys) -> None:
    assert "no job" in problem_of(["score_corpse", "--output", "x"], capsys)
    assert "no settings" in problem_of(["debate", "...", "--outptu", "x"], capsys)
    assert "--sharee" in problem_of(["select_corpus", "--run", "x", "--sharee", "0.2"], capsys)
    assert "share" in problem_of(["select_corpus", "--run", "x", "--share", "much"], capsys)
    assert problem_of(["select_corpus", "--run", "x", "--share", "0.2"], capsys) == ""


@pytest.mark.parametrize("guide", [*GUIDES, "jobs/benchmark/RESULTS.md"])
def test_what_a_guide_points_to_is_there(guide: str) -> None:
    text, here = (ROOT / guide).read_text(), (ROOT / guide).parent
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    files = re.findall(r"\b(?:jobs|raypipe|tests|cluster)/[\w/]+\.(?:py|yaml|json|md|parquet|sh)\b", text)
    assert [link for link in links if not (here / link.partition("#")[0]).exists()] == []
    assert [file for file in files if not (ROOT / file).exists()] == []
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^    )make ([\w-]+)", text, re.MULTILINE)) <= targets


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def test_the_workflow_runs_what_ci_runs() -> None:
    assert "- run: .ci/run\n" in (ROOT / ".github/workflows/ci.yml").read_text()
    assert (ROOT / ".ci/run").stat().st_mode & 0o100
    for line in ("make check", "make docs", "make test", "make test-slow"):
        assert f"\n{line}\n" in (ROOT / ".ci/run").read_text()
