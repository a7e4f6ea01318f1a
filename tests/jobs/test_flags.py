"""Every flag that the jobs have had parses to the same value: other people's scripts and recipes use them.

`stored/flags.json` is the list as it was; a flag is added to it when it is new, and never taken out.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.parts import settings
from raypipe.settings.nested import flat

STORED: dict[str, Any] = json.loads((Path(__file__).parent / "stored/flags.json").read_text())


def parsed(job: str, words: list[str]) -> dict[str, Any]:
    """What a job's settings are by name of their flag, as JSON has them."""
    config = flat(settings.parse(importlib.import_module(f"jobs.{job}").Config, words))
    return {name: json.loads(json.dumps(config[name])) for name in STORED[job]["flags"]}


@pytest.mark.parametrize("job", STORED)
def test_a_stored_flag_parses_to_its_value(job: str) -> None:
    flags = STORED[job]["flags"]
    words = [word for known in flags.values() for word in known["words"]]
    assert parsed(job, words) == {name: known["value"] for name, known in flags.items()}


@pytest.mark.parametrize("job", STORED)
def test_a_stored_default_is_the_default(job: str) -> None:
    required = STORED[job]["required"]
    found, flags = parsed(job, required), STORED[job]["flags"]
    free = [name for name in flags if f"--{name.replace('_', '-')}" not in required]
    assert {name: found[name] for name in free} == {name: flags[name]["default"] for name in free}
