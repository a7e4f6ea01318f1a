"""Quantiles of columns of a whole run: python -m jobs.gather --corpus DATA --output RUN --columns scores.loss.

They are folded on workers, part by part, and stand in the card of RUN/quantiles; no model is run.
"""

from dataclasses import asdict, dataclass
from typing import Any

from raypipe.report.escape import terminal_text
from raypipe.run.inputs import resolve, sizes_of, stages_of
from raypipe.select.quantiles import FRACTIONS, ColumnQuantiles

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name

STAGE = "quantiles"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of gather."""

    columns: tuple[str, ...]
    """Columns of numbers, STAGE.COLUMN each: scores.loss. Repeatable."""
    fractions: tuple[float, ...] = FRACTIONS
    """Of the rows, at or below each quantile."""


def main(config: Config) -> int:
    """Gather, unless what is read is as it was; prints a line a column."""
    stage = stage_name(STAGE, config)
    with life_of(config, "gather", stages=[stage]) as life:
        gather, stages = ColumnQuantiles(config.columns, config.fractions), stages_of(config.columns)
        resolve(life.run, gather.reads, stages=stages)  # wrong names end here, before any worker
        corpus, sizes = config.to_corpus(), sizes_of(life.run, stages[0])
        life.begin()
        from raypipe.run.gather import GatherStage  # loads Ray

        columns = {name: value for name, value in asdict(corpus).items() if name != "sources"}
        found = GatherStage(
            life.run, stage, gather, corpus, sizes, stages, columns | asdict(sizes), life.stopping, life.is_owner
        )()
        print("\n".join(lines(found.result())))
        life.conclude()
    return life.status


def lines(result: dict[str, Any]) -> list[str]:
    """The quantiles for a terminal: a line a column, and how many rows they are of."""
    return [
        f"{terminal_text(name, max_chars=40)}: {of['n']:,} rows, {of['null']:,} null, {of['not_finite']:,} not finite; "
        + ", ".join(f"{100 * float(at):g} % {_number(value)}" for at, value in of["quantiles"].items())
        for name, of in result.items()
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
