"""How a job's process ends: its status, and one line that says why, without a secret."""

from pathlib import Path

import pytest

from jobs.parts.common import run_job
from raypipe.run.event_loop import StageFailed
from raypipe.runs.lock import Locked, LockLost
from raypipe.storage.uris import redact_text


def ended_by(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def main() -> int:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_job(main)
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("share must be above 0"), 2),
        (KeyError("no column 'x' in a.parquet"), 2),
        (FileNotFoundError("nothing at /x"), 2),
        (EOFError("EOF when reading a line"), 2),
        (Locked("is being written"), 1),
        (LockLost("taken over"), 1),
        (StageFailed("scores: nothing moves"), 1),
        (OSError(28, "No space left"), 1),
        (StageFailed(""), 1),
    ],
)
def test_an_error_is_one_line_and_never_without_a_word(error: Exception, status: int, capsys) -> None:
    code, said = ended_by(error, capsys)
    assert code == status
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert len(said) > len("error: \n")


def test_a_hub_that_is_out_of_reach_is_one_line_without_the_token_of_the_uri(capsys) -> None:
    secret = RuntimeError("Cannot reach https://me:hf_abcdefghijkl@huggingface.co/api?token=hush")
    unreachable = type("ConnectError", (Exception,), {"__module__": "httpx2._exceptions"})
    secret.__cause__ = unreachable("[Errno -2] Name or service not known hf_abcdefghijkl")
    code, said = ended_by(secret, capsys)
    assert code == 1
    assert said == "error: ConnectError: [Errno -2] Name or service not known ...\n"


def test_our_own_mistake_shows_where_it_was_made_but_no_secret(capsys) -> None:
    code, said = ended_by(TypeError("no method of s3://AKIAABCDEFGHIJKLMNOP:hush@bucket/x"), capsys)
    assert code == 1
    assert f'File "{Path(__file__)}"' in said
    assert said.splitlines()[-1] == "error: TypeError: no method of s3://bucket/x"
    assert "hush" not in said
    assert ended_by(KeyError("tokens"), capsys)[0] == 1


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("at https://u:p@host/x?a=1&token=t&b=2 now", "at https://host/x?a=1&token=...&b=2 now"),
        ("hf://hf_abcdEFGH12345@datasets/org/name: gone", "hf://datasets/org/name: gone"),
        ("key AKIAABCDEFGHIJKLMNOP and Bearer abc.def", "key ... and Bearer ..."),
        ("mail a@b.c about s3://bucket/k@y", "mail a@b.c about s3://bucket/k@y"),
        ("org/name@revision of hf_transfer", "org/name@revision of hf_transfer"),
    ],
)
def test_secrets_in_messages_are_left_out_and_nothing_else(text: str, clean: str) -> None:
    assert redact_text(text) == clean
