"""The scorer tried on documents of the corpus that were made to be told apart, once a run."""

from raypipe.corpus import Corpus
from raypipe.run.one_task import on_a_worker
from raypipe.runs.card import Json, read_card
from raypipe.score.heads.controls import CHARACTERS, run_controls
from raypipe.storage.folder import Folder

from .heads import MAX_TEXTS, some_texts
from .scoring import ScoreSettings


def try_controls(scoring: ScoreSettings, corpus: Corpus, stage: Folder, *, n: int, seed: int) -> list[Json]:
    """The controls on `n` documents, with the heads that the stage of scores was made with; none without influence."""
    if not n or "influence" not in scoring.scorers.scorer:
        return []
    texts = [text for text in some_texts(corpus, limit=MAX_TEXTS) if len(text) >= CHARACTERS]
    chosen = texts[:: max(1, len(texts) // n)][:n]
    if not chosen:
        return []
    wanted, identity = scoring.wanted(), (read_card(stage) or {}).get("identity", {})
    heads = tuple((layer, head) for layer, head in identity.get("heads", []))
    op = scoring.proxy.op(scoring.scorers.statistics(), heads, have_gpus=wanted.have_gpus, made_with=identity)
    return on_a_worker(wanted.pool, run_controls, op, chosen, wanted.pool.n_threads, seed)
