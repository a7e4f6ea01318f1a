"""Programs under limits."""

import json
import subprocess
import time

import pytest

from raypipe.evaluate import programs
from raypipe.evaluate.code_tasks import read_code_tasks
from raypipe.evaluate.programs import ProgramLimits, check_limits, outcomes, run_program, without_network

LIMITS = ProgramLimits(seconds=20, memory_mb=512, needs_no_network=False)


def test_a_program_passes_only_if_it_comes_to_its_end():
    cases = {
        "assert 1 + 1 == 2": "passed",
        "assert 1 + 1 == 3": "failed",
        "def broken(:": "failed",
        "import sys; sys.exit(0)": "failed",  # left before its tests
        "import os; os._exit(0)": "failed",
        "x = bytearray(2 << 30)": "out of memory",
    }
    assert dict(zip(cases, outcomes(list(cases), LIMITS), strict=True)) == cases


def test_a_program_that_goes_on_for_ever_is_ended_with_what_it_started(tmp_path):
    started = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])\n"
    begun = time.monotonic()
    assert run_program("while True: pass", ProgramLimits(seconds=1, needs_no_network=False)) == "out of time"
    assert (
        run_program(started + "import time; time.sleep(99)", ProgramLimits(seconds=2, needs_no_network=False))
        != "passed"
    )
    assert time.monotonic() - begun < 60
    assert "time.sleep(99)" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout


def test_neither_environment_nor_large_files_are_its():
    assert run_program("import os; assert 'PATH' not in os.environ", LIMITS) == "passed"
    assert run_program("open('large', 'w').write('x' * (2 << 20))", LIMITS) != "passed"


@pytest.mark.skipif(without_network() is None, reason="unshare --net doesn't work here")
def test_there_is_no_network():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=5)"
        assert run_program(connect, LIMITS) == "passed"
        assert run_program(connect, ProgramLimits(seconds=20)) == "failed"


def test_where_the_network_stays_programs_are_refused(monkeypatch):
    monkeypatch.setattr(programs, "without_network", lambda: None)
    with pytest.raises(ValueError, match=r"doesn't work on this machine.* allow it with --code-network"):
        outcomes(["1"], ProgramLimits())
    with pytest.raises(ValueError, match=r"some seconds and 64 MB of memory, got 0 and 1024"):
        check_limits(ProgramLimits(seconds=0))


def test_tasks_of_two_forms_become_programs(tmp_path):
    setup, test = "import re", "def check(f):\n    assert f() == 1"
    rows = [
        {"task_id": 11, "text": "Write add.", "test_list": ["assert add(1, 2) == 3"], "test_setup_code": setup},
        {"task_id": "H/0", "prompt": "def one():\n", "test": test, "entry_point": "one"},
    ]
    (tmp_path / "code.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mbpp, human = read_code_tasks(str(tmp_path / "code.jsonl"))
    assert mbpp.prompt == '"""\nWrite add.\nassert add(1, 2) == 3\n"""\n'
    plain = "def add(a, b):\n    return a + b\n\nprint(add(1, 2))"
    assert mbpp.program(plain) == "import re\ndef add(a, b):\n    return a + b\n\nassert add(1, 2) == 3\n"
    fenced = "Here:\n```python\ndef add(a, b):\n    return a + b\n```\nIt adds."
    assert mbpp.program(fenced) == "def add(a, b):\n    return a + b\nassert add(1, 2) == 3\n"
    assert outcomes([mbpp.program(plain), mbpp.program("def add(a, b):\n    return 4")], LIMITS) == ["passed", "failed"]
    assert outcomes([human.program("    return 1\n\nassert x"), human.program("    return 2")], LIMITS) == [
        "passed", "failed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "why"),
    [('{"text": "t"}', "test_list isn't a list of tests"), ('{"prompt": "p"}', "no text with test_list"), ("{", "unp")],
)
def test_rows_that_are_no_tasks_are_refused(tmp_path, row, why):
    (tmp_path / "code.jsonl").write_text(row + "\n")
    with pytest.raises(ValueError, match=rf"code.jsonl:0 isn't: {why}"):
        read_code_tasks(str(tmp_path / "code.jsonl"))
