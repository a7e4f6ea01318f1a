"""Find a model's retrieval heads and check that they retrieve: python -m jobs.find_heads --output RUN."""

import json
from dataclasses import dataclass

from raypipe.models.causal import open_model
from raypipe.run.cluster import WorkerSettings
from raypipe.runs.names import checked_stage
from raypipe.score.proxy import Proxy

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, run_job
from .parts.heads import MAX_TEXTS, HeadSearch, detect, lines_of, random_heads, some_texts


@dataclass(frozen=True, kw_only=True)
class TextSettings(CorpusSettings):
    """What probes are made of."""

    corpus: tuple[str, ...] = ("sample",)
    """[NAME=]URI of text with plain sentences, for the values of the probes and the prose of the check; or `sample`."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of find_heads."""

    texts: TextSettings = TextSettings()
    proxy: Proxy = Proxy()
    search: HeadSearch = HeadSearch()
    workers: WorkerSettings = WorkerSettings()
    seed: int = 0
    """Of everything that is drawn at random."""
    run: RunSettings
    random_of: str | None = None
    """Find nothing: write as many random heads of the same layers as this heads file has, a control for ablate."""


def main(config: Config) -> int:
    """Write RUN/heads/NAME.json; status 2 if the heads fail the causal check."""
    from raypipe.score.heads.heads_file import check_passed

    name = f"{checked_stage(config.run.name or 'heads')}.json"
    if config.random_of is not None:
        return write_random(config, name)
    search, on_cpu = config.search, config.workers.gpus_per_worker == 0
    with life_of(config.run, "find_heads", recipe=config, stages=[]) as life:
        open_model(config.proxy.model).check()
        texts = some_texts(config.texts.to_corpus(), limit=MAX_TEXTS)
        life.begin(["heads"])
        with life.at_once():
            record = detect(config.proxy, texts, probing=search.probing, seed=config.seed, on_cpu=on_cpu)
        (life.run / "heads").write(name, json.dumps(record, indent=1).encode())
        print("\n".join(lines_of(record, where=f"{life.run.uri}/heads/{name}")))
        check_passed(record, allow_weak=search.allow_weak_heads, where=f"heads/{name}")
    return life.status


def write_random(config: Config, name: str) -> int:
    """Write RUN/heads/NAME.json with random heads, which only --allow-weak-heads lets a score be made with.

    Raises
    ------
    ValueError
        If there is no name for them, or what they are to be drawn beside isn't a heads file.
    """
    if config.run.name is None:
        raise ValueError("random heads must have a name of their own; give --name, such as random-heads.")
    with life_of(config.run, "find_heads", recipe=config, stages=[]) as life:
        record = random_heads(str(config.random_of), seed=config.seed)
        life.begin(["heads"])
        (life.run / "heads").write(name, json.dumps(record, indent=1).encode())
        print(f"{len(record['chosen'])} random heads in {life.run.uri}/heads/{name}: {record['chosen']}")
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
