"""Evaluate a model: python -m jobs.evaluate_model --model MODEL --benchmarks arc=arc.parquet --output RUN."""

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.corpus.records import read_records
from raypipe.corpus.sources import split_source
from raypipe.evaluate.benchmarks import Form, Item, read_items
from raypipe.evaluate.multiple_choice import WAYS, answers
from raypipe.evaluate.perplexity import by_domain, document_losses
from raypipe.evaluate.task_means import task_means
from raypipe.lm.decoder import Decoder
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.report.escape import terminal_text
from raypipe.runs import card as cards
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import at_work
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.answering import start_device
from .parts.common import RunSettings, life_of, run_job, stage_name

STAGE, EVALUATION = "evaluation", "evaluation.json"
BUDGET = {"cpu": 2048, "cuda": 32768}
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Config(Form, RunSettings):
    """Settings of evaluate_model."""

    model: str = "sample"
    """What is evaluated: folder, org/name[@revision], GGUF file, or `sample`."""
    benchmarks: tuple[str, ...] = ()
    """[NAME=]URI of a benchmark's rows: choices with gold, context_options, or yes and no. Repeatable."""
    corpus: tuple[str, ...] = ()
    """[NAME=]URI of documents whose loss and bits per byte are measured; NAME is their domain. Repeatable."""
    text_column: str = "text"
    """Column of a document's text."""
    domain_column: str | None = None
    """Column of a document's domain."""
    where: str | None = None
    """SQL condition on a document's columns; those that fail it are left out."""
    limit: int | None = None
    """Only the first N questions of each benchmark, and documents."""
    max_tokens: int = 2048
    """A longer question loses its beginning; a longer document is cut into windows."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of weights and activations; losses are float32 always."""
    token_budget: int | None = None
    """Tokens that go through the model together; None: by device."""
    n_threads: int | None = None
    """Threads of the CPU; None: all."""


def main(config: Config) -> int:
    """Measure what isn't measured yet; writes RUN/evaluation/ with a file of items a benchmark, and evaluation.json."""
    stage = stage_name(STAGE, config)
    with life_of(config, "evaluate_model", stages=[stage]) as life:
        folder = life.run / stage
        asked, documents = read_all(config)
        identity = identity_of(config, asked, documents)
        card = None if life.is_restarting(stage) else cards.read_card(folder)
        cards.check_identity(stage, card, identity)
        life.begin()
        card = card or {"stage": stage, "kind": "evaluation", "identity": identity}
        with at_work(folder, card | {"versions": cards.versions()}) as own:
            found = Measure(config, folder, life.stopping).all(asked, documents)
            own["counts"] = {"questions": sum(map(len, asked.values())), "documents": len(documents)}
            folder.write(EVALUATION, json.dumps(found, indent=1).encode())
        print(table_of(found))
    return life.status


def read_all(config: Config) -> tuple[dict[str, list[Item]], list[tuple[str, str]]]:
    """The questions by benchmark, and the documents as (domain, text); whatever is wrong with them ends here.

    Raises
    ------
    ValueError
        With the setting or the row.
    """
    if not config.benchmarks and not config.corpus:
        raise ValueError("give --benchmarks, --corpus or both: there is nothing to measure.")
    if config.max_tokens < 2 or (config.limit is not None and config.limit < 1):
        raise ValueError(f"max_tokens must be at least 2 and limit 1, got {config.max_tokens} and {config.limit}.")
    model = open_model(config.model)
    model.check()
    check_architecture(model.config(), max_tokens=config.max_tokens)
    named = [split_source(uri) for uri in config.benchmarks]
    names = [name or uri.rstrip("/").rsplit("/", 1)[-1].partition(".")[0] for name, uri in named]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"benchmarks must have a name each, got {sorted(twice)[0]!r} twice; write NAME=URI.")
    form = Form(config.template, config.delimiter, config.group_column)
    asked = {name: read_items(uri, form, limit=config.limit) for name, (_, uri) in zip(names, named, strict=True)}
    return asked, list(documents_of(config))


def documents_of(config: Config) -> Iterator[tuple[str, str]]:
    """Domain and text of each document; rows without a text are left out and counted."""
    n, left_out, keys = 0, 0, set[str]()
    for record in read_records(config.corpus, where=config.where) if config.corpus else ():
        keys |= record.values.keys()
        text, domain = record.values.get(config.text_column), record.domain or "all"
        if record.reason is not None or not isinstance(text, str) or not text.strip():
            left_out += 1
            continue
        if config.domain_column is not None:
            domain = str(record.values.get(config.domain_column) or "unknown")
        yield domain, text
        n += 1
        if n == config.limit:
            break
    for name in (config.text_column, config.domain_column) if config.corpus else ():
        if name is not None and name not in keys:
            raise KeyError(f"the documents have no column {name!r}; they have {sorted(keys)}.")
    if left_out:
        print(f"left out: {left_out:,} documents, filtered or without a text", file=sys.stderr)
    if config.corpus and not n:
        raise ValueError(f"no document in {', '.join(config.corpus)} has a text.")


class Measure:
    """What a model makes of questions and documents."""

    def __init__(self, config: Config, folder: Folder, stopping: threading.Event) -> None:
        self._config, self._folder, self._stopping = config, folder, stopping
        self._decoder: Decoder | None = None
        self._vocabulary = open_vocabulary(config.model)

    def all(self, asked: dict[str, list[Item]], documents: list[tuple[str, str]]) -> Json:
        """The figures; benchmarks whose items are there are not asked again."""
        found: Json = {"model": self._config.model, "benchmarks": {}, "corpus": None}
        for name, items in asked.items():
            file = f"items-{name}.parquet"
            if not self._folder.exists(file):
                print(f"{name}: {len(items):,} questions", file=sys.stderr)
                self._write(file, items)
            found["benchmarks"][name] = figures_of(self._read(file), items)
        if documents:
            found["corpus"] = self._losses(documents)
        return found

    def _losses(self, documents: list[tuple[str, str]]) -> Json:
        domains, texts = [domain for domain, _ in documents], [text for _, text in documents]
        print(f"corpus: {len(texts):,} documents", file=sys.stderr)
        losses = document_losses(self._open(), self._vocabulary, texts, **self._sizes())
        return by_domain(losses, domains)

    def _write(self, file: str, items: list[Item]) -> None:
        found = answers(self._open(), self._vocabulary, items, **self._sizes())
        table = pa.table({
            "name": [item.name for item in items],
            "gold": [item.gold for item in items],
            "log_likelihood": [one.log_likelihood.tolist() for one in found],
            **{way: [one.chosen(way) for one in found] for way in WAYS},
        })  # fmt: skip
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self._folder.write(file, sink.getvalue())

    def _read(self, file: str) -> pa.Table:
        with self._folder.open(file) as source:
            return pq.read_table(source)

    def _sizes(self) -> Json:
        device = self._open().device.type
        budget = self._config.token_budget or BUDGET[device]
        return {"max_tokens": self._config.max_tokens, "budget": budget, "heed": self._heed}

    def _heed(self) -> None:
        if self._stopping.is_set():
            raise Stopped("stopped in the evaluation; benchmarks that are done stay: go on with the same command.")

    def _open(self) -> Decoder:
        if self._decoder is None:
            device = start_device(self._config.n_threads)
            weights = open_model(self._config.model).weights(dtype=self._config.dtype, device=device)
            self._decoder = Decoder(weights, max_tokens=self._config.max_tokens)
        return self._decoder


def figures_of(table: pa.Table, items: list[Item]) -> Json:
    """Accuracy in each way of comparing choices, with 95 % intervals over questions, and the chance level."""
    gold = table["gold"].to_numpy()
    right = np.stack([table[way].to_numpy() == gold for way in WAYS])
    names, groups = [str(at) for at in range(len(items))], [item.group for item in items]
    whole = task_means(right, task=["all"] * len(items), case=names)
    chance = float(np.mean([1 / len(item.choices) for item in items]))
    found: Json = {"n": len(items), "chance": chance}
    found["accuracy"] = {way: asdict(whole.of_task(at, 0)) for at, way in enumerate(WAYS)}
    if len(set(groups)) > 1:
        by = task_means(right, task=groups, case=names)
        found["groups"] = {
            group: {way: asdict(by.of_task(at, number)) for at, way in enumerate(WAYS)}
            for number, group in enumerate(by.tasks)
        }
        found["mean_over_groups"] = {way: asdict(by.mean(at)) for at, way in enumerate(WAYS)}
    return found


def identity_of(config: Config, asked: dict[str, list[Item]], documents: list[tuple[str, str]]) -> Json:
    """Whatever can change a figure."""
    model = open_model(config.model)
    return {
        "model_sha256": model.sha256(),
        "tokenizer_sha256": open_vocabulary(config.model).sha256,
        "questions": {name: _digest([asdict(item) for item in items]) for name, items in asked.items()},
        "documents": _digest(documents),
        "max_tokens": config.max_tokens,
        "dtype": config.dtype,
    }


def _digest(rows: Any) -> str:
    return sha256(json.dumps(rows).encode()).hexdigest()


def table_of(found: Json) -> str:
    """The figures for a terminal, accuracies in percent."""
    lines = []
    if found["benchmarks"]:
        lines.append("accuracy, %; intervals hold 95 % of the resamples of questions")
        lines.append("  ".join([f"{'benchmark':<20}", f"{'n':>6}", f"{'chance':>6}", *(f"{way:>19}" for way in WAYS)]))
    for name, of in found["benchmarks"].items():
        cells = [f"{_interval(of['accuracy'][way], 100, '.1f'):>19}" for way in WAYS]
        shown = terminal_text(name, max_chars=20)
        lines.append("  ".join([f"{shown:<20}", f"{of['n']:>6,}", f"{100 * of['chance']:>6.1f}", *cells]))
    if found["corpus"]:
        lines.append(f"{'domain':<20}  {'n':>6}  {'loss, nats a token':>24}  {'bits per byte':>24}")
        for name, of in {**found["corpus"]["domains"], "all documents": found["corpus"]["all"]}.items():
            loss, bits = (f"{_interval(of[key], 1, '.4f'):>24}" for key in ("loss", "bits_per_byte"))
            lines.append(f"{terminal_text(name, max_chars=20):<20}  {of['n']:>6,}  {loss}  {bits}")
    return "\n".join(lines)


def _interval(of: dict[str, float], scale: float, form: str) -> str:
    mean, low, high = (scale * of[name] for name in ("mean", "low", "high"))
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
