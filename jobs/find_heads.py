"""Find a model's retrieval heads and check that they retrieve: python -m jobs.find_heads --output RUN."""

import json
import logging
from dataclasses import dataclass
from typing import Any

from raypipe.corpus import Corpus, plan_shards, read_shard, read_stream
from raypipe.models.causal import open_model
from raypipe.runs.names import checked_stage
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.common import CorpusSettings, ModelSettings, RunSettings, life_of, run_job

log = logging.getLogger(__name__)
MAX_TEXTS = 400


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
class Config(ProbeSettings, CorpusSettings, ModelSettings, RunSettings):
    """Settings of find_heads."""

    corpus: tuple[str, ...] = ("sample",)
    """[NAME=]URI of text with plain sentences, for the values of the probes and the prose of the check; or `sample`."""
    random_of: str | None = None
    """Find nothing: write as many random heads of the same layers as this heads file has, a control for ablate."""


def main(config: Config) -> int:
    """Write RUN/heads/NAME.json; status 2 if the heads fail the causal check."""
    from raypipe.score.heads.heads_file import check_passed

    name = f"{checked_stage(config.name or 'heads')}.json"
    if config.random_of is not None:
        return write_random(config, name)
    with life_of(config, "find_heads", stages=[]) as life:
        open_model(config.model).check()
        texts = some_texts(config.to_corpus(), limit=MAX_TEXTS)
        life.begin(["heads"])
        with life.at_once():
            record = detect(config, texts)
        (life.run / "heads").write(name, json.dumps(record, indent=1).encode())
        print("\n".join(lines_of(record, where=f"{life.run.uri}/heads/{name}")))
        check_passed(record, allow_weak=config.allow_weak_heads, where=f"heads/{name}")
    return life.status


def write_random(config: Config, name: str) -> int:
    """Write RUN/heads/NAME.json with random heads, which only --allow-weak-heads lets a score be made with.

    Raises
    ------
    ValueError
        If there is no name for them, or what they are to be drawn beside isn't a heads file.
    """
    from raypipe.score.heads.causal_check import draw_heads
    from raypipe.score.heads.heads_file import parse_heads

    if config.name is None:
        raise ValueError("random heads must have a name of their own; give --name, such as random-heads.")
    with life_of(config, "find_heads", stages=[]) as life:
        parent, _, file = str(config.random_of).rpartition("/")
        record = parse_heads(Folder(parent or ".").read(file), where=str(config.random_of))
        chosen = [(layer, head) for layer, head in record["chosen"]]
        (drawn,) = draw_heads(chosen, n_heads=record["model"]["n_heads"], n_draws=1, seed=config.seed)
        life.begin(["heads"])
        random = {"random_of": record["chosen"], "chosen": [list(head) for head in drawn], "causal_check": None}
        (life.run / "heads").write(name, json.dumps({**record, **random}, indent=1).encode())
        print(f"{len(drawn)} random heads in {life.run.uri}/heads/{name}: {random['chosen']}")
    return life.status


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


def detect(config: Any, texts: list[str] | None = None) -> dict[str, Any]:
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


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
