"""Completion of the command: names and settings that there are, as bash itself completes them."""

import shutil
import subprocess

import pytest

from jobs.__main__ import JOBS, complete
from jobs.parts.completion import flags_of, script

FLAGS = {"select_corpus": ["--run", "--share"], "show_run": ["--run", "--serve"], "submit": []}


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    quoted = " ".join(f"'{word}'" for word in ("raypipe", *words))
    ask = f'COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _raypipe; printf "%s\\n" "${{COMPREPLY[@]}}"'
    found = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_bash_completes_names_of_jobs_then_their_settings() -> None:
    found = script("bash", FLAGS)
    assert completed(found, "s") == ["select_corpus", "show_run", "submit"]
    assert completed(found, "show_run", "--") == ["--run", "--serve", "--config", "--help"]
    assert completed(found, "select-corpus", "--sh") == ["--share"]
    assert completed(found, "show_run", "--run", "runs/") == []  # a path: the shell's own completion takes over
    assert completed(found, "nothing", "--") == []


def test_settings_are_those_of_the_job() -> None:
    assert {"--run", "--serve", "--port", "--every-s"} <= set(flags_of("show_run"))
    assert {"--share", "--corpus-format", "--keep"} <= set(flags_of("select_corpus"))
    assert flags_of("submit") == []


def test_the_command_prints_a_script_or_refuses(monkeypatch, capsys) -> None:
    monkeypatch.setattr("jobs.parts.completion.flags_of", lambda job: [f"--of-{job}"])
    complete(["bash"])
    printed = capsys.readouterr().out
    assert all(f"--of-{job} " in printed for job in JOBS)
    for words in ([], ["fish"], ["bash", "zsh"]):
        with pytest.raises(SystemExit, match="--completion must be of one of bash, zsh"):
            complete(words)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_reads_its_script() -> None:
    subprocess.run(["zsh", "-f", "-c", f"autoload -U compinit; compinit -u -D\n{script('zsh', FLAGS)}"], check=True)
