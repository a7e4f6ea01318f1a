"""cluster/Dockerfile, step by step: what it copies, what it installs from that alone, and what then runs."""

import re
import shlex
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT

SECRET = re.compile(rb"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY|hf_[A-Za-z0-9]{30}|auth_token *[:=] *[0-9a-f]{16}")


def steps() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile and their words, one line each."""
    text = (ROOT / "cluster/Dockerfile").read_text().replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's working directory after all of COPY."""
    image = tmp_path_factory.mktemp("image")
    for word, rest in steps():
        if word == "COPY":
            *sources, target = [part for part in rest.split() if not part.startswith("--")]
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, image / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, image / target)
    return image


def test_it_runs_as_an_ordinary_user_and_demands_the_token() -> None:
    words = [word for word, _ in steps()]
    assert dict(steps())["USER"] == "ray"
    assert words.index("USER") < words.index("RUN")
    assert "RAY_AUTH_MODE=token" in dict(steps())["ENV"].split()


def test_it_holds_no_secret_and_no_model(copied: Path) -> None:
    files = [path for path in copied.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} & {".safetensors", ".gguf", ".bin", ".pt", ".pem", ".key"} == set()
    assert [path for path in files if SECRET.search(path.read_bytes())] == []
    assert sum(path.stat().st_size for path in files) < 20_000_000  # the smallest model that we know has 90 MB


@pytest.fixture(scope="module")
def installed(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment in which RUN was run; of all that it asks for, only raypipe isn't there yet."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (own / "present.pth").write_text(sysconfig.get_path("purelib"))  # its own .pth files, ours among them, don't count
    pip = home / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {home}/bin/python -m pip "$@"\n')
    pip.chmod(0o755)
    runs = [rest for word, rest in steps() if word == "RUN"]
    assert len(runs) == 1
    for command in runs:
        assert "--constraint constraints.txt" in command
        subprocess.run(
            ["bash", "-c", f"{command} --no-index --no-build-isolation"], cwd=copied, check=True,
            env={"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(home)},
        )  # fmt: skip
    return home / "bin"


def run(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [installed / words[0], *words[1:]], cwd=installed, capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": f"{installed}:/usr/bin:/bin", "HOME": str(installed.parent)},
    )  # fmt: skip


@pytest.mark.slow
def test_what_it_installs_is_whole_and_starts_jobs(installed: Path) -> None:
    where = run(installed, "python", "-c", "import raypipe.jobs; print(raypipe.__file__)")
    assert where.stdout.startswith(str(installed.parent)), where.stderr
    done = run(installed, "raypipe", "curate", "--corpus", "/nowhere", "--output", str(installed.parent / "run"))
    assert done.returncode == 2
    assert "/nowhere" in done.stderr
    assert run(installed, "raypipe", "show_run", "--run", "/nowhere").returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kuberay-job.yaml"])
def test_it_has_the_command_that_the_manifest_gives(installed: Path, name: str) -> None:
    entrypoint = re.search(r"entrypoint: (.+)", (ROOT / "cluster" / name).read_text())[1]
    program, job, *given = shlex.split(entrypoint)
    assert program == "raypipe"
    shown = run(installed, program, job, "--help").stdout
    assert [word for word in given if word.startswith("--") and word not in shown] == []
