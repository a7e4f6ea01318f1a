"""The space of `tune` against the settings of the job: spelling, types and ranges, before anything is started."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from raypipe.runs.names import nearest
from raypipe.runs.space import Range, Space, Values
from raypipe.settings.nested import changed, settings_of

from .finetuning import FinetuneSettings
from .pretraining import PretrainSettings

TrainingJob = PretrainSettings | FinetuneSettings
"""Settings of the jobs that can be searched."""
J = TypeVar("J", bound=TrainingJob)
NOT_SEARCHED = ("output", "name", "restart", "yes", "retry", "seed", "workers", "cpus_per_worker", "gpus_per_worker")
"""Settings of the job that are of the run, not of the model."""


def check_space(space: Space, base: TrainingJob, *, job: str) -> dict[str, Values | Range]:
    """The space as the job's settings have it: ends of a setting that takes fractions aren't whole numbers' ends.

    Every value, and each end of a range, is set beside the first ones of the others and checked by the job.

    Raises
    ------
    ValueError
        With the setting, what it must be, and the nearest right spelling.
    """
    hints = {name: setting.hint for name, setting in settings_of(type(base)).items()}
    found = {name: _fitting(name, axis, hints, job=job) for name, axis in space.items()}
    ends = {name: axis.values if isinstance(axis, Values) else (axis.low, axis.high) for name, axis in found.items()}
    first = {name: values[0] for name, values in ends.items()}
    for name, values in ends.items():
        for value in values:
            try:
                applied(base, {**first, name: value}).check()
            except (ValueError, FileNotFoundError) as error:
                raise ValueError(f"the space's {name} {value!r} is refused: {error}") from error
    return found


def applied(base: J, settings: Mapping[str, Any]) -> J:
    """The base's settings with a trial's in their place."""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    return changed(base, **given)


def _fitting(name: str, axis: Values | Range, hints: Mapping[str, Any], *, job: str) -> Values | Range:
    searched = [known for known in hints if known not in NOT_SEARCHED]
    if name in NOT_SEARCHED:
        raise ValueError(f"the space can't have {name!r}, which says where or how a training runs; leave it out.")
    if name not in hints:
        raise ValueError(f"{job} has no setting {name!r} to search over; {nearest(name, searched)}.")
    if isinstance(axis, Range):
        return _of_numbers(name, axis, _members(hints[name]))
    for value in axis.values:
        if not fits(hints[name], value):
            hint = "; YAML reads 1e-4 as text, write 1.0e-4" if float in _members(hints[name]) else ""
            raise ValueError(f"{name} must be {said(hints[name])}, the space has {value!r}{hint}.")
    return axis


def _of_numbers(name: str, axis: Range, members: tuple[Any, ...]) -> Range:
    if float in members:
        return dataclasses.replace(axis, whole=False)
    if int not in members:
        raise ValueError(f"{name} takes no numbers, so it can't have a range; list its values.")
    if not axis.whole:
        raise ValueError(f"{name} takes whole numbers, the space goes from {axis.low} to {axis.high}.")
    return axis


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def fits(hint: Any, value: Any) -> bool:
    """Whether a value of YAML is one of a setting's type."""
    members = _members(hint)
    if len(members) > 1:
        return any(fits(member, value) for member in members)
    if get_origin(hint) is Literal:
        return any(value == word and type(value) is type(word) for word in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, list | tuple) and all(fits(get_args(hint)[0], one) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def said(hint: Any) -> str:
    """A setting's type in words."""
    if len(members := _members(hint)) > 1:
        return " or ".join(said(member) for member in members)
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"a list, each {said(get_args(hint)[0])}"
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false", types.NoneType: "null"}
    return words.get(hint, str(hint))
