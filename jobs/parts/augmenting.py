"""Augmenting labelled texts: rows in, drafts of each class by a generator, and what is kept of these beside them."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from raypipe.corpus.shards import quoted_path
from raypipe.label.augment.generators import Draft, Generator, swaps_and_deletions, word_triples
from raypipe.label.augment.made_texts import Embedder, Keeping, MadeText, rows_of_classes, sifted
from raypipe.models.causal import open_model
from raypipe.runs.signals import Stopped
from raypipe.settings.identity import BY_CONTENT, identity_of
from raypipe.storage.folder import Folder

from .augmented_rows import OwnRows
from .class_generators import CHECKPOINTS, Adapting, drafts_of_class
from .idle import refuse_idle

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]
N_AXES, MAX_TOKENS = 64, 256


@dataclass(frozen=True, kw_only=True)
class Generating:
    """Who makes new texts, and how many."""

    generator: Literal["language-model", "word-triples", "swaps"] = "language-model"
    """language-model: one adapted to each class. word-triples: chains of a class's words. swaps: swaps and deletions
    of words (EDA)."""
    model: str = field(default="sample", metadata=BY_CONTENT)
    """Causal LM that is adapted: folder, org/name[@revision], GGUF file, or `sample` (minutes a class on a CPU)."""
    per_text: float = 4.0
    """Texts that are made for each row of a class."""
    per_class: int | None = None
    """Texts that are made of each class, whatever its rows, so that small classes catch up."""
    seed: int = 0
    """Of training and of what is drawn."""
    adapting: Adapting = field(default=Adapting(), metadata=BY_CONTENT)  # of the language model alone

    def check(self) -> None:
        """Refuse numbers out of range, settings without effect, and a model that can't be adapted.

        Raises
        ------
        ValueError
            With the setting.
        """
        if self.per_text <= 0 or (self.per_class is not None and self.per_class < 1):
            raise ValueError(f"per_text must be above 0 and per_class at least 1, got {self.per_text} and "
                             f"{self.per_class}.")  # fmt: skip
        if self.per_class is not None:
            refuse_idle(self, ["per_text"], because="with --per-class")
        if self.generator == "language-model":
            self.adapting.check(self.model)
            if self.adapting.lora.lora_rank == 0:
                refuse_idle(self.adapting.lora, ["lora_alpha", "lora_dropout"], because="without --lora-rank")
            return
        refuse_idle(self.adapting, because=f"with --generator {self.generator}")
        refuse_idle(self, ["model"], because=f"with --generator {self.generator}")

    def n(self, n_rows: int) -> int:
        """Texts to make of a class of so many rows."""
        return self.per_class or max(1, round(self.per_text * n_rows))

    def identity(self, rows: "OwnRows") -> Json:
        """Whatever can change a draft."""
        found = {"rows_sha256": rows.sha256}
        if self.generator != "language-model":
            return identity_of(self, **found)
        model = open_model(self.model)
        found |= {"model_sha256": model.sha256(), "tokenizer_sha256": model.tokenizer_sha256()}
        return identity_of(self, self.adapting, **found)


@dataclass(frozen=True, kw_only=True)
class Sifting:
    """Which drafts are kept."""

    keeping: Keeping = Keeping()
    vectors: str = "words"
    """What similarities are of: words (TF-IDF on 64 axes of the rows), or an encoder as in embed_corpus, like mini."""
    bound: tuple[str, ...] = ()
    """CLASS=COSINE of a class whose sorted texts somebody has read: the least similarity that is kept. Repeatable."""

    def bounds(self, classes: "Iterable[str]") -> dict[str, float]:
        """By class.

        Raises
        ------
        ValueError
            If one isn't so, or of no class.
        """
        found, known = dict[str, float](), set(classes)
        for given in self.bound:
            label, _, value = given.rpartition("=")
            try:
                found[label] = float(value)
            except ValueError:
                raise ValueError(f"bound must be CLASS=COSINE, got {given!r}.") from None
            if label not in known:
                raise ValueError(f"bound must be of a class of the rows ({', '.join(sorted(known))}), got {label!r}.")
        return found


def generated(rows: OwnRows, how: Generating, folder: Folder, stopping: threading.Event) -> dict[str, list[Draft]]:
    """The drafts of each class, from its file where that is there; a kill costs what was made since a checkpoint.

    Raises
    ------
    Stopped
        If `stopping` was set; the files that are there stay.
    """
    found = {}
    for label, own in rows_of_classes(rows.labels).items():
        name = f"{quoted_path(label)}.jsonl"
        if not folder.exists(name):
            if stopping.is_set():
                raise Stopped("stopped between two classes; go on with the same command.")
            texts, training = [rows.texts[at] for at in own], folder / CHECKPOINTS
            made = _generator(how, training, stopping)(texts, how.n(len(own)), how.seed)
            folder.write(name, "".join(json.dumps(asdict(one)) + "\n" for one in made).encode())
            training.remove()
        found[label] = [Draft(**json.loads(line)) for line in folder.read(name).decode().splitlines()]
    return found


def _generator(how: Generating, training: Folder, stopping: threading.Event) -> Generator:
    if how.generator == "word-triples":
        return word_triples
    if how.generator == "swaps":
        return swaps_and_deletions
    return partial(_by_language_model, how=how, training=training, stopping=stopping)


def _by_language_model(
    texts: Sequence[str], n: int, seed: int, *, how: Generating, training: Folder, stopping: threading.Event
) -> list[Draft]:
    return drafts_of_class(how.model, texts, n, seed, how=how.adapting, folder=training, stopping=stopping)


def kept_of(rows: OwnRows, drafts: Mapping[str, Sequence[Draft]], how: Generating, sifting: Sifting) -> list[MadeText]:
    """The drafts with their scores and why they are left out, of each class the nearest first.

    Raises
    ------
    ValueError
        If nothing of a class can be kept.
    """
    bounds = sifting.bounds(rows.labels)
    found = sifted(
        rows.texts, rows.labels, drafts, _embedder(sifting.vectors, rows.texts), name=how.generator, seed=how.seed,
        keeping=sifting.keeping, bounds=bounds,
    )  # fmt: skip
    return sorted(found, key=lambda one: (one.label, -(one.similarity if one.similarity is not None else -2.0)))


def _embedder(vectors: str, texts: Sequence[str]) -> Embedder:
    import pyarrow as pa

    if vectors == "words":
        from raypipe.fitting.words import WordVectors

        words = WordVectors(("text",), n_dimensions=N_AXES).fit(pa.table({"text": list(texts)}))
        return lambda given: words.encode(pa.table({"text": list(given)}))[0]
    import numpy as np

    from raypipe.contracts.parts import apply
    from raypipe.corpus.rows import source_of
    from raypipe.embed.embed import Embed

    op = Embed(vectors, max_tokens=MAX_TOKENS)
    op.check()
    op.setup(n_threads=1)
    return lambda given: np.stack(apply(op, source_of(given))["embedding"].to_numpy()).astype(np.float64)
