"""Settings of the jobs: frozen dataclasses, filled from --config FILE.yaml and from flags, which win."""

import dataclasses
import difflib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro
import yaml

C = TypeVar("C")


class _PlainKeys(yaml.SafeLoader):
    """A safe loader whose keys are what is written (`yes` is no boolean there), each at most once."""


def _mapping(loader: _PlainKeys, node: yaml.MappingNode) -> dict[str, Any]:
    keys = [key.value if isinstance(key, yaml.ScalarNode) else str(key.value) for key, _ in node.value]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ValueError(f"a setting may be given once, got {', '.join(sorted(twice))} more than once.")
    return {key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value, strict=True)}


_PlainKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(config: type[C], arguments: Sequence[str] | None = None) -> C:
    """The settings of a job from its command line; wrong ones end the process with a message and status 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        flags, path = (given, None) if _has_own(config) else _without_config(given)
        flags = _merged(config, flags)
        settings = read_file(config, path) if path else {}
    except (ValueError, OSError, yaml.YAMLError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    flags = _split_commas(config, flags)
    named = {flag.split("=")[0] for flag in flags if flag.startswith("--")}
    from_file = [word for name, value in settings.items() if _is_free(name, named) for word in _words(name, value)]
    with _pipe_may_close():
        return tyro.cli(config, args=[*from_file, *flags], description=_description(config))


@contextmanager
def _pipe_may_close() -> Iterator[None]:
    """A reader of the help that has seen enough (`| head`) ends the process without a word, as it does elsewhere."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, for the sake of sockets
    try:
        yield
    finally:
        sys.stdout.flush()
        signal.signal(signal.SIGPIPE, before)


def _split_commas(config: type, words: list[str]) -> list[str]:
    """`--adjust loss,length` as `--adjust loss length`, where a setting takes several of a few words."""
    hints = get_type_hints(config)
    several = {
        _flag(field.name)
        for field in dataclasses.fields(config)
        if get_origin(hints[field.name]) is tuple and get_origin(get_args(hints[field.name])[0]) is Literal
    }
    out, flag = [], ""
    for word in words:
        flag = word if word.startswith("--") else flag
        out += word.split(",") if flag in several and word != flag else [word]
    return out


def read_file(config: type, path: str) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises
    ------
    ValueError
        If it isn't a mapping of settings that the job has; the message names the nearest.
    """
    settings = read_yaml(path) or {}
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must map settings to values, got {type(settings).__name__}.")
    known = [field.name for field in dataclasses.fields(config)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
            raise ValueError(f"{path}: there is no setting {name!r}; the nearest is {near[0]!r}.")
    return {str(name): value for name, value in settings.items()}


def read_yaml(path: str) -> Any:
    """What a YAML file holds; keys are what is written, each once."""
    return yaml.load(Path(path).read_text(encoding="utf-8"), _PlainKeys)  # noqa: S506 (a safe loader)


def _description(config: type) -> str:
    module = sys.modules[config.__module__]
    said = (module.__doc__ or config.__doc__ or "").strip()
    return said if _has_own(config) else said + " Any setting can also stand in --config FILE.yaml."


def _has_own(config: type) -> bool:
    """Whether --config is a setting like others: the file is of another job."""
    return any(field.name == "config" for field in dataclasses.fields(config))


def _without_config(given: list[str]) -> tuple[list[str], str | None]:
    rest, path = [], None
    arguments = iter(given)
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == "--config":
            path = value or next(arguments, "")
        else:
            rest.append(argument)
    return rest, path


def _merged(config: type, words: list[str]) -> list[str]:
    """Flags given several times as one: with all values where a setting takes several, else with the last."""
    hints, values = get_type_hints(config), dict[str, list[str]]()
    several = {_flag(name) for name, hint in hints.items() if get_origin(hint) is tuple}
    name = ""
    for word in words:
        if not word.startswith("--"):
            values.setdefault(name, []).append(word)
            continue
        name, is_joined, value = word.partition("=")
        if name not in several:
            values.pop(name, None)
        values.setdefault(name, []).extend([value] if is_joined else [])
    return [word for name, of_flag in values.items() for word in ([name] if name else []) + of_flag]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_free(name: str, named: set[str]) -> bool:
    flag = _flag(name)
    return not {flag, f"--no-{flag[2:]}"} & named


def _words(name: str, value: Any) -> list[str]:
    flag = _flag(name)
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    values = value if isinstance(value, list) else [value]
    return [flag, *map(str, values)]
