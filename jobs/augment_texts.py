"""New labelled texts from few: python -m jobs.augment_texts --rows LABELLED.jsonl --model LM --output RUN.

A language model is adapted to the texts of each class and writes new ones. Copies go, and what is farther from its
class than a tenth of the class's own texts are (--quantile), or than a bound that you set after reading the sorted
texts (--bound CLASS=COSINE). RUN/augmented/augmented.jsonl has the rows that are kept, each with what it was made by
and from, and the row that it is nearest to; left_out.jsonl the others, with the reason. Learn from them beside your
own rows, and judge on rows that were not given here: the generator has read all of these.
"""

import json
from dataclasses import dataclass, field

from raypipe.report import write_report
from raypipe.runs import card as cards
from raypipe.runs.stage import at_work
from raypipe.settings.identity import RUNNING, identity_of

from .parts import augmenting, settings
from .parts.augmented_rows import FIGURES, ROWS, LabelledTexts, figures_of, read_own, table_of, written
from .parts.augmenting import Generating, Sifting
from .parts.common import RunSettings, life_of, run_job, stage_name

GENERATED, STAGE = "generated", "augmented"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of augment_texts."""

    texts: LabelledTexts
    generating: Generating = Generating()
    sifting: Sifting = Sifting()
    run: RunSettings = field(metadata=RUNNING)


def main(config: Config) -> int:
    """Generate what isn't there yet, a file a class; then sift it anew, which runs no language model."""
    drafted, stage = stage_name(GENERATED, config.run), stage_name(STAGE, config.run)
    with life_of(config.run, "augment_texts", recipe=config, stages=[drafted, stage]) as life:
        config.generating.check()
        config.sifting.keeping.check()
        rows = read_own(config.texts)
        bounds = config.sifting.bounds(rows.labels)
        folder, identity = life.run / drafted, config.generating.identity(rows)
        card = None if life.is_restarting(drafted) else cards.read_card(folder)
        cards.check_identity(drafted, card, identity)
        life.begin()
        card = (card or {"stage": drafted, "kind": "rows"}) | {"identity": identity, "versions": cards.versions()}
        with at_work(folder, card) as own:
            drafts = augmenting.generated(rows, config.generating, folder, life.stopping)
            own["counts"] = {"rows": sum(map(len, drafts.values())), "classes": len(drafts)}
        identity = identity_of(config.sifting, generated=cards.identity_hash(identity))
        with at_work(life.run / stage, {"stage": stage, "kind": "rows", "identity": identity}) as own, life.at_once():
            made = augmenting.kept_of(rows, drafts, config.generating, config.sifting)
            figures = figures_of(made, rows, quantile=config.sifting.keeping.quantile, set_by_hand=sorted(bounds))
            written(made, rows, config.texts, life.run / stage)
            (life.run / stage).write(FIGURES, json.dumps(figures, indent=1).encode())
            own["counts"] = {"rows": figures["kept"], "generated": figures["generated"], "classes": figures["classes"]}
        print("\n".join(table_of(figures)))
        print(f"Rows: {(life.run / stage).uri.removeprefix('file://')}/{ROWS}")
        life.conclude()
        print(f"Report: {write_report(life.run).removeprefix('file://')}")
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
