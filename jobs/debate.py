"""Debates about rows, for weak-to-strong learning: python -m jobs.debate --data rows.parquet --output RUN."""

from dataclasses import dataclass

from raypipe.runs import card as cards
from raypipe.runs.stage import at_work

from .parts import settings
from .parts.common import life_of, run_job, stage_name
from .parts.debates import DebateSettings, check, debated, hold, identity_of

STAGE = "debate"


@dataclass(frozen=True, kw_only=True)
class Config(DebateSettings):
    """Settings of debate."""


def main(config: Config) -> int:
    """Hold the debates that aren't there yet, about all rows but the test's; writes RUN/debate/seed-*/*.parquet."""
    stage = stage_name(STAGE, config)
    with life_of(config, "debate", stages=[stage]) as life:
        check(config)
        rows, folder = debated(config), life.run / stage
        identity, card = identity_of(config, rows), None if life.is_restarting(stage) else cards.read_card(folder)
        cards.check_identity(stage, card, identity)
        life.begin()
        card = card or {"stage": stage, "kind": "debate", "identity": identity}
        with at_work(folder, card | {"versions": cards.versions()}) as own:
            hold(config, rows, folder, life.stopping)
            own["counts"] = {"rows": len(rows.rows), "transcripts": config.transcripts * len(rows.rows)}
        print(f"{len(rows.rows):,} rows, {config.transcripts} debates each: {folder.uri}")
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
