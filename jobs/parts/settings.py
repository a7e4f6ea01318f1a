"""Settings of the jobs: frozen dataclasses, filled from --config FILE.yaml and from flags, which win.

A setting goes by its own name, `--share 0.2`, whatever part of the job it lies in; where a part makes it clearer, also
with what it lies in, `--selection.share 0.2`, and in YAML as `selection: {share: 0.2}`.
"""

import difflib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import tyro
import yaml

from raypipe.settings.nested import Setting, settings_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")


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
    given, known = list(sys.argv[1:] if arguments is None else arguments), settings_of(config)
    try:
        flags, path = (given, None) if "config" in known else _without_config(given)
        flags = _merged(known, _short(known, flags))
        settings = read_file(config, path) if path else {}
    except (ValueError, OSError, yaml.YAMLError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    flags = _split_commas(known, flags)
    named = {flag.split("=")[0] for flag in flags if flag.startswith("--")}
    from_file = [word for name, value in settings.items() if _is_free(name, named) for word in _words(name, value)]
    with _pipe_may_close():
        return tyro.cli(
            config, args=[*from_file, *flags], description=_description(config), config=(tyro.conf.OmitArgPrefixes,)
        )


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


def _short(known: Mapping[str, Setting], words: list[str]) -> list[str]:
    """`--selection.share` as `--share`, where that is a part it lies in, of however many."""
    out = []
    for word in words:
        flag, is_joined, value = word.partition("=")
        *parts, name = flag.removeprefix("--").replace("-", "_").split(".")
        path = iter(known[name].path if name in known else ())
        is_below = flag.startswith("--") and parts and all(part in path for part in parts)  # in their order
        out.append(_flag(name) + is_joined + value if is_below else word)
    return out


def _split_commas(known: Mapping[str, Setting], words: list[str]) -> list[str]:
    """`--adjust loss,length` as `--adjust loss length`, where a setting takes several of a few words."""
    several = {
        _flag(name)
        for name, setting in known.items()
        if get_origin(setting.hint) is tuple and get_origin(get_args(setting.hint)[0]) is Literal
    }
    out, flag = [], ""
    for word in words:
        flag = word if word.startswith("--") else flag
        out += word.split(",") if flag in several and word != flag else [word]
    return out


def read_file(config: "type[DataclassInstance]", path: str) -> dict[str, Any]:
    """The settings in a YAML file, each by its own name; those of a part may stand below the part's.

    Raises
    ------
    ValueError
        If it isn't a mapping of settings that the job has; the message names the nearest.
    """
    given = read_yaml(path) or {}
    if not isinstance(given, dict):
        raise ValueError(f"{path} must map settings to values, got {type(given).__name__}.")
    known, found = settings_of(config), dict[str, Any]()
    for name, value in _leaves(known, given, ()):
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
            raise ValueError(f"{path}: there is no setting {name!r}; the nearest is {near[0]!r}.")
        if name in found:
            raise ValueError(f"{path}: a setting may be given once, got {name} more than once.")
        found[name] = value
    return found


def _leaves(known: Mapping[str, Setting], given: dict[Any, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    parts = {setting.path[: len(path) + 1] for setting in known.values() if len(setting.path) > len(path)}
    for name, value in given.items():
        below = (*path, str(name))
        if isinstance(value, dict) and below in parts:
            yield from _leaves(known, value, below)
        else:
            yield str(name), value


def read_yaml(path: str) -> Any:
    """What a YAML file holds; keys are what is written, each once."""
    return yaml_of(Path(path).read_text(encoding="utf-8"))


def yaml_of(text: str) -> Any:
    """What YAML text holds; keys are what is written, each once."""
    return yaml.load(text, _PlainKeys)  # noqa: S506 (a safe loader)


def _description(config: "type[DataclassInstance]") -> str:
    module = sys.modules[config.__module__]
    said = (module.__doc__ or config.__doc__ or "").strip()
    has_own = "config" in settings_of(config)  # the file is of another job
    return said if has_own else said + " Any setting can also stand in --config FILE.yaml."


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


def _merged(known: Mapping[str, Setting], words: list[str]) -> list[str]:
    """Flags given several times as one: with all values where a setting takes several, else with the last."""
    values = dict[str, list[str]]()
    several = {_flag(name) for name, setting in known.items() if get_origin(setting.hint) is tuple}
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
