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
from raypipe.score.heads.probes import Probing
from raypipe.score.proxy import Proxy
from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
MAX_TEXTS = 400
FOUND_HEADS, DETECT = "heads.json", "detect"


@dataclass(frozen=True, kw_only=True)
class HeadSearch:
    """How heads are looked for, and which will do."""

    probing: Probing = Probing()
    allow_weak_heads: bool = False
    """Go on with heads that failed the causal check."""


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


def detect(proxy: Proxy, texts: list[str], *, probing: Probing, seed: int, on_cpu: bool) -> dict[str, Any]:
    """The heads record of the model, found now on this machine's first device; `on_cpu`: on none."""
    import torch

    from raypipe.runs.card import now, versions
    from raypipe.score.heads.find_heads import find_heads

    device = "cuda" if torch.cuda.is_available() and not on_cpu else "cpu"
    # probes decide what every later score means: they run in float32 unless bfloat16 is asked for, never in 8 bits
    dtype = "bfloat16" if proxy.dtype == "bfloat16" else "float32"
    record = find_heads(proxy.model, texts, probing=probing, seed=seed, dtype=dtype, device=device)
    return {**record, "created": now(), "versions": versions()}


def random_heads(where: str, *, seed: int) -> dict[str, Any]:
    """The record of as many random heads of the same layers as a heads file has, none of them its own."""
    from raypipe.score.heads.causal_check import draw_heads

    parent, _, file = where.rpartition("/")
    record = parse_heads(Folder(parent or ".").read(file), where=where)
    chosen = [(layer, head) for layer, head in record["chosen"]]
    (drawn,) = draw_heads(chosen, n_heads=record["model"]["n_heads"], n_draws=1, seed=seed)
    random = {"random_of": record["chosen"], "chosen": [list(head) for head in drawn], "causal_check": None}
    return {**record, **random}


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


@dataclass(frozen=True, kw_only=True)
class HeadChoice:
    """The heads that a corpus is scored with."""

    heads: str | None = None
    """Heads file, or `detect`; None: the run's own, else the embedded model's shipped ones."""
    search: HeadSearch = HeadSearch()

    def read(self, run: Folder, model: str) -> Heads | None:
        """The heads from a file, the run, or the embedded record, checked; None: to be found first.

        Raises
        ------
        ValueError
            If the file isn't whole, or its heads aren't those of this model.
        """
        own = run / "heads"
        if self.heads in (None, DETECT) and own.exists(FOUND_HEADS):
            return self.checked(own.read(FOUND_HEADS), model, FOUND_HEADS, f"{run.uri}/heads/{FOUND_HEADS}")
        if self.heads == DETECT:
            return None
        if self.heads is not None:
            return self._of_file(self.heads, model)
        if model != sample.SAMPLE:
            raise ValueError(f"heads must be given for model {model!r}: a file by --heads, or --heads detect.")
        return self.checked(sample.heads_file().read_bytes(), model, FOUND_HEADS, "the embedded heads file")

    def _of_file(self, where: str, model: str) -> Heads:
        parent, _, name = where.rpartition("/")
        folder = Folder(parent or ".")
        try:
            content = folder.read(name)
        except FileNotFoundError as error:
            known = [entry.path for entry in folder.files() if entry.path.endswith(".json")]
            raise ValueError(
                f"heads must be `detect` or a heads file, but {where!r} isn't there; {nearest(name, [DETECT, *known])}."
            ) from error
        return self.checked(content, model, name, where)

    def checked(self, content: bytes, model: str, name: str, where: str) -> Heads:
        """A heads file that this model may be scored with."""
        record, opened = parse_heads(content, where=where), open_model(model)
        chosen = chosen_heads(record, sha256=opened.sha256(), allow_weak=self.search.allow_weak_heads, where=where)
        return Heads(chosen, name, content)

    def found(self, record: dict[str, Any], model: str) -> Heads:
        """The heads of a record that was just made."""
        return self.checked(json.dumps(record, indent=1).encode(), model, FOUND_HEADS, "what was found")
