"""Retrieval heads: how they are looked for, and those that a run is scored with."""

import json
import logging
from dataclasses import dataclass
from typing import Any

from raypipe import sample
from raypipe.corpus import Corpus, plan_shards, read_shard, read_stream
from raypipe.lm.heads import Head
from raypipe.models.causal import open_model
from raypipe.runs.names import nearest
from raypipe.score.heads.heads_file import chosen_heads, parse_heads
from raypipe.storage.folder import Folder

from .common import CorpusSettings, ModelSettings, RunSettings

log = logging.getLogger(__name__)
MAX_TEXTS = 400
FOUND_HEADS = "heads.json"


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """How heads are looked for."""

    heads_share: float = 0.05
    """Share of all heads that is chosen."""
    n_probes: int = 64
    """Probes that score the heads; the paper takes 800."""
    probe_tokens: int = 768
    """Tokens of a probe; the paper's have 4,096."""
    n_draws: int = 12
    """Random draws of as many heads from the same layers, the control, at least 8; up to 48 where the verdict needs
    them."""
    allow_weak_heads: bool = False
    """Go on with heads that failed the causal check."""


@dataclass(frozen=True, kw_only=True)
class HeadSettings(ProbeSettings, CorpusSettings, ModelSettings, RunSettings):
    """What finding heads of a model looks at."""


def lines_of(record: dict[str, Any], *, where: str) -> list[str]:
    """A heads record for the terminal: which heads, what they cost the model, and the rules of the check."""
    check = record["causal_check"]
    lines = [f"{len(record['chosen'])} heads in {where}: {record['chosen']}"]
    for what in ("intact", "chosen"):
        lines.append(f"  {what:>8}: answer loss {check[what]['loss']:.2f}, accuracy {check[what]['accuracy']:.2f}")
    for rule in check["rules"]:
        passed = "passed" if rule["passed"] else "FAILED"
        lines.append(f"  {passed}: {rule['rule']}: {rule['value']:.2f} (bar {rule['bar']:.2f})")
    return lines


def detect(config: HeadSettings, texts: list[str] | None = None) -> dict[str, Any]:
    """The heads record of the model, found now on this machine's first device."""
    import torch

    from raypipe.runs.card import now, versions
    from raypipe.score.heads.find_heads import Probing, find_heads

    probing = Probing(
        n_probes=config.n_probes,
        max_tokens=config.probe_tokens,
        share=config.heads_share,
        n_draws=config.n_draws,
        seed=config.seed,
    )
    device = "cuda" if torch.cuda.is_available() and config.gpus_per_worker != 0 else "cpu"
    # probes decide what every later score means: they run in float32 unless bfloat16 is asked for, never in 8 bits
    dtype = "bfloat16" if config.dtype == "bfloat16" else "float32"
    texts = some_texts(config.to_corpus(), limit=MAX_TEXTS) if texts is None else texts
    record = find_heads(config.model, texts, probing=probing, dtype=dtype, device=device)
    return {**record, "created": now(), "versions": versions()}


def some_texts(corpus: Corpus, *, limit: int) -> list[str]:
    """The first texts of a corpus, a share from each shard so that every domain is among them."""
    plan = plan_shards(corpus, shard_bytes=1 << 22, part_rows=limit)
    step = max(1, len(plan) // 64)
    each = max(2, -(-limit * step // max(1, len(plan))))
    texts: list[str] = []
    for shard in plan.shards[::step]:
        if shard.cut == "part":
            table = next(part[2] for part in read_stream(corpus, shard, part_rows=limit, done=frozenset()))
        else:
            table = read_shard(corpus, shard)
        texts += [text for text in table["text"].to_pylist() if text is not None][:each]
    return texts[:limit]


@dataclass(frozen=True)
class Heads:
    """The heads to neutralise, and the file that they are from."""

    chosen: tuple[Head, ...]
    name: str
    """Of the file in RUN/heads"""
    content: bytes

    def keep(self, run: Folder) -> "Heads":
        """Put the file into the run: the report shows the heads that the scores were made with."""
        folder = run / "heads"
        if not folder.exists(self.name) or folder.read(self.name) != self.content:
            folder.write(self.name, self.content)
        return self


def read_heads(config: HeadSettings, run: Folder, *, where: str | None) -> Heads | None:
    """The heads from a file, the run, or the embedded record, checked; None: to be found first.

    Raises
    ------
    ValueError
        If the file isn't whole, or its heads aren't those of this model.
    """
    own = run / "heads"
    if where in (None, "detect") and own.exists(FOUND_HEADS):
        return checked_heads(config, own.read(FOUND_HEADS), FOUND_HEADS, f"{run.uri}/heads/{FOUND_HEADS}")
    if where == "detect":
        return None
    if where is None:
        if config.model != sample.SAMPLE:
            raise ValueError(f"heads must be given for model {config.model!r}: a file by --heads, or --heads detect.")
        return checked_heads(config, sample.heads_file().read_bytes(), FOUND_HEADS, "the embedded heads file")
    parent, _, name = where.rpartition("/")
    folder = Folder(parent or ".")
    try:
        content = folder.read(name)
    except FileNotFoundError as error:
        known = [entry.path for entry in folder.files() if entry.path.endswith(".json")]
        raise ValueError(
            f"heads must be `detect` or a heads file, but {where!r} isn't there; {nearest(name, ['detect', *known])}."
        ) from error
    return checked_heads(config, content, name, where)


def checked_heads(config: HeadSettings, content: bytes, name: str, where: str) -> Heads:
    """A heads file that this model may be scored with."""
    record, model = parse_heads(content, where=where), open_model(config.model)
    chosen = chosen_heads(record, sha256=model.sha256(), allow_weak=config.allow_weak_heads, where=where)
    return Heads(chosen, name, content)


def detected(config: HeadSettings) -> Heads:
    """The heads as found now, on this machine's first device."""
    content = json.dumps(detect(config), indent=1).encode()
    return checked_heads(config, content, FOUND_HEADS, "what was found")
