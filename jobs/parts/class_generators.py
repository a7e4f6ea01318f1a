"""A language model as the generator of a class: adapted to its texts by the training loop, then sampled from.

Training goes on from its last checkpoint, in this process; what is sampled for a prompt depends on its seed, not on the
prompts beside it, but for rounding, so what goes through the model together is a function of the rows too.
"""

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from raypipe.label.augment.generators import Draft
from raypipe.label.augment.numbered_texts import Continue, Prompting, numbered, numbered_texts
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import Vocabulary, open_vocabulary
from raypipe.runs.signals import Stopped
from raypipe.settings.identity import RUNNING
from raypipe.storage.folder import Folder
from raypipe.train.weights.lora import Lora

if TYPE_CHECKING:
    from raypipe.contracts.rows import Document

CHECKPOINTS = "training"


@dataclass(frozen=True, kw_only=True)
class Adapting:
    """How the model of a class learns its texts, and how it is sampled from."""

    epochs: float = 3.0
    """Passes over a class's texts; more make more of what is written a copy."""
    learning_rate: float = 3e-4
    """Peak, of AdamW; constant after a tenth of the steps."""
    batch_examples: int = 8
    """Texts of a step; fewer where the class has fewer."""
    length: int = 128
    """Tokens of a text at most, its number among them; of longer ones the beginning is learnt."""
    lora: Lora = Lora()
    prompting: Prompting = Prompting()
    max_new_tokens: int = 96
    """Tokens that are written at most."""
    batch_rows: int = 32
    """Prompts that go through the model together."""
    save_every: int = field(default=200, metadata=RUNNING)
    """Steps between checkpoints."""

    def check(self, model: str) -> None:
        """Refuse numbers out of range, and models that can't be trained or don't reach so far.

        Raises
        ------
        ValueError
            With the setting.
        """
        from raypipe.models.architecture import check_architecture

        self.prompting.check()
        if self.epochs <= 0 or self.learning_rate <= 0:
            raise ValueError(f"epochs and learning_rate must be above 0, got {self.epochs} and {self.learning_rate}.")
        for name in ("batch_examples", "max_new_tokens", "batch_rows", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.length < 8:
            raise ValueError(f"length must be at least 8, got {self.length}.")
        opened = open_model(model)
        opened.check()
        check_architecture(opened.config(), max_tokens=self.length, setting="length")


def drafts_of_class(
    model: str, texts: Sequence[str], n: int, seed: int, *, how: Adapting, folder: Folder,
    stopping: threading.Event | None = None,
) -> list[Draft]:  # fmt: skip
    """n texts by a model that is adapted to these; checkpoints of its training lie in the folder.

    Raises
    ------
    Stopped
        If `stopping` was set.
    """
    causal = adapted(model, texts, how, folder=folder, seed=seed, stopping=stopping)
    go_on = continues(causal, open_vocabulary(model), how, stopping=stopping)
    return numbered_texts(texts, n, seed, go_on=go_on, prompting=how.prompting)


def adapted(
    model: str, texts: Sequence[str], how: Adapting, *, folder: Folder, seed: int,
    stopping: threading.Event | None = None,
) -> Any:  # fmt: skip
    """The causal model after `epochs` over the texts, each behind its number; adapters are merged.

    Raises
    ------
    Stopped
        If `stopping` was set; a checkpoint is there.
    """
    import torch

    from raypipe.train.data.loader import BatchLayout, ExampleLoader
    from raypipe.train.engines.engine import Precision
    from raypipe.train.engines.optimiser import Optimiser
    from raypipe.train.engines.torch_engine import TorchEngine
    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.checkpoint import Checkpoints
    from raypipe.train.loop.loop import train
    from raypipe.train.loop.meter import Meter
    from raypipe.train.loop.plan import TrainingPlan
    from raypipe.train.loop.schedule import Schedule
    from raypipe.train.tasks.next_token import NextToken

    workers, n_examples = Workers.of_this_process(), min(how.batch_examples, len(texts))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # adapters are drawn
        task = NextToken(how.lora.apply(open_model(model).weights(dtype="float32", device="cpu")))
    layout = BatchLayout(0, 1, n_examples, n_examples)
    loader = ExampleLoader(_documents(open_vocabulary(model), texts, how), [], layout, seed, task.count)
    optimiser = Optimiser(learning_rate=how.learning_rate, weight_decay=0.0)
    engine = TorchEngine(task.models, optimiser, n_micro=1, precision=Precision("float32"), workers=workers)
    n_steps = max(1, round(how.epochs * len(texts) / n_examples))
    train(
        task, engine, loader,
        TrainingPlan(n_steps, Schedule("constant", warmup_fraction=0.1), seed, how.save_every, 0),
        checkpoints=Checkpoints(folder, workers, {"model": open_model(model).sha256(), "n_steps": n_steps}),
        meter=Meter(None, learning_rate=how.learning_rate),
        asked=lambda: "stop" if stopping is not None and stopping.is_set() else None,
    )  # fmt: skip
    causal: Any = task.module.causal
    plain = causal.merge_and_unload() if hasattr(causal, "merge_and_unload") else causal
    plain.set_attn_implementation("sdpa")  # that of training knows packed documents alone
    return plain.eval()


def _documents(vocabulary: Vocabulary, texts: Sequence[str], how: Adapting) -> "list[Document]":
    """Each text behind its number, whose own tokens aren't learnt, with an end where all of it fits."""
    import numpy as np

    from raypipe.contracts.rows import Document
    from raypipe.models.boundary import continued

    found, end = [], [] if vocabulary.end is None else [vocabulary.end]
    for number, text in enumerate(texts):
        both = continued(vocabulary, *numbered(number, text, how.prompting))
        ids = np.array([*both.ids, *end], np.int32)[: how.length]
        has_loss = np.append(both.is_second, np.ones(len(end), bool))[: how.length]
        found.append(Document(ids, "class", "texts", number, has_loss))
    return found


def continues(
    causal: Any, vocabulary: Vocabulary, how: Adapting, *, stopping: threading.Event | None = None
) -> Continue:
    """What goes on from prompts, `batch_rows` at a time; a chat template has no part in it, as texts are no turns."""
    from raypipe.lm.sampling import Sampler

    tokenizer = copy.deepcopy(vocabulary.tokenizer)
    tokenizer.chat_template = None
    plain = replace(vocabulary, tokenizer=tokenizer)

    def go_on(prompts: Sequence[str], seeds: Sequence[int], temperature: float) -> list[str]:
        """The answers, in order."""
        sampler = Sampler(causal, plain, max_new_tokens=how.max_new_tokens, temperature=temperature)
        found: list[str] = []
        for start in range(0, len(prompts), how.batch_rows):
            if stopping is not None and stopping.is_set():
                raise Stopped("stopped between two batches of a class; go on with the same command.")
            part = slice(start, start + how.batch_rows)
            found += sampler(prompts[part], seeds[part])
        return found

    return go_on
