"""A study: a paper's claims as sentences with bars, the arms that they compare, data and seeds.

How to write one, in jobs/studies/NAME.py: a docstring (its first line is shown by --list); a function
`trial(settings, seed, folder) -> metrics` that runs one arm (`settings["arm"]`) on one data set (`settings["data"]`)
with one seed, and splits data by the seed, not by the arm, since arms are compared seed by seed; and
`STUDY = Study(...)`. Give every claim a rival, an ablation or the negative control to be held against.
"""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raypipe.evaluate.claims import Claim
from raypipe.run.chain import Chain, Link, Step
from raypipe.runs.trials import Trial, TrialFunction
from raypipe.storage.folder import Folder

from .. import studies

NO_STUDY = (
    "study", "answer_sets", "named_texts", "verdicts", "open_data", "texts", "small_model", "task_network", "task_sets",
)  # fmt: skip
"""Modules of the package that are none."""
FEATURES = "features"
"""Stage of what a study makes of its data once."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is run, and what is claimed of it."""

    source: str
    """The paper, down to the tables that the claims come from."""
    trial: TrialFunction
    arms: Mapping[str, Mapping[str, Any]]
    """The method, its ablations, simple rivals and the negative control; what each sets."""
    control: str
    """The arm that must show nothing."""
    claims: tuple[Claim, ...]
    data: tuple[str, ...] = ("made",)
    """Data sets that the project or scikit-learn has; `made`: the trial makes its own."""
    more_data: tuple[str, ...] = ()
    """Real sets that --data FOLDER adds, by their names there."""
    stage: Callable[[Mapping[str, Any], str, Folder], Step] | None = None
    """What is made of each data set once, from the settings, before any trial (see open_data.made)."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of all arms."""
    quick: Mapping[str, Any] = field(default_factory=dict)
    """Settings that make a run of all arms some five seconds long, for the tests."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Arms that need a folder of --data, such as a model, by its name there; without it they are left out, and said."""
    seeds: int = 8
    cpus: float = 1.0
    """That one trial takes."""
    more_code: tuple[str, ...] = ()
    """Modules beside those it imports whose change makes the study another."""

    def __post_init__(self) -> None:
        """Refuse arms that don't exist, and claims that have none.

        Raises
        ------
        ValueError
            With the claim.
        """
        for claim in self.claims:
            for arm in (claim.of, claim.over):
                if arm not in self.arms:
                    raise ValueError(f"a claim must compare arms of its study, got {arm!r}: {claim.sentence!r}.")
        if self.control not in {arm for claim in self.claims for arm in (claim.of, claim.over)}:
            raise ValueError(f"some claim must be held against the control, {self.control!r} is in none.")

    @property
    def module(self) -> str:
        """Where it is written."""
        return str(self.trial.__module__)

    @property
    def name(self) -> str:
        """As its dossier's."""
        return self.module.rsplit(".", 1)[1].replace("_", "-")

    @property
    def summary(self) -> str:
        """The first line of its module."""
        return (inspect.getdoc(importlib.import_module(self.module)) or "").splitlines()[0]

    def trials(
        self, *, data: tuple[str, ...], seeds: int, quick: bool = False, beside: tuple[str, ...] = ()
    ) -> list[Trial]:
        """Every arm on every data set with every seed, seed by seed, so that what there is so far is paired.

        Of the arms that need a folder only those `beside`.
        """
        shared = self.shared(quick=quick)
        return [
            Trial({**shared, **settings, "arm": arm, "data": name}, seed)
            for seed in range(seeds)
            for name in data
            for arm, settings in self.arms.items()
            if arm not in self.needs or arm in beside
        ]

    def shared(self, *, quick: bool = False) -> dict[str, Any]:
        """The settings of all arms."""
        return {**self.settings, **(self.quick if quick else {})}

    def features(self, *, data: tuple[str, ...], quick: bool = False) -> Chain:
        """A link a data set that makes what its trials share; none where the study has no stage."""
        if self.stage is None:
            return Chain(FEATURES, ())
        make, settings = self.stage, self.shared(quick=quick)

        def link(name: str) -> Link:
            """Of one data set."""
            return Link(name, lambda own, _: make(settings, name, own))

        return Chain(FEATURES, tuple(link(name) for name in data))

    def identity(self) -> dict[str, Any]:
        """What can change a metric beside a trial's own settings: the code of the study and of what it imports."""
        return {"study": self.name, "code": code_hash(self.module, self.more_code)}


STORAGE = {"raypipe.storage.folder"}


def study_names() -> list[str]:
    """Every study there is."""
    names = [found.name for found in pkgutil.iter_modules(studies.__path__) if found.name not in NO_STUDY]
    return sorted(name.replace("_", "-") for name in names)


def load_study(name: str) -> Study:
    """A study, by a name of study_names."""
    study: Study = importlib.import_module(f"{studies.__name__}.{name.replace('-', '_')}").STUDY
    return study


def code_hash(module: str, more: tuple[str, ...] = ()) -> str:
    """16 hexadecimal digits of the code of a module and of the modules of this project that it imports.

    Comments, docstrings, layout and the claims don't count: they change no metric.
    """
    names = [module, *sorted({*_imported(module), *more})]
    trees = [ast.dump(_bare(ast.parse(_source(name)))) for name in names]
    return hashlib.sha256("\n".join([*names, *trees]).encode()).hexdigest()[:16]


def _imported(module: str) -> set[str]:
    """The project's modules that a module imports by `from ... import`, but for those of the studies themselves.

    Nor those of storage: where a trial's files lie changes no metric.
    """
    nodes = [node for node in ast.walk(ast.parse(_source(module))) if isinstance(node, ast.ImportFrom) and node.module]
    named = {str(node.module) for node in nodes}
    return {name for name in named if name.startswith("raypipe.") and not name.endswith(".claims")} - STORAGE


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def _bare(tree: ast.AST) -> ast.AST:
    """Without docstrings and claims."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
        if isinstance(node, ast.Call):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "claims"]
    return tree


def _is_text(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
