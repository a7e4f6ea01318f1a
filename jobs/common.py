"""Settings that several jobs share, and what they turn into."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import raypipe
from raypipe import sample
from raypipe.corpus import Corpus
from raypipe.models.causal import open_model
from raypipe.run.cluster import Wanted
from raypipe.run.event_loop import StageFailed
from raypipe.runs.card import CARD, device_hours, now, read_card
from raypipe.runs.lock import Locked
from raypipe.storage.folder import Folder
from raypipe.storage.uris import redact

RUN_FILE = "run.json"
WORKER_BYTES = 2 << 30
"""What a worker needs beside its model: libraries, and the activations of a batch."""


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """Which rows, and where their columns are."""

    corpus: tuple[str, ...]
    """[NAME=]URI of a folder, glob or file of Parquet or JSON lines (.gz, .zst); NAME is the domain. Repeatable."""
    text_column: str = "text"
    """Column of the text; dotted where nested."""
    id_column: str | None = None
    """Column of the id; without one an id is PATH:ROW."""
    domain_column: str | None = None
    """Column of the domain; dotted where nested."""
    domain_from_path: str | None = None
    """Regular expression whose first group, found in a file's path, is the domain."""
    where: str | None = None
    """SQL condition on a row's columns; rows that fail it are skipped as "filtered" and never scored."""
    limit: int | None = None
    """Only the first N rows."""
    max_line_bytes: int = 64 << 20
    """A longer line of JSON is one skipped row, never held whole."""

    def to_corpus(self) -> Corpus:
        """The corpus that these settings describe; `sample` is the embedded one.

        Raises
        ------
        ValueError
            If columns are named for the embedded one, which has its own.
        """
        if self.corpus == (sample.SAMPLE,):
            if self.text_column != "text" or self.id_column or self.domain_column or self.domain_from_path:
                raise ValueError("corpus sample has its own columns; leave out the settings of columns and domains.")
            folder = str(sample.corpus_folder())
            return Corpus(sources=(folder,), id_column="id", domain_column="domain", where=self.where, limit=self.limit)
        return Corpus(
            sources=self.corpus,
            text_column=self.text_column,
            id_column=self.id_column,
            domain_column=self.domain_column,
            domain_from_path=self.domain_from_path,
            where=self.where,
            limit=self.limit,
            max_line_bytes=self.max_line_bytes,
        )


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model that scores, and how it runs."""

    model: str = "sample"
    """Folder, org/name[@revision], GGUF file, or `sample`: the embedded SmolLM2-135M-Instruct."""
    max_tokens: int = 2048
    """Documents are scored on their first N tokens."""
    dtype: Literal["auto", "float32", "bfloat16", "float8"] = "auto"
    """Of weights and activations; auto: bfloat16 on a GPU, float32 on a CPU. Losses are float32 always. float8 (Ada,
    Hopper and newer GPUs): bfloat16 but for the layers' products; what that does to the order is measured first."""
    compile: bool = False
    """Compile the layers (torch.compile) when a worker starts: takes a minute or so, pays on GPUs."""
    token_budget: int | None = None
    """Tokens that go through the model together; None: by device and model."""
    seed: int = 0
    """Of everything that is drawn at random."""
    gpus_per_worker: float | None = None
    """GPUs that a worker reserves; None: 1 where the cluster has GPUs, else 0."""
    cpus_per_worker: float | None = None
    """CPUs that a worker reserves, and so its threads; None: 1 beside a GPU, else an equal share of a machine's."""
    min_workers: int = 1
    """Workers to start with."""
    max_workers: int | None = None
    """Workers at most; None: as many as the cluster's GPUs, or on CPUs up to 8 a machine."""

    def to_wanted(self) -> Wanted:
        """The workers that these settings ask for."""
        return Wanted(
            self.min_workers, self.max_workers, self.gpus_per_worker, self.cpus_per_worker,
            worker_bytes=lambda: WORKER_BYTES + 2.0 * open_model(self.model).n_bytes,  # read once, converted once
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The run folder and how to go on in it."""

    output: str
    """The run folder's URI; made if it isn't there, gone on with if it is."""
    name: str | None = None
    """Suffix of the stage's folder (scores-NAME), to keep another setting's files beside the first."""
    restart: str | None = None
    """Throw a stage's files away and do it again; says first what they cost."""
    yes: bool = False
    """Don't ask before --restart throws work away."""
    retry: Literal["nothing", "failed"] = "nothing"
    """failed: take up again the shards that were set aside."""


def note_run(run: Folder, config: Any, *, stages: list[str], status: str, **more: Any) -> None:
    """Write run.json: the recipe as resolved, the stages and how far they are. No secret of a URI gets in."""
    try:
        before = json.loads(run.read(RUN_FILE))
    except FileNotFoundError:
        before = {"raypipe": raypipe.__version__, "name": run.uri.rsplit("/", 1)[-1], "created": now(), "stages": []}
    recipe = {name: redact(value) for name, value in asdict(config).items()}
    known = list(dict.fromkeys([*before["stages"], *stages]))
    noted = {**before, "status": status, "recipe": recipe, "stages": known, **more}
    run.write(RUN_FILE, json.dumps(noted, indent=1).encode())


def noted(run: Folder, name: str) -> Any:
    """What run.json says under a name; None if it says nothing."""
    try:
        return json.loads(run.read(RUN_FILE)).get(name)
    except FileNotFoundError:
        return None


def throw_away(run: Folder, stage: str, *, yes: bool) -> None:
    """Delete a stage's files, after saying what they cost and, without `yes`, asking.

    Raises
    ------
    ValueError
        If the run has no such stage, or there is nobody to ask.
    """
    folder = run / stage
    if (card := read_card(folder)) is None:
        raise ValueError(f"restart must name a stage of {run.uri}, got {stage!r}.")
    files = folder.files(recursive=True)
    print(f"--restart {stage} throws away {len(files)} files and {device_hours(card):.2f} device-hours of work.")
    if not yes:
        if not sys.stdin.isatty():
            raise ValueError("--restart needs --yes where nobody can be asked.")
        if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
            raise ValueError("nothing was thrown away.")
    for file in sorted(
        files, key=lambda file: file.path != CARD
    ):  # without its card the rest is stale, whatever happens
        folder.delete(file.path)


def run_job(main: Callable[[], int | None]) -> None:
    """End the process as a job should: a message and no traceback; 2 for wrong input, 1 for a run that can't go on."""
    try:
        status = main() or 0
    except (ValueError, KeyError, FileNotFoundError) as error:
        message = str(error.args[0]) if isinstance(error, KeyError) else str(error)
        if isinstance(error, KeyError) and " " not in message:
            raise  # a bare key is our mistake, not the user's
        print(f"error: {message}", file=sys.stderr)
        status = 2
    except (Locked, StageFailed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    sys.exit(status)
