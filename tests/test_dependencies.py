"""What is declared is used."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = {"scikit-learn": "sklearn", "pyyaml": "yaml"}
FOR_OTHERS = {"accelerate", "tensorboard"}
"""transformers asks for accelerate to open GGUF files, torch for tensorboard to write its files."""


def test_every_dependency_is_imported_by_some_line():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(line for extra in ("train", "retrieve") for line in project["optional-dependencies"][extra]),
    ]
    names = {re.match(r"[\w-]+", line).group() for line in declared} - FOR_OTHERS
    source = "\n".join(path.read_text() for part in ("raypipe", "jobs") for path in (ROOT / part).rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", source, flags=re.MULTILINE))
    assert {name for name in names if MODULES.get(name, name.replace("-", "_")) not in imported} == set()


def test_every_dependency_is_declared_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for lines in [project["dependencies"], *project["optional-dependencies"].values()]:
        names = [re.match(r"[\w-]+", line).group().lower() for line in lines]
        assert len(names) == len(set(names))
