"""A run folder read for its report: cards, heads, progress and the columns of its tables."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import columns
from raypipe.contracts.score import KEY, OLDER, Score, scores_of
from raypipe.report.numbers.gather import EXACT_ROWS, FLOATS, INTEGERS, RowGather, ScoreNumbers
from raypipe.storage.folder import Folder

Json = dict[str, Any]

DOCUMENT_COLUMNS = (columns.TEXT_HASH, columns.DOMAIN, columns.STATUS, columns.REASON, "truncated", *INTEGERS, *FLOATS)
SELECTION_COLUMNS = (columns.TEXT_HASH, "rank", "split", "selected")
MAX_PROGRESS_FILES = 300
EVALUATIONS = ("evaluation.json", "results.json")
SAMPLE, SAMPLE_MODEL = "sample", "SmolLM2-135M-Instruct"
SEARCH, ABLATION, STUDY = "search.json", "ablation.json", "study.json"
TRAINING = "train"
"""What the card of a training stage says under `kind`."""


@dataclass(frozen=True)
class RunFiles:
    """What lies in a run folder: its cards, and the names of its tables by stage."""

    folder: Folder
    run: Json = field(default_factory=dict)
    cards: dict[str, Json] = field(default_factory=dict)
    """By stage folder, those that have a card or a table."""
    heads: dict[str, Json] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    """File names by stage folder, in corpus order."""
    progress: list[str] = field(default_factory=list)
    metrics: dict[str, list[str]] = field(default_factory=dict)
    """Paths of metrics files by training stage, in order of steps; a stage that has just begun has none."""
    evaluations: dict[str, Json] = field(default_factory=dict)
    """What models came to on test rows, by the path of its file."""
    searches: dict[str, Json] = field(default_factory=dict)
    """What searches over settings came to, by the path of its file."""
    ablations: dict[str, Json] = field(default_factory=dict)
    """What comparisons of selections came to, by the path of its file."""
    studies: dict[str, Json] = field(default_factory=dict)
    """What studies of papers' claims came to, by the path of its file."""
    records: list[str] = field(default_factory=list)
    """Paths of the run's own JSON files: run file, cards, heads, evaluations."""
    now: Json = field(default_factory=dict)
    has_report: bool = False

    @property
    def name(self) -> str:
        """What the user called the run, or its folder."""
        return unquote(str(self.run.get("name") or self.folder.uri.rsplit("/", 1)[-1]))

    @property
    def scores_stage(self) -> str:
        """The scores that the report is about: those that were selected from, else `scores`, a variant, any other."""
        selected = self.cards.get("selection", {}).get("identity", {}).get("scores")
        variants = sorted(self.tables, key=lambda stage: (not _is_variant(stage), stage))
        return next((stage for stage in [selected, "scores", *variants] if _is_scores(stage, self)), "scores")

    @property
    def scores_card(self) -> Json:
        """The card of those scores, empty if there is none."""
        return self.cards.get(self.scores_stage, {})

    @property
    def model(self) -> str:
        """The name of the model that scored, from the heads file of its weights or the recipe; else its weights."""
        sha256 = str(self.scores_card.get("identity", {}).get("model_sha256", ""))
        refs = [record.get("model", {}) for record in self.heads.values()]
        named = [model.get("ref") for model in refs if sha256 and model.get("sha256") == sha256]
        ref = next(filter(None, [*named, self.run.get("recipe", {}).get("model"), sha256[:12]]), "unknown")
        return model_name(str(ref))

    @property
    def arms(self) -> list[str]:
        """The selections: `selection` first, then its control arms by name."""
        return sorted(stage for stage in self.tables if stage.split("-")[0] == "selection")

    @property
    def training(self) -> list[str]:
        """The stages that their cards call training, by name."""
        return sorted(stage for stage, card in self.cards.items() if card.get("kind") == TRAINING)

    @property
    def is_scoring(self) -> bool:
        """Whether anything was scored here, or is to be: a run where only models were trained isn't about scores."""
        is_scored = any(_is_scores(stage, self) for stage in {*self.cards, *self.tables})
        others = (self.training, self.evaluations, self.searches, self.ablations, self.studies)
        return is_scored or bool(self.heads) or not any(others)


def model_name(ref: str) -> str:
    """A model as people call it: what a run calls `sample` is an embedded model that has a name."""
    return SAMPLE_MODEL if ref == SAMPLE else ref


def _is_scores(stage: str | None, files: RunFiles) -> bool:
    """Whether it is there, and holds scores: by its name or its card, or because it was selected from."""
    if stage is None or (stage not in files.tables and stage not in files.cards):
        return False
    selected = files.cards.get("selection", {}).get("identity", {}).get("scores")
    return _is_variant(stage) or stage == selected or KEY in files.cards.get(stage, {})


def _is_variant(stage: str) -> bool:
    return stage.split("-")[0] == "scores"


def list_run(folder: Folder) -> RunFiles:
    """The cards of a run folder and the names of its tables, by one listing.

    Raises
    ------
    FileNotFoundError
        If it holds neither run.json nor a stage: most likely the URI is wrong.
    """
    names = [entry.path for entry in folder.files(recursive=True)]
    parts = [(name, *name.split("/")) for name in names]
    stages = [part for part in parts if len(part) == 3]
    heads = {file.removesuffix(".json"): name for name, stage, file in stages if stage == "heads" and _is(file, "json")}
    tables: dict[str, list[str]] = {}
    for _, stage, file in stages:
        if _is(file, "parquet"):
            tables.setdefault(stage, []).append(file)
    metrics: dict[str, list[str]] = {}
    for name, stage, *below in parts:
        if below[:-1] == ["metrics"] and _is(below[-1], "jsonl"):
            metrics.setdefault(stage, []).append(name)
    evaluations = [name for name, _, file in stages if file in EVALUATIONS]
    searches = [name for name, _, file in stages if file == SEARCH]
    ablations = [name for name, _, file in stages if file == ABLATION]
    studies = [name for name, _, file in stages if file == STUDY]
    cards = {stage: name for name, stage, file in stages if file == "card.json"}
    if not (cards or tables or heads or "run.json" in names):
        raise FileNotFoundError(f"{folder.uri} holds no run: neither run.json nor a stage with a card.json.")
    return RunFiles(
        folder=folder,
        run=read_json(folder, "run.json") if "run.json" in names else {},
        cards={stage: read_json(folder, name) for stage, name in cards.items()},
        heads={name: read_json(folder, path) for name, path in heads.items()},
        tables=tables,
        progress=[name for name, stage, file in stages if stage == "progress" and _is(file, "jsonl")],
        metrics=metrics,
        evaluations={name: read_json(folder, name) for name in evaluations},
        searches={name: read_json(folder, name) for name in searches},
        ablations={name: read_json(folder, name) for name in ablations},
        studies={name: read_json(folder, name) for name in studies},
        records=[
            *(["run.json"] if "run.json" in names else []),
            *heads.values(),
            *cards.values(),
            *evaluations,
            *searches,
            *ablations,
            *studies,
        ],
        now=read_json(folder, "progress/now.json") if "progress/now.json" in names else {},
        has_report="report.html" in names,
    )


def _is(file: str, suffix: str) -> bool:
    return file.endswith(f".{suffix}") and not file.startswith((".", "_"))


def read_json(folder: Folder, name: str) -> Json:
    """A JSON object of the folder.

    Raises
    ------
    ValueError
        If the file isn't one.
    """
    try:
        content = json.loads(folder.read(name))
    except ValueError as error:
        raise ValueError(f"{folder.uri}/{name} isn't JSON ({error}); restore it or delete it.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{folder.uri}/{name} must hold a JSON object, got a {type(content).__name__}.")
    return content


def read_rows(files: RunFiles, *, exact_rows: int = EXACT_ROWS, seed: int = 0) -> ScoreNumbers:
    """The columns of scores and selections, file by file; empty if there are no scores yet."""
    names = files.tables.get(files.scores_stage, [])
    n_rows = files.scores_card.get("counts", {}).get("scored")  # a stage that still runs has no count yet
    if n_rows is None:
        n_rows = sum(_n_rows(files.folder, f"{files.scores_stage}/{name}") for name in names)
    scored_by = score_of(files)
    gather = RowGather(files.arms, scored_by, kept_fraction=min(1.0, exact_rows / max(n_rows, 1)), seed=seed)
    wanted = tuple(dict.fromkeys((*DOCUMENT_COLUMNS, scored_by.column)))
    for number, name in enumerate(names):
        scores = read_columns(files.folder, f"{files.scores_stage}/{name}", wanted)
        gather.update(number, scores, dict(_selections(files, name)))
    return gather.result()


def score_of(files: RunFiles) -> Score:
    """What documents are ordered by: the column that was selected by, else the first that the scores' card tells of."""
    told = scores_of(files.scores_card)
    selected_by = files.cards.get("selection", {}).get("identity", {})
    if (column := selected_by.get("score")) is not None:
        unknown = Score(column, column.replace("_", " "), "", not selected_by.get("lower_is_better", False))
        return next((score for score in (*told, *OLDER) if score.column == column), unknown)
    if told:
        return told[0]
    names = files.tables.get(files.scores_stage, [])
    there = _column_names(files.folder, f"{files.scores_stage}/{names[0]}") if names else []
    return next((score for score in OLDER if score.column in there), OLDER[0])


def _column_names(folder: Folder, name: str) -> list[str]:
    with folder.open(name) as file:
        return list(pq.read_schema(file).names)


def _selections(files: RunFiles, name: str) -> Iterator[tuple[str, pa.Table]]:
    for arm in files.arms:
        if name in files.tables[arm]:
            yield arm, read_columns(files.folder, f"{arm}/{name}", SELECTION_COLUMNS)


def _n_rows(folder: Folder, name: str) -> int:
    with folder.open(name) as file:
        return int(pq.read_metadata(file).num_rows)


def read_columns(folder: Folder, name: str, wanted: tuple[str, ...]) -> pa.Table:
    """Those of the wanted columns that a Parquet file has."""
    with folder.open(name) as file:
        parquet = pq.ParquetFile(file)
        return parquet.read(columns=[column for column in wanted if column in parquet.schema_arrow.names])


def read_progress(files: RunFiles) -> list[Json]:
    """Progress lines in order of time; of very long runs an even choice of segments."""
    step = -(-len(files.progress) // MAX_PROGRESS_FILES) or 1
    lines = (line for name in files.progress[::step] for line in files.folder.read(name).splitlines())
    return sorted((json.loads(line) for line in lines if line.strip()), key=lambda entry: str(entry.get("time", "")))
