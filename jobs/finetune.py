"""Finetune on answers, labels or pairs: python -m jobs.finetune --data a.jsonl --model MODEL --output RUN --steps 9."""

from dataclasses import dataclass

from raypipe.runs.life import Life
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.choices import ChoiceEvaluation
from .parts.common import life_of, run_job, stage_name
from .parts.embedding_evaluation import EmbeddingEvaluation
from .parts.embedding_training import QueryClusters, load_pairs, plan_embedding
from .parts.examples import as_examples
from .parts.finetuning import FinetuneSettings, plan_finetuning
from .parts.label_evaluation import LabelEvaluation
from .parts.training import run_training


@dataclass(frozen=True, kw_only=True)
class Config(FinetuneSettings):
    """Settings of finetune."""


def main(config: FinetuneSettings) -> int:
    """Train, or go on training; writes RUN/finetune with metrics/, checkpoints/ and model/, then RUN/report.html."""
    config.check()
    stage = stage_name("finetune", config.run)
    with life_of(config.run, "finetune", recipe=config, stages=[stage]) as life:
        folder = life.run / stage
        if config.examples.learn == "choices":
            learn_choices(config, folder, life, stage)
        elif config.examples.learn == "embedding":
            learn_embedding(config, folder, life, stage)
        else:
            learn(config, folder, life, stage)
    return life.status


def learn(config: FinetuneSettings, folder: Folder, life: Life, stage: str) -> None:
    """Train on answers or labels; a model of labels is then set beside simple rivals."""
    examples = config.examples.load(model=config.model)
    training = plan_finetuning(config, folder, examples)
    if config.examples.learn == "answers":
        run_training(config.training, training, life, stage)
        return
    measure = LabelEvaluation(config, examples, folder, life.stopping)
    run_training(config.training, training, life, stage, then=measure.finish)


def learn_choices(config: FinetuneSettings, folder: Folder, life: Life, stage: str) -> None:
    """Train on questions with choices, between the answers of the starting model and of the finetuned one."""
    choices = config.examples.load_choices(model=config.model, seed=config.training.seed)
    training = plan_finetuning(config, folder, as_examples(choices), choices)
    measure = ChoiceEvaluation(config.model, config.training, choices, folder, life.stopping)
    run_training(config.training, training, life, stage, first=measure.start, then=measure.finish)


def learn_embedding(config: FinetuneSettings, folder: Folder, life: Life, stage: str) -> None:
    """Train an encoder on pairs; it is then set beside BM25 and the model that it was."""
    pairs = load_pairs(config)
    measure = EmbeddingEvaluation(config, pairs, folder, life.stopping)
    clusters = QueryClusters(config, pairs, folder, life.stopping)
    plan = plan_embedding(config, folder, pairs)
    run_training(config.training, plan, life, stage, first=clusters.start, then=measure.finish)


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
