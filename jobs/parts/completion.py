"""Completion of the `raypipe` command in a shell: the names of jobs, then the settings of the one that is named.

The script is whole when it is printed: completing starts no Python.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from raypipe.settings.nested import settings_of

Shell = Literal["bash", "zsh"]
SHELLS: tuple[Shell, ...] = get_args(Shell)
_SCRIPT = """# Completion of raypipe; made by: raypipe --completion {shell}
{head}_raypipe() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{jobs}"
  else
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    case "$word" in -*) ;; *) words="" ;; esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _raypipe raypipe
"""


def flags_of(job: str) -> list[str]:
    """The settings of a job as words of a command line; none of one that takes its words itself."""
    config = getattr(importlib.import_module(f"..{job}", __package__), "Config", None)
    return [f"--{name.replace('_', '-')}" for name in settings_of(config)] if config is not None else []


def script(shell: Shell, flags: Mapping[str, Sequence[str]]) -> str:
    """The script for a shell, of each job's flags; to be put where the shell reads its completions."""
    cases = "\n".join(
        f'      {job}|{job.replace("_", "-")}) words="{" ".join([*of, "--config", "--help"])}" ;;'
        for job, of in flags.items()
    )
    head = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return _SCRIPT.format(shell=shell, head=head, jobs=" ".join(flags), cases=cases)
