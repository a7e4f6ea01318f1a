"""Find hard negatives for pairs: python -m jobs.mine_negatives --data FOLDER --split train --output RUN.

Ranks by BM25 and vectors, scores by a reranker or by cosines; RUN/negatives/pairs.jsonl is what finetune --learn
embedding reads.
"""

import json
from dataclasses import dataclass

from raypipe.runs import card as cards
from raypipe.runs.stage import at_work

from .parts import settings
from .parts.common import RunSettings, life_of, run_job, stage_name
from .parts.retrieval.mining import MiningSettings

STAGE, PAIRS, COUNTS = "negatives", "pairs.jsonl", "mined.json"


@dataclass(frozen=True, kw_only=True)
class Config(MiningSettings):
    """Settings of mine_negatives."""

    run: RunSettings


def main(config: Config) -> int:
    """Rank, score, draw; what is there already stays."""
    from .parts.retrieval.mining import identity_of_mining, mined_pairs
    from .parts.retrieval.rank import RankingFiles, opened

    config.check()
    stage = stage_name(STAGE, config.run)
    with life_of(config.run, "mine_negatives", recipe=config, stages=[stage]) as life:
        folder, asked, teacher = life.run / stage, opened(config.retrieval()), config.teacher()
        identity = identity_of_mining(config, asked, teacher)
        card = None if life.is_restarting(stage) else cards.read_card(folder)
        cards.check_identity(stage, card, identity)
        life.begin()
        card = (card or {"stage": stage, "kind": "rows"}) | {"identity": identity, "versions": cards.versions()}
        with at_work(folder, card) as own:
            if not (folder.exists(PAIRS) and folder.exists(COUNTS)):
                rows, counts = mined_pairs(config, RankingFiles(asked, folder, life.stopping), teacher)
                folder.write(PAIRS, rows)
                folder.write(COUNTS, json.dumps(counts, indent=1).encode())
            own["counts"] = json.loads(folder.read(COUNTS))
        print(said(own["counts"], f"{folder.uri}/{PAIRS}"))
    return life.status


def said(counts: cards.Json, where: str) -> str:
    """For a terminal."""
    dropped = [f"dropped: {n:,} x {reason}" for reason, n in counts["dropped"].items()]
    return "\n".join([f"{counts['kept']:,} of {counts['pairs']:,} pairs have negatives: {where}", *dropped])


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
