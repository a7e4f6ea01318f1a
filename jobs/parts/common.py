"""Settings that several jobs share, and what they turn into."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from raypipe import sample
from raypipe.corpus import Corpus
from raypipe.corpus.shards import Reading
from raypipe.run.cluster import Wanted
from raypipe.run.event_loop import StageFailed
from raypipe.run.local import n_gpus
from raypipe.run.stage import is_complete
from raypipe.runs.card import Json
from raypipe.runs.life import REFUSED, Life
from raypipe.runs.lock import Locked, LockLost
from raypipe.runs.names import checked_stage
from raypipe.runs.signals import Stopped
from raypipe.settings.nested import flat
from raypipe.storage.folder import Folder
from raypipe.storage.uris import redact_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NETWORK = (
    "httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "huggingface_hub", "botocore", "boto3", "fsspec",
    "aiohttp",
)  # fmt: skip
"""Libraries whose errors say that a store or a hub can't be reached, not that we have made a mistake."""
QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
"""Standard error is for what the job has to say; whoever wants the libraries' own words sets these."""
SAMPLE_COLUMNS = {"id_column": "id", "domain_column": "domain"}


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(Reading):
    """Which files and rows, and where their columns are."""

    corpus: tuple[str, ...]
    """[NAME=]URI of a folder, glob or file of Parquet, JSON, CSV, TSV, WARC (.gz, .zst, .bz2, .xz) or Arrow, or
    `sample`; NAME is the domain. Repeatable."""

    def to_corpus(self) -> Corpus:
        """The corpus that these settings describe; `sample` is the embedded one.

        Raises
        ------
        ValueError
            If columns are named for the embedded one, which has its own.
        """
        reading = {field.name: getattr(self, field.name) for field in fields(Reading)}
        if self.corpus != (sample.SAMPLE,):
            return Corpus(sources=self.corpus, **reading)
        own = (self.id_column, self.domain_column, self.domain_from_path, self.text_template)
        if self.text_column != "text" or any(own):
            raise ValueError("corpus sample has its own columns; leave out the settings of columns and domains.")
        return Corpus(sources=(str(sample.corpus_folder()),), **{**reading, **SAMPLE_COLUMNS})


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


def life_of(
    run: RunSettings, job: str, *, recipe: "DataclassInstance | None" = None, stages: Sequence[str],
    has_shards: bool = False, is_main: bool = False,
) -> Life:  # fmt: skip
    """The life of a job on its run; `recipe` are all of its settings, `stages` those that --restart may name.

    Raises
    ------
    ValueError
        If --retry is given to a job that sets no shards aside.
    """
    if run.retry != "nothing" and not has_shards:
        raise ValueError(f"--retry {run.retry} has no effect in {job}, which sets no shards aside; leave it out.")
    return Life(
        Folder(run.output), job, recipe=flat(recipe or run), stages=stages, restart=run.restart, yes=run.yes,
        is_main=is_main,
    )  # fmt: skip


def row_workers(max_workers: int | None) -> Wanted:
    """Workers of stages that take rows through a CPU each, as many as fill the machines."""
    return Wanted(1, max_workers, gpus_per_worker=0.0, cpus_per_worker=1.0)


def stage_name(stage: str, run: RunSettings) -> str:
    """The folder of a job's stage: its own name, and the suffix of --name."""
    return checked_stage(f"{stage}-{run.name}") if run.name else stage


def why_incomplete(card: Json) -> str | None:
    """Why a stage of shards isn't whole, None if it is; each shard that was set aside is said on stderr."""
    for key, why in card["set_aside"].items():
        print(f"set aside: {key}: {redact_text(why)}", file=sys.stderr)
    if card["set_aside"]:
        n = len(card["set_aside"])
        return f"{n:,} shards of {card['stage']} were set aside; take them up again with --retry failed."
    return None if is_complete(card) else f"{card['stage']}: " + " ".join(card["warnings"] or [card["status"]])


def run_job(main: Callable[[], int | None]) -> None:
    """End the process as a job should: a message and no traceback; 2 for wrong input, 1 for a run that can't go on."""
    quieten()
    try:
        status = main() or 0
    except (*REFUSED, EOFError) as error:
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        if isinstance(error, KeyError) and " " not in message:
            _print_mistake(error)  # a bare key is our mistake, not the user's
            sys.exit(1)
        _print_error(message)
        status = 2
    except (Locked, LockLost, Stopped, StageFailed, OSError) as error:
        _print_error(f"{type(error).__name__} without a reason" if not str(error) else str(error))
        status = 1
    except Exception as error:
        if (outside := _of_the_network(error)) is not None:
            _print_error(f"{type(outside).__name__}: {outside}")
        else:
            _print_mistake(error)
        status = 1
    sys.exit(status)


def quieten() -> None:
    """Turn off what other libraries would say while they are loaded; of use before they are."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not n_gpus():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # transformers loads DeepSpeed, which looks for one, aloud


def _print_error(message: str) -> None:
    print(f"error: {redact_text(message)}", file=sys.stderr)


def _print_mistake(error: BaseException) -> None:
    """The traceback of what no user can mend, without the secrets that may stand in it."""
    print(redact_text("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    print(f"error: {redact_text(f'{type(error).__name__}: {error}')}", file=sys.stderr)


def _of_the_network(error: BaseException | None) -> BaseException | None:
    """The failure of a store or a hub in the chain of causes, None if the chain has none."""
    while error is not None:
        if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in NETWORK:
            return error
        error = error.__cause__ or error.__context__
    return None
