"""Debates about rows, for weak-to-strong learning: python -m jobs.debate --data rows.parquet --output RUN."""

from dataclasses import dataclass

from raypipe.runs import card as cards
from raypipe.runs.stage import at_work

from .parts import settings
from .parts.common import life_of, run_job, stage_name
from .parts.debates import DebateSettings, debated, hold

STAGE = "debate"


@dataclass(frozen=True, kw_only=True)
class Config(DebateSettings):
    """Settings of debate."""


def main(config: Config) -> int:
    """Hold the debates that aren't there yet, about all rows but the test's; writes RUN/debate/seed-*/*.parquet."""
    stage, transcripts = stage_name(STAGE, config.run), config.holding.transcripts
    with life_of(config.run, "debate", recipe=config, stages=[stage]) as life:
        config.check()
        rows, folder = debated(config.rows), life.run / stage
        identity, card = config.identity(rows), None if life.is_restarting(stage) else cards.read_card(folder)
        cards.check_identity(stage, card, identity)
        life.begin()
        card = card or {"stage": stage, "kind": "debate", "identity": identity}
        with at_work(folder, card | {"versions": cards.versions()}) as own:
            hold(config, rows, folder, life.stopping)
            own["counts"] = {"rows": len(rows.rows), "transcripts": transcripts * len(rows.rows)}
        print(f"{len(rows.rows):,} rows, {transcripts} debates each: {folder.uri}")
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
