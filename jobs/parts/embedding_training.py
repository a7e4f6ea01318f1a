"""What `finetune --learn embedding` trains: an encoder on pairs of texts, and the folder that it is exported to."""

import sys
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from safetensors.numpy import load, save

from raypipe.contracts.rows import Pair
from raypipe.contracts.task import Task
from raypipe.corpus.sources import split_source
from raypipe.models.architecture import ARCHITECTURES
from raypipe.models.encoder import Encoder
from raypipe.models.sentence_files import written
from raypipe.models.tokenizer import open_vocabulary
from raypipe.report.escape import terminal_text
from raypipe.run.training import Training
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder
from raypipe.train.data.clustered import ClusteredOrder, clusters_of
from raypipe.train.data.loader import BatchLayout, DataLoader, ExampleLoader
from raypipe.train.data.pairs import PairSets

from .finetuning import FinetuneSettings
from .pair_vectors import vectors_by
from .pairs import QUERY, digest_of_pairs, reading_of
from .training import lineage

if TYPE_CHECKING:
    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.checkpoint import State
    from raypipe.train.tasks.contrastive import Contrastive


CLUSTERS = "clusters"
"""File of the stage, and what it holds: [sizes, n] int32."""


def load_pairs(config: FinetuneSettings) -> PairSets:
    """The pairs that a job learns and holds out."""
    examples = config.examples
    return examples.embedding.load(
        examples.data, model=config.model, length=examples.length, heldout_share=examples.heldout_share,
        domain_column=examples.columns.domain_column, where=examples.where,
    )  # fmt: skip


def plan_embedding(config: FinetuneSettings, folder: Folder, pairs: PairSets) -> Training:
    """All that workers need; whatever is wrong with the settings or the data ends here."""
    left_out = [terminal_text(line, max_chars=400) for line in pairs.left_out.lines()]
    n_train, n_heldout = len(pairs.train), len(pairs.heldout)
    said = f"{n_train:,} pairs to learn, {n_heldout:,} held out, {pairs.n_negatives} negatives each"
    print("\n".join([*left_out, said]), file=sys.stderr)
    if config.taking.take == "best" and not pairs.heldout:
        raise ValueError("--take best needs held-out pairs to choose by, got none; raise --heldout-share.")
    identity = _identity(config, pairs)
    return Training(
        folder=folder,
        make=partial(make, config, folder),
        export=partial(export, config, folder, identity),
        plan=config.training.plan(config.batches.n_steps(n_train)),
        n_sequences=config.batches.batch_examples,
        micro=config.batches.micro_batch,
        identity=identity,
        take=config.taking.take,
        best_by=config.taking.best_by,
        inputs=(*(split_source(uri)[1] for uri in config.examples.data), config.model),
        **config.training.engine_settings(),
    )


def _identity(config: FinetuneSettings, pairs: PairSets) -> dict[str, Any]:
    """What can change a weight, for the card."""
    settings, encoder = config.examples.embedding, _encoder(config)
    found: dict[str, Any] = {
        "model_sha256": encoder.model.sha256(), **reading_of(encoder), "prompts": settings.prompts(encoder),
        "examples_sha256": digest_of_pairs(pairs.train + pairs.heldout), "n_train": len(pairs.train),
        "n_negatives": pairs.n_negatives, "n_steps": config.batches.n_steps(len(pairs.train)),
        # who draws for which rows follows from these: encoders drop out as their files say
        "workers": config.training.workers, "micro_batch": config.batches.micro_batch,
    }  # fmt: skip
    return identity_of(config, **found, **identity_of(settings), **config.training.identity())


def make(
    config: FinetuneSettings, folder: Folder, workers: "Workers", layout: BatchLayout
) -> "tuple[Task[Pair], DataLoader[Pair]]":  # fmt: skip
    """The task and its rows, on a worker."""
    pairs, batching = load_pairs(config), config.examples.embedding.batching
    task, seed, order = task_of(config, n_negatives=pairs.n_negatives), config.training.seed, None
    if batching.cluster_rows > 1:
        order = ClusteredOrder(load(folder.read(CLUSTERS))[CLUSTERS], batching.cluster_epochs, seed)
    return task, ExampleLoader(pairs.train, pairs.heldout, layout, seed, task.count, order)


@dataclass(frozen=True)
class QueryClusters:
    """The clusters of a training's queries, by the model that it starts from."""

    config: FinetuneSettings
    pairs: PairSets
    folder: Folder
    """Of the stage."""
    stopping: threading.Event

    def start(self) -> None:
        """Write them, unless there are none to make or they are there: those that a training began with are kept."""
        batching = self.config.examples.embedding.batching
        if batching.cluster_rows == 1 or self.folder.exists(CLUSTERS):
            return
        queries = [one.query for one in self.pairs.train_texts]
        (X,) = vectors_by(self.config, self.config.model, {QUERY: queries}, stopping=self.stopping)
        found = clusters_of(X, batching.sizes, seed=self.config.training.seed)
        self.folder.write(CLUSTERS, save({CLUSTERS: found}))


def task_of(config: FinetuneSettings, *, n_negatives: int) -> "Contrastive":
    """The encoder under the task; the same settings give the same weights, of adapters too."""
    import torch

    from raypipe.train.tasks.contrastive import Contrastive
    from raypipe.train.tasks.text_encoder import TextEncoder

    encoder = _encoder(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        weights = encoder.weights(dtype="float32", device="cpu")
        config.training.precision.apply(weights)
        network = TextEncoder(config.lora.apply(weights), pooling=encoder.pooling, is_causal=encoder.is_causal)
    return Contrastive(network, config.examples.embedding.loss, n_negatives=n_negatives)


def _encoder(config: FinetuneSettings) -> Encoder:
    return config.examples.embedding.encoder(config.model, length=config.examples.length)


def export(
    config: FinetuneSettings, folder: Folder, identity: dict[str, Any], weights: dict[str, Any], state: "State"
) -> None:
    """The encoder as a folder that sentence-transformers and `embed_corpus` read alike, adapters merged into it."""
    from raypipe.train.weights.export import export_model, set_weights

    encoder, task = _encoder(config), task_of(config, n_negatives=identity["n_negatives"])
    set_weights(task.models.trained, weights)
    if not encoder.is_causal and encoder.model.config().model_type in ARCHITECTURES:
        task.encoder.plain.config.is_causal = False  # whoever opens it reads it both ways too
    export_model(
        task.encoder.weights,
        open_vocabulary(config.model).tokenizer,
        folder=folder / "model",
        lineage=lineage(config, identity, state, run=Folder(config.run.output)),
        title=f"{config.model}, finetuned on pairs of texts",
        beside=written(
            n_dimensions=encoder.n_dimensions, pooling=encoder.pooling, is_normalised=encoder.is_normalised,
            max_tokens=encoder.max_tokens, lowers_case=encoder.files.lowers_case, prompts=identity["prompts"],
        ),
    )  # fmt: skip
