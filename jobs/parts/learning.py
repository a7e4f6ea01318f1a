"""How a language model learns beside the ordinary: under another loss, with fewer weights, from a teacher.

What is given here is part of a training's identity; where nothing is, identity is what it was before there was this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from raypipe.losses.z_loss import ZLoss
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import Vocabulary, open_vocabulary
from raypipe.settings.identity import BY_CONTENT, counts_as
from raypipe.settings.nested import flat, settings_of
from raypipe.train.tasks.teaching import Teaching
from raypipe.train.weights.pruning import PRUNING, Pruning

from .idle import names_of, refuse_idle
from .training import TrainSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from raypipe.contracts.rows import Document
    from raypipe.contracts.task import Task
    from raypipe.train.data.loader import DataLoader
    from raypipe.train.engines.workers import Workers

CROSS_ENTROPY = "cross-entropy"
BYTES_OF_WEIGHT = 4


def _of_layer(layer: "OutputLayer") -> Mapping[str, Any]:
    if layer.output_loss == CROSS_ENTROPY:
        return {}
    known = {"output_loss": layer.output_loss, "z_a": layer.z.z_a, "z_b": layer.z.z_b}
    return known if layer.output_loss == "z-loss" else known | {"output_learning_rate": layer.output_learning_rate}


@dataclass(frozen=True)
class OutputLayer:
    """The loss at the output layer, and how that learns."""

    output_loss: Literal["cross-entropy", "z-loss", "factored"] = "cross-entropy"
    """z-loss: how far the target's output stands above the mean of all. factored: the same, and the layer learns by
    exact gradient descent at a cost that is free of the vocabulary. Outputs are then no probabilities."""
    z: ZLoss = ZLoss()
    output_learning_rate: float = 1.0
    """Peak, of the factored layer."""

    def check(self, n_outputs: int) -> None:
        """Refuse what does nothing, and what the outputs don't allow.

        Raises
        ------
        ValueError
            With the setting.
        """
        if self.output_loss != "factored":
            refuse_idle(self, ["output_learning_rate"], because="without --output-loss factored")
        if self.output_loss == CROSS_ENTROPY:
            refuse_idle(self.z, because="without --output-loss z-loss or factored")
            return
        if not self.output_learning_rate > 0:
            raise ValueError(f"output_learning_rate must be above 0, got {self.output_learning_rate}.")
        self.z.check(n_outputs)

    def check_memory(self, n_outputs: int, n_inputs: int) -> None:
        """Refuse a factored layer that this machine can't hold: the model's own weights, V, and what is made of it.

        Raises
        ------
        ValueError
            With both sizes.
        """
        import psutil

        needed, there = 3 * BYTES_OF_WEIGHT * n_outputs * n_inputs, psutil.virtual_memory().available
        if self.output_loss == "factored" and needed > there:
            raise ValueError(
                f"a factored layer of {n_outputs:,} x {n_inputs:,} weights needs {needed / 1e9:,.1f} GB with its "
                f"copies, there are {there / 1e9:,.1f}; take fewer tokens into the vocabulary, or a smaller model."
            )


@dataclass(frozen=True, kw_only=True)
class Distilling:
    """A teacher, and how much it has to say."""

    teacher: str | None = field(default=None, metadata=BY_CONTENT)
    """Model that is learnt from, of the same tokenizer: folder, org/name[@revision], GGUF file, or `sample`."""
    teaching: Teaching = field(default=Teaching(), metadata=BY_CONTENT)

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse a teacher of another vocabulary, and settings that do nothing without one.

        Raises
        ------
        ValueError
            With both vocabularies.
        """
        if self.teacher is None:
            refuse_idle(self.teaching, because="without --teacher")
            return
        model = open_model(self.teacher)
        model.check()
        own = open_vocabulary(self.teacher)
        if own.sha256 != vocabulary.sha256:
            raise ValueError(
                f"--teacher must have its student's vocabulary ({vocabulary.size:,} ids, {vocabulary.sha256[:12]}...), "
                f"got {self.teacher!r} ({own.size:,} ids, {own.sha256[:12]}...)."
            )

    def identity(self) -> dict[str, Any]:
        """What tells this teaching from others; nothing without a teacher."""
        if self.teacher is None:
            return {}
        return {"teacher_sha256": open_model(self.teacher).sha256(), **vars(self.teaching)}


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How a model learns, beside the ordinary."""

    layer: OutputLayer = field(default=OutputLayer(), metadata=counts_as(_of_layer))
    pruning: Pruning = field(default=Pruning(), metadata=PRUNING)
    distilling: Distilling = field(default=Distilling(), metadata=BY_CONTENT)  # see `identity`

    def check(self, training: TrainSettings, *, n_outputs: int, n_inputs: int, vocabulary: Vocabulary) -> None:
        """Refuse settings that do nothing, don't go together, or lead to nothing.

        Raises
        ------
        ValueError
            With their names.
        """
        self.layer.check(n_outputs)
        self.layer.check_memory(n_outputs, n_inputs)
        self.distilling.check(vocabulary)
        pruning = self.pruning
        idle = [name for name in names_of(Pruning) if name not in ("prune", *pruning.used)]
        refuse_idle(pruning, idle, because=f"with --prune {pruning.prune}")
        if pruning.prune == "none":
            pass
        elif training.optimiser.optimiser != "adamw":
            raise ValueError("--prune needs --optimiser adamw: a step of muon changes masked weights too.")
        elif (pruning.prune == "ticket") != (pruning.ticket is not None):
            raise ValueError("--prune ticket needs --ticket MODEL, the model whose smallest weights are left out.")
        if self.distilling.teacher is not None and self.layer.output_loss != CROSS_ENTROPY:
            raise ValueError(
                f"--teacher needs --output-loss {CROSS_ENTROPY}: other losses' outputs aren't likelihoods."
            )
        if self.layer.output_loss == "factored" and pruning.prune in ("snip", "grasp"):
            raise ValueError(
                f"--prune {pruning.prune} needs a loss of single rows; with factored take magnitude or gmp."
            )

    def identity(self) -> dict[str, Any]:
        """What the contents of models that are named here add to a card."""
        found = self.distilling.identity()
        return (
            found
            if self.pruning.ticket is None
            else found | {"ticket_sha256": open_model(self.pruning.ticket).sha256()}
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Models that every worker opens."""
        return tuple(name for name in (self.distilling.teacher, self.pruning.ticket) if name is not None)

    def next_token(self, causal: Any, training: TrainSettings, *, length: int, n_steps: int) -> "Task[Document]":
        """The task of predicting the next token under these settings."""
        from raypipe.train.tasks.distilled_next_token import DistilledNextToken
        from raypipe.train.tasks.factored_next_token import FactoredNextToken
        from raypipe.train.tasks.next_token import NextToken

        if self.layer.output_loss == "factored":
            rate, schedule = self.layer.output_learning_rate, training.schedule
            return FactoredNextToken(
                causal, self.layer.z, length=length, learning_rate=lambda step: rate * schedule.factor(step, n_steps)
            )
        if self.distilling.teacher is not None:
            teacher = open_model(self.distilling.teacher).weights(dtype="float32", device="cpu")
            return DistilledNextToken(causal, teacher, self.distilling.teaching)
        return NextToken(causal, self.z_loss)

    @property
    def z_loss(self) -> ZLoss | None:
        """The Z-loss over all outputs, if that is what is minimised."""
        return self.layer.z if self.layer.output_loss == "z-loss" else None

    def pruned(
        self, task: "Task[Document]", loader: "DataLoader[Document]", workers: "Workers", *, n_steps: int, seed: int
    ) -> "Task[Document]":
        """The task with its first mask, by the first step's rows where gradients decide."""
        pruning = self.pruning
        if pruning.prune == "none":
            return task
        from raypipe.train.engines.handles import trained_weights
        from raypipe.train.tasks.pruned import Pruned, saliency
        from raypipe.train.weights.pruning import Pruner, matrices_of

        scores, pruner = None, Pruner(pruning, n_steps=n_steps, seed=seed)
        if pruning.prune in ("snip", "grasp"):
            passes = loader.batch(0).micro
            scores = saliency(task, passes, workers, is_second_order=pruning.prune == "grasp")
        if pruning.ticket is not None:
            scores = _magnitudes(pruning.ticket, task)
        pruner.begin({n: of.detach() for n, of in matrices_of(trained_weights(task.models.trained)).items()}, scores)
        return Pruned(task, pruner)


def flat_settings(config: "DataclassInstance") -> dict[str, Any]:
    """Every setting of a job by its name, but for those of `Learning` at their defaults.

    They came later than others: trials of before stay what they are.
    """
    known = settings_of(Learning)
    return {name: value for name, value in flat(config).items() if name not in known or value != known[name].default}


def _magnitudes(ticket: str, task: "Task[Document]") -> dict[str, Any]:
    """How large a trained model's weights are, by the names of the task's.

    Raises
    ------
    ValueError
        If it is of another shape.
    """
    from raypipe.train.engines.handles import trained_weights
    from raypipe.train.weights.pruning import matrices_of

    own = matrices_of(trained_weights(task.models.trained))
    there = open_model(ticket).weights(dtype="float32", device="cpu").state_dict()
    found = {name: there.get(name.partition(".")[2]) for name in own}
    if wrong := [name for name, weight in found.items() if weight is None or weight.shape != own[name].shape]:
        raise ValueError(f"--ticket must be of the shape that is trained, got {ticket!r} without its {wrong[0]}.")
    return {name: weight.abs() for name, weight in found.items() if weight is not None}


def finish_pruning(learning: Learning, model: Any) -> dict[str, Any]:
    """What an export's card says of pruning: how many weights are 0, and of a token's products how many are left.

    Nothing where nothing was pruned. Dense kernels carry the others out all the same, which saves no time, but units
    that were pruned are taken out of the model here.
    """
    if learning.pruning.prune == "none":
        return {}
    from raypipe.train.loop.flops import matrix_parameters
    from raypipe.train.weights.pruning import matrices_of, sparsity_of
    from raypipe.train.weights.units import take_out_units

    weights = dict(model.named_parameters())
    dense, zeros = matrix_parameters(model), sum(int((of == 0).sum()) for of in matrices_of(weights).values())
    found: dict[str, Any] = {
        "method": learning.pruning.prune,
        "sparsity": sparsity_of(weights),
        "flops_left": 1 - zeros / dense,
    }
    if learning.pruning.prune == "units":
        found["units_left"] = take_out_units(model)
    return {"pruning": found}
