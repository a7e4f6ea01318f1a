"""Labels from rules and words: python -m jobs.label_corpus --corpus DATA --functions FUNCTIONS.yaml --output RUN.

Every labelling function of the file votes for a class of each row or abstains: RUN/votes. A label model weighs them
without any label: RUN/labels holds the likeliest class and the probability of each. The file, with all kinds:

    classes: [ham, spam]
    functions:
      - {kind: keywords, name: asks, vote: spam, words: [subscribe, check out]}
      - {kind: regex, name: link, vote: spam, pattern: 'https?://'}
      - {kind: sql, name: short, sql: "CASE WHEN n_bytes < 20 THEN 'ham' END"}        # or vote: ham, and a condition
      - {kind: threshold, name: plain, vote: ham, column: scores.loss, at_most: 3.0}
      - {kind: model, name: classifier, column: classes.label, probability: classes.probability, at_least: 0.8}
      - {kind: similarity, name: like spam, vote: spam, phrases: [visit my channel], at_least: 0.4,
         against: [a nice song], margin: 0.05, column: embeddings.embedding, model: mini}     # after embed_corpus
      - {kind: nearest, name: by keywords, keywords: {spam: [advertisement, my channel], ham: [song, music video]},
         documents: 50, at_least: 0.5, column: embeddings.embedding, model: mini}
      - {kind: graph, name: by a graph, triples: triples.jsonl, nodes: {spam: advertising, ham: music}, own: 0.5,
         column: embeddings.embedding, model: mini}        # rows of head, relation and tail
      - {kind: prompt, name: asked, question: "Comment: {text}\nIs it an advertisement, yes or no? Answer:",
         answers: {yes: spam, no: ham}, at_least: 0.6}      # a class may be null: RUN/answers, by --model
      - {kind: learned, name: snuba 1, column: embeddings.embedding, entry: 17, above: spam, at_least: 0.11,
         below: ham, at_most: -0.02}                        # as learn_functions writes them
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from raypipe.corpus import Corpus, plan_shards
from raypipe.label.functions.cast_votes import CastVotes
from raypipe.label.functions.nearest import Nearest
from raypipe.label.functions.prompt import Prompt
from raypipe.label.functions.summary import VoteSummary
from raypipe.run.inputs import Sizes, resolve, sizes_of, stages_of
from raypipe.run.stage import Annotate
from raypipe.runs.card import Json, check_identity, read_card
from raypipe.runs.life import Life
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.asking import Asking
from .parts.classifiers import read_labels
from .parts.common import CorpusSettings, RunSettings, life_of, row_workers, run_job, stage_name, why_incomplete
from .parts.idle import refuse_idle
from .parts.label_models import LabelModelName, check_votes_of, label_model_of, said_of_labels, table_of, telling
from .parts.labelling import Functions, read_functions
from .parts.nearest import class_vectors
from .parts.placing import placed, prompts_of

ANSWERS, VOTES, COUNTS, MODEL, STAGE = "answers", "votes", "vote-counts", "label-model", "labels"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of label_corpus."""

    functions: str
    """YAML file of classes and labelling functions."""
    truth: str | None = None
    """Parquet or JSON file of rows with `id` and `label`, to judge by; nothing is learned from it."""
    label_model: LabelModelName = "moment-matching"
    """What weighs the votes."""
    uses_abstentions: bool = True
    """dawid-skene: whether silence is an answer too: functions that know one class teach nothing otherwise."""
    class_balance: tuple[float, ...] = ()
    """Share of each class, in the order of the file; none: learned by dawid-skene, else all alike."""
    shard_bytes: int = 64 << 20
    """Bytes of text a shard, where no stage is read."""
    part_rows: int = 100_000
    """Rows of a part of a compressed stream or a JSON array, where no stage is read."""
    max_workers: int | None = None
    """Processes that vote and label; None: as many as fill the machines."""
    asking: Asking = Asking()


def main(config: Config) -> int:
    """Vote and label what isn't voted on yet; status 1 if a shard had to be set aside."""
    asked = read_functions(config.functions)
    truth = _numbered(read_labels(config.truth), asked.classes) if config.truth else {}
    if config.label_model != "dawid-skene":
        refuse_idle(config, ["uses_abstentions"], because=f"with --label-model {config.label_model}")
    prompts = prompts_of(asked)
    if not prompts:
        refuse_idle(config.asking, because="without a function of kind prompt")
    answers, votes, labels = (stage_name(one, config) for one in (ANSWERS, VOTES, STAGE))
    own = [*([answers] if prompts else []), votes, labels]
    with life_of(config, "label_corpus", stages=own, has_shards=True) as life:
        reads = CastVotes(tuple(one for one in asked.functions if one not in prompts), asked.classes).reads
        stages = stages_of([name for name in reads if "." in name])
        resolve(life.run, reads, stages=stages)  # wrong names end here, before any worker
        if stages:
            refuse_idle(config, ["shard_bytes", "part_rows"], because="beside a stage, which is cut already")
        sizes = sizes_of(life.run, stages[0]) if stages else Sizes(config.shard_bytes, config.part_rows)
        corpus = config.to_corpus()
        plan_shards(corpus, **asdict(sizes))
        asked = placed(asked, life.run, answers=answers)
        if prompts:
            card = _ask(config, life, prompts, corpus, sizes, answers)
            if why := why_incomplete(card):
                life.conclude(why)
                return life.status
            stages = (*stages, answers)
        life.begin()
        asked = _with_documents(config, life, asked, corpus, sizes)
        annotate = Annotate(
            life.run, votes, CastVotes(asked.functions, asked.classes), corpus, row_workers(config.max_workers), sizes,
            _identity(asked, corpus, sizes), stopping=life.stopping, is_owner=life.is_owner,
            retry_failed=config.retry == "failed", stages=stages, redo=True,
        )  # fmt: skip
        card = annotate()
        if card["status"] == "finished":
            card = _label(config, life, asked, truth, annotate)
        life.conclude(why_incomplete(card))
    return life.status


def _ask(config: Config, life: Life, prompts: Sequence[Prompt], corpus: Corpus, sizes: Sizes, stage: str) -> Json:
    """Let the language model answer the questions of prompts: RUN/answers, whose card this is."""
    wanted = config.asking.wanted(config.max_workers)
    card = None if life.is_restarting(stage) else read_card(life.run / stage)
    made_with = (card or {}).get("identity", {})
    op = config.asking.op(prompts, have_gpus=wanted.have_gpus, made_with=made_with)
    op.check()
    identity = identity_of(op, corpus, sizes, op="ask", op_version=op.version)
    if card is not None:
        check_identity(stage, card, identity)
    wanted.check_here()
    life.begin()
    return Annotate(
        life.run, stage, op, corpus, wanted, sizes, identity, stopping=life.stopping, is_owner=life.is_owner,
        retry_failed=config.retry == "failed",
    )()  # fmt: skip


def _with_documents(config: Config, life: Life, asked: Functions, corpus: Corpus, sizes: Sizes) -> Functions:
    """Functions of kind nearest with their label vectors, from the documents nearest to their keywords: RUN/nearest."""
    found = list(asked.functions)
    for number, function in enumerate(found):
        if isinstance(function, Nearest):
            stage = stage_name(f"nearest-{number}", config)
            labels, lines = class_vectors(function, life, stage, corpus, sizes)
            print("\n".join(lines))
            found[number] = function.placed(labels)
    return replace(asked, functions=tuple(found))


def _label(config: Config, life: Life, asked: Functions, truth: Mapping[str, int], voted: Annotate) -> Json:
    """Gather the votes, say what the functions do, fit the label model, and label every row."""
    from raypipe.label.labels import LabelRows
    from raypipe.models.fitted import save_fitted
    from raypipe.run.gather import GatherStage  # loads Ray

    summary = VoteSummary(voted.stage, asked.names, truth)
    digest = sha256(json.dumps(sorted(truth.items())).encode()).hexdigest()
    found = GatherStage(
        life.run, stage_name(COUNTS, config), summary, voted.corpus, voted.sizes, (voted.stage,),
        identity_of(voted.corpus, voted.sizes, truth_sha256=digest), life.stopping, life.is_owner,
    )()  # fmt: skip
    print("\n".join(table_of(found.result(), asked.classes)))
    kept = telling(found.votes)
    check_votes_of(found.votes, asked.classes, kept, config.label_model)
    kind = label_model_of(config.label_model)
    more = {"uses_abstentions": config.uses_abstentions} if config.label_model == "dawid-skene" else {}
    made = kind(n_classes=len(asked.classes), class_balance=config.class_balance or None, **more)
    model = made.fit_counts(found.votes.of_functions(kept))
    folder = Folder(f"{life.run.uri}/{stage_name(MODEL, config)}")
    save_fitted(model, folder)
    op = LabelRows(kind, folder, f"{voted.stage}.votes", asked.classes, kept)
    card = replace(
        voted, stage=stage_name(STAGE, config), op=op, stages=(voted.stage,),
        identity=identity_of(voted.corpus, voted.sizes, **op.identity()),
    )()  # fmt: skip
    print("\n".join(said_of_labels(model, config.label_model, found, kept, asked.classes)))
    return card


def _identity(asked: Functions, corpus: Corpus, sizes: Sizes) -> Json:
    """The classes, every function with its settings in order, and how the corpus is read."""
    functions = [[type(one).__name__, identity_of(one)] for one in asked.functions]
    own = {"classes": list(asked.classes), "functions": functions, "op_version": CastVotes.version}
    return identity_of(corpus, sizes, **own)


def _numbered(labels: Mapping[str, str], classes: tuple[str, ...]) -> dict[str, int]:
    """The number of each id's class.

    Raises
    ------
    ValueError
        If a label is none of the classes.
    """
    if unknown := sorted(set(labels.values()) - set(classes)):
        raise ValueError(f"labels of --truth must be among the classes {list(classes)}, got {unknown[0]!r}.")
    return {name: classes.index(label) for name, label in labels.items()}


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
