"""What pretraining is made of: the model it starts from, the tokens that it reads, how they are dealt into steps."""

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Task
from raypipe.models.architecture import check_architecture
from raypipe.models.causal import open_model
from raypipe.models.presets import Initialisation, check_vocabulary, config_of, new_model
from raypipe.models.tokenizer import Vocabulary, open_vocabulary
from raypipe.run.training import Training
from raypipe.runs import card as cards
from raypipe.runs.names import nearest
from raypipe.settings.identity import BY_CONTENT, RUNNING, identity_of
from raypipe.storage.folder import Folder
from raypipe.train.data.index import Mix, every_row_once, read_listing, read_mix
from raypipe.train.data.loader import BatchLayout, DataLoader, sequences_of
from raypipe.train.data.order import DataOrder
from raypipe.train.data.token_loader import TokenLoader

from .common import RunSettings
from .idle import refuse_idle
from .learning import Learning, finish_pruning
from .training import TrainSettings, lineage

if TYPE_CHECKING:
    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.checkpoint import State


@dataclass(frozen=True, kw_only=True)
class Start:
    """The model that training starts from."""

    shape: str = field(default="tiny", metadata=BY_CONTENT)
    """Model from scratch: tiny, 4m, 135m, 360m, 1b, 1.7b, 8b, or a .json configuration of transformers."""
    initialisation: Initialisation = field(default="normal", metadata=BY_CONTENT)
    """Of a model from scratch."""
    model: str | None = field(default=None, metadata=BY_CONTENT)
    """Go on from weights instead: folder, org/name[@revision], GGUF file, or `sample`."""

    @property
    def name(self) -> str:
        """What it is called in the export."""
        return self.model or self.shape

    def identity(self) -> str:
        """What tells these weights from others."""
        return open_model(self.model).sha256() if self.model else self.initialisation

    def config(self, vocabulary: Vocabulary, *, length: int) -> Any:
        """The model's transformers configuration.

        Raises
        ------
        ValueError
            If it can't be read, or doesn't fit the tokenizer or the length.
        """
        if self.model is None:
            found = config_of(self.shape, vocabulary_size=vocabulary.size, length=length, end=vocabulary.end)
        else:
            model = open_model(self.model)
            model.check()
            found = model.config()
            check_vocabulary(found, vocabulary.size, where=self.model)
        check_architecture(found, max_tokens=length, setting="length")
        return found

    def build(self, vocabulary: Vocabulary, *, length: int, seed: int) -> Any:
        """The model itself; the same seed gives the same new weights."""
        if self.model is not None:
            return open_model(self.model).weights(dtype="float32", device="cpu")
        return new_model(self.config(vocabulary, length=length), seed=seed, initialisation=self.initialisation)


@dataclass(frozen=True, kw_only=True)
class TokenSource:
    """The tokens that are trained on."""

    tokenizer: str = field(default="sample", metadata=BY_CONTENT)
    """The one that tokens/ was made with."""
    tokens: str = field(default="tokens", metadata=BY_CONTENT)
    """Stage with the tokens."""
    selection: str = field(default="selection", metadata=BY_CONTENT)
    """Stage with the weights, such as selection-random for a control; `none`: every row once."""
    read_from: str | None = field(default=None, metadata=BY_CONTENT)
    """Run folder that holds both; None: --output."""

    def within(self, run: Folder) -> Folder:
        """The run that holds both."""
        return Folder(self.read_from) if self.read_from else run

    def stages(self, run: Folder) -> dict[str, Folder]:
        """The folders of tokens and selection."""
        source = self.within(run)
        found = {"tokens": source / self.tokens}
        return found if self.selection == "none" else found | {"selection": source / self.selection}

    def mix(self, run: Folder) -> Mix:
        """The tokens of the run and how often each document is to be seen."""
        source = self.within(run)
        listing = read_listing(source / self.tokens)
        if self.selection == "none":
            return every_row_once(listing)
        cards.finished_card(source, self.selection)
        return read_mix(listing, source / self.selection)

    def check(self, run: Folder, vocabulary: Vocabulary) -> None:
        """Refuse tokens that aren't there, aren't whole, or were made by another tokenizer.

        Raises
        ------
        ValueError
            With what to do.
        """
        source = self.within(run)
        card, where = cards.read_card(source / self.tokens), f"{source.uri}/{self.tokens}"
        if card is None or card["status"] != "finished":
            near = f"isn't there ({nearest(self.tokens, cards.stages_of(source))})"
            what = near if card is None else f"is {card['status']!r}"
            raise ValueError(f"{where} {what}; finish it first with: python -m jobs.tokenize_corpus")
        made_by = card["identity"]["tokenizer_sha256"]
        if made_by != vocabulary.sha256:
            raise ValueError(
                f"--tokenizer must be the one that {where} was made with ({made_by[:12]}..., "
                f"{card['identity']['vocabulary_size']:,} ids), got {self.tokenizer!r} ({vocabulary.sha256[:12]}..., "
                f"{vocabulary.size:,} ids)."
            )


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """How tokens are dealt into steps, and how many."""

    length: int = 1024
    """Tokens of a sequence."""
    batch_tokens: int = 65_536
    """Tokens of a step, all workers together."""
    micro_batch: int = field(default=1, metadata=RUNNING)
    """Sequences that go through the model together; accumulation follows from it."""
    train_tokens: int | None = field(default=None, metadata=BY_CONTENT)
    """Train on so many tokens; or give --steps."""
    steps: int | None = field(default=None, metadata=BY_CONTENT)
    """Train for so many steps."""
    window_tokens: int = 1 << 25
    """Documents are permuted inside windows of so many tokens, which each worker holds in memory twice."""
    heldout_documents: int = field(default=64, metadata=RUNNING)
    """Held-out documents that the loss is measured on, at most; the same ones whatever the seed and the selection."""

    @property
    def n_steps(self) -> int:
        """Steps, from either way of giving them.

        Raises
        ------
        ValueError
            If both or neither is given, or it isn't positive.
        """
        if (self.steps is None) == (self.train_tokens is None):
            raise ValueError("give either --steps or --train-tokens.")
        steps = self.steps if self.steps is not None else -(-(self.train_tokens or 0) // self.batch_tokens)
        if steps < 1:
            raise ValueError(f"training must have at least 1 step, got {steps}.")
        return steps

    def n_sequences(self, *, workers: int) -> int:
        """Sequences of a step."""
        return sequences_of(self.batch_tokens, self.length, unit=workers * self.micro_batch)

    def order(self, mix: Mix, *, seed: int) -> DataOrder:
        """What is seen, and when.

        Raises
        ------
        ValueError
            If the mix is empty.
        """
        return DataOrder(mix, seed=seed, length=self.length, window_tokens=self.window_tokens)


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """Settings of pretrain."""

    start: Start = Start()
    source: TokenSource = TokenSource()
    sequences: Sequences = Sequences()
    training: TrainSettings = TrainSettings()
    learning: Learning = Learning()
    run: RunSettings

    def check(self) -> None:
        """Refuse settings that do nothing beside the others or don't fit each other.

        Raises
        ------
        ValueError
            With their names.
        """
        if self.start.model is not None:
            refuse_idle(self.start, ["shape", "initialisation"], because="with --model")
        self.training.check()
        _ = self.sequences.n_steps
        self.sequences.n_sequences(workers=self.training.workers)
        vocabulary = open_vocabulary(self.source.tokenizer)
        found = self.start.config(vocabulary, length=self.sequences.length)
        n_outputs, n_inputs = int(found.vocab_size), int(found.hidden_size)
        self.learning.check(self.training, n_outputs=n_outputs, n_inputs=n_inputs, vocabulary=vocabulary)


def plan_pretraining(config: PretrainSettings, folder: Folder) -> Training:
    """All that workers need; whatever is wrong with the settings or the data ends here, before one starts."""
    source, sequences, training = config.source, config.sequences, config.training
    run, vocabulary = Folder(config.run.output), open_vocabulary(source.tokenizer)
    source.check(run, vocabulary)
    mix = source.mix(run)
    sequences.order(mix, seed=training.seed)  # refuses an empty one
    identity = identity_of(
        config.start, source, sequences, config.learning,
        mix_sha256=mix.sha256,
        tokenizer_sha256=vocabulary.sha256,
        model=_shape(config.start.config(vocabulary, length=sequences.length)),
        start=config.start.identity(),
        n_steps=sequences.n_steps,
        **training.identity(),
        **config.learning.identity(),
    )  # fmt: skip
    return Training(
        folder=folder,
        make=partial(make, config),
        export=partial(export, config, folder, identity),
        plan=training.plan(sequences.n_steps),
        n_sequences=sequences.n_sequences(workers=training.workers),
        micro=sequences.micro_batch,
        identity=identity,
        inputs=(
            config.start.name,
            source.tokenizer,
            *([source.read_from] if source.read_from else []),
            *config.learning.inputs,
        ),
        **training.engine_settings(),
    )


def _shape(of_model: Any) -> dict[str, Any]:
    """What of a transformers configuration can change a weight."""
    named = {name: value for name, value in of_model.to_dict().items()
             if name not in ("transformers_version", "_name_or_path")}  # fmt: skip
    return dict(json.loads(json.dumps(named, default=str)))


def make(
    config: PretrainSettings, workers: "Workers", layout: BatchLayout
) -> "tuple[Task[Document], DataLoader[Document]]":
    """The task and its rows, on a worker."""
    run, training = Folder(config.run.output), config.training
    order = config.sequences.order(config.source.mix(run), seed=training.seed)
    tokens, n_heldout = config.source.stages(run)["tokens"], config.sequences.heldout_documents
    loader, n_steps = TokenLoader(tokens, order, layout, heldout_sequences=n_heldout), config.sequences.n_steps
    task = task_of(config)
    return config.learning.pruned(task, loader, workers, n_steps=n_steps, seed=training.seed), loader


def task_of(config: PretrainSettings) -> "Task[Document]":
    """The task before it is pruned; the same settings give the same weights."""
    training, length = config.training, config.sequences.length
    causal = config.start.build(open_vocabulary(config.source.tokenizer), length=length, seed=training.seed)
    training.precision.apply(causal)
    return config.learning.next_token(causal, training, length=length, n_steps=config.sequences.n_steps)


def export(
    config: PretrainSettings, folder: Folder, identity: dict[str, Any], weights: dict[str, Any], state: "State"
) -> None:
    """The trained model as a transformers folder."""
    from raypipe.train.tasks.factored_next_token import FactoredNextToken
    from raypipe.train.weights.export import export_model, of_task, set_weights

    vocabulary, run = open_vocabulary(config.source.tokenizer), Folder(config.run.output)
    task = task_of(config)
    set_weights(task.models.trained, weights)
    if isinstance(task, FactoredNextToken):
        task.load_state(of_task(weights))
        task.with_layer()
    trained: Any = task.models.trained
    model = trained.causal
    whence = lineage(config, identity, state, run=run, read=config.source.stages(run))
    export_model(
        model,
        vocabulary.tokenizer,
        folder=folder / "model",
        lineage=whence | finish_pruning(config.learning, model),
        title=f"{config.start.name} on {config.source.selection}",
    )
