"""Who takes part in the scoring benchmark, each from the same documents to two losses for each of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from raypipe.corpus import Corpus, plan_shards, read_shard
from raypipe.lm.heads import Head
from raypipe.models.causal import open_model
from raypipe.run.cluster import Wanted
from raypipe.run.commit import commit, file_name
from raypipe.run.inputs import Sizes
from raypipe.run.rows import through
from raypipe.run.stage import Annotate
from raypipe.score.forward_pass import FLOAT8, ForwardPass
from raypipe.score.statistics.influence import Influence
from raypipe.storage.folder import Folder
from raypipe.train.loop.flops import measured_peak
from raypipe.train.loop.meter import memory_bytes

from .contender_names import Contender
from .plain_loop import plain_losses
from .shapes import SHAPES, as_text, heads_of, make_documents, make_model

FILES = 32
WHOLE_FILES = Sizes(shard_bytes=1 << 40, part_rows=1)


@dataclass(frozen=True)
class Measured:
    """One run of a contender."""

    figures: dict[str, float]
    losses: np.ndarray
    """[documents, 2]: intact, neutralised."""


@dataclass(frozen=True)
class Bench:
    """One model and one set of documents, on disk."""

    folder: Path
    shape: str
    dtype: str
    device: str
    documents: list[np.ndarray]
    cap: int
    batch_size: int
    token_budget: int
    compile: bool

    @classmethod
    def make(
        cls, folder: Path, *, shape: str, dtype: str, documents: int | None, batch_size: int | None,
        token_budget: int | None, seed: int, compile: bool = False,
    ) -> "Bench":  # fmt: skip
        """Write the model and the documents; None means what suits the device."""
        on_gpu = torch.cuda.is_available()
        name = dtype if dtype != "auto" else "bfloat16" if on_gpu else "float32"
        scale, n = (1, 8192) if on_gpu else (4, 128)  # the lengths of the design; a quarter of them on CPUs
        cap = 4096 // scale
        made = make_documents(
            documents or n, median=600 / scale, sigma=0.9, cap=cap, seed=seed, vocabulary=SHAPES[shape].vocabulary
        )
        _write(made, folder / "corpus")
        bench = cls(
            folder, shape, name, "cuda" if on_gpu else "cpu", made, cap,
            batch_size=batch_size or (16 if on_gpu else 8), token_budget=token_budget or (32_768 if on_gpu else 4096),
            compile=compile,
        )  # fmt: skip
        make_model(shape, folder / "model", max_tokens=cap, dtype=getattr(torch, bench.plain_dtype), seed=seed)
        return bench

    @property
    def plain_dtype(self) -> str:
        """Of the model's files and the plain loops: transformers has no 8-bit products without a further library."""
        return "bfloat16" if self.dtype == FLOAT8 else self.dtype

    @property
    def tokens(self) -> int:
        """Of all documents."""
        return sum(map(len, self.documents))

    @property
    def heads(self) -> tuple[Head, ...]:
        """The neutralised ones."""
        return heads_of(self.shape)

    @property
    def corpus(self) -> Corpus:
        """The documents on disk."""
        return Corpus(sources=(str(self.folder / "corpus"),))

    def op(self) -> ForwardPass:
        """The scorer, not set up."""
        return ForwardPass(
            model=str(self.folder / "model"),
            statistics=(Influence(),),
            heads=self.heads,
            max_tokens=self.cap,
            dtype=self.dtype,
            token_budget=self.token_budget,
            compiler="inductor" if self.compile else None,
        )


def _write(documents: list[np.ndarray], folder: Path) -> None:
    folder.mkdir()
    for at, part in enumerate(np.array_split(np.arange(len(documents)), FILES)):
        pq.write_table(pa.table({"text": [as_text(documents[row]) for row in part]}), folder / f"{at:02d}.parquet")


def contend(bench: Bench, who: Contender) -> Measured:
    """One run in a process of its own: threads and memory are as the contender itself leaves them."""
    runs: dict[str, Callable[[], Measured]] = {
        "plain32": lambda: plain(bench, by_length=False, dtype="float32"),
        "plain": lambda: plain(bench, by_length=False, dtype=bench.plain_dtype),
        "sorted": lambda: plain(bench, by_length=True, dtype=bench.plain_dtype),
        "single": lambda: plain(bench, by_length=False, dtype=bench.plain_dtype, batch_size=1),
        "alone": lambda: alone(bench, Folder(str(bench.folder / f"alone-{time.time_ns()}"))),
        "ray": lambda: through_ray(bench, Folder(str(bench.folder / f"ray-{time.time_ns()}"))),
    }
    measured = runs[who]()
    if who != "ray":  # there it is the worker's, not this process's
        measured.figures["peak_memory_gb"] = memory_bytes() / 1e9
    return measured


def device_peak(bench: Bench) -> float:
    """FLOPs a second of a large matrix product on the bench's device, in its number format."""
    return measured_peak(torch.device(bench.device), bench.dtype)


def plain(bench: Bench, *, by_length: bool, dtype: str, batch_size: int | None = None) -> Measured:
    """A plain loop over all documents, which lie in memory as tokens; None: the bench's own batch size."""
    model = open_model(str(bench.folder / "model")).weights(dtype=dtype, device=bench.device)
    plain_losses(model, bench.documents[:2], bench.heads, batch_size=2, by_length=by_length)  # warm-up
    started = time.perf_counter()
    losses, padding = plain_losses(
        model, bench.documents, bench.heads, batch_size=batch_size or bench.batch_size, by_length=by_length
    )
    spent = time.perf_counter() - started
    share = padding / (padding + bench.tokens)
    return Measured({"tokens_per_s": bench.tokens / spent, "padding": share, "passes": 2.0}, losses)


def alone(bench: Bench, folder: Folder) -> Measured:
    """Raypipe from Parquet on disk to committed scores in this process, shard after shard."""
    op, started = bench.op(), time.perf_counter()
    op.setup(n_threads=torch.get_num_threads())
    plan = plan_shards(bench.corpus, shard_bytes=WHOLE_FILES.shard_bytes, part_rows=WHOLE_FILES.part_rows)
    op(op.prepare(read_shard(bench.corpus, plan.shards[0])).slice(0, 2))
    start_up, begun = time.perf_counter() - started, time.perf_counter()
    assert op.decoder is not None
    op.decoder.layer_calls, calls = 0, 0
    for shard in plan:
        source = read_shard(bench.corpus, shard)
        prepared = op.prepare(source)
        calls += len(op.batches(prepared))
        result = through(op, prepared, report=lambda rows, cost, seconds: None)
        commit(folder, file_name(shard, is_last=True), shard=shard, source=source, result=result)
    spent = time.perf_counter() - begun
    figures = {
        "tokens_per_s": bench.tokens / spent,
        "padding": op.padding / (op.padding + bench.tokens),
        "passes": op.decoder.layer_calls / (calls * op.decoder.shape.n_layers),
        "start_up_s": start_up,
    }
    return Measured(figures, _committed_losses(folder))


def through_ray(bench: Bench, folder: Folder) -> Measured:
    """Raypipe as a job runs it: Ray Data, a pool that fills the machine, from the first commit to the last."""
    run = Annotate(
        folder, "scores", bench.op(), bench.corpus, wanted=Wanted(), sizes=WHOLE_FILES,
        identity={}, stopping=Event(),
    )  # fmt: skip
    card = run()
    times = card["times"]
    figures = {
        "tokens_per_s": times["tokens_per_s"],
        "padding": card["counts"]["padding_fraction"],
        "waited": times["waited_s"] / max(times["waited_s"] + times["busy_s"], 1e-9),
        "start_up_s": times["start_up_s"],
    }
    return Measured(figures, _committed_losses(folder / "scores"))


def _committed_losses(folder: Folder) -> np.ndarray:
    names = sorted(entry.path for entry in folder.files() if entry.path.endswith(".parquet"))
    tables = []
    for name in names:
        with folder.open(name) as file:
            tables.append(pq.read_table(file, columns=["loss", "loss_masked"]))
    table = pa.concat_tables(tables)
    return np.stack([table[name].to_numpy() for name in ("loss", "loss_masked")], axis=1)
