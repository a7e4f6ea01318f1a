"""What `finetune --learn embedding` learns from: pairs of texts, the encoder that reads them, and their prompts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from raypipe.contracts.rows import Pair
from raypipe.embed.embed import Embed
from raypipe.embed.pieces import Cutter
from raypipe.embed.template import PLAIN, TEXT, instructed, split_template
from raypipe.losses.contrastive import ContrastiveLoss
from raypipe.models.encoder import Encoder, open_encoder
from raypipe.models.sentence_files import Pooling
from raypipe.settings.identity import BY_CONTENT, RUNNING, counts_as
from raypipe.train.data.clustered import ClusteredBatches
from raypipe.train.data.pairs import PairColumns, PairSets, read_pairs

from .idle import refuse_idle

QUERY, DOCUMENT = "query", "document"


def _if_clustered(batching: ClusteredBatches) -> dict[str, Any]:
    """Nothing for rows at random, as cards of before clusters have it."""
    return asdict(batching) if batching.cluster_rows > 1 else {}


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings:
    """How an encoder is trained on pairs (--learn embedding)."""

    pairs: PairColumns = field(default=PairColumns(), metadata=BY_CONTENT)
    loss: ContrastiveLoss = ContrastiveLoss()
    batching: ClusteredBatches = field(default=ClusteredBatches(), metadata=counts_as(_if_clustered))
    negatives: int | None = field(default=None, metadata=BY_CONTENT)
    """Of each row, the first ones; rows with fewer are left out. None: as many as most rows have."""
    pooling: Pooling | None = field(default=None, metadata=BY_CONTENT)
    """How token states become a vector; None: as the model's files say."""
    bidirectional: bool = field(default=False, metadata=BY_CONTENT)
    """Take a decoder's causal mask away, as KaLM does; the export says so."""
    query_template: str | None = field(default=None, metadata=BY_CONTENT)
    """What stands before a query, in place of the prompt of the model's files, and {text} at its end."""
    document_template: str | None = field(default=None, metadata=BY_CONTENT)
    """What stands before the other texts, likewise."""
    instruction: str | None = field(default=None, metadata=BY_CONTENT)
    """What a query is to find: short for --query-template 'Instruct: ...\\nQuery: {text}'."""
    measured_documents: int = field(default=10_000, metadata=RUNNING)
    """Texts that held-out queries are to find theirs among: the held-out ones, then those of other rows."""

    def check(self) -> None:
        """Refuse settings that would be ignored, or can't be exported.

        Raises
        ------
        ValueError
            With the first.
        """
        if self.query_template is not None:
            refuse_idle(self, ["instruction"], because="with --query-template")
        for template in (self.query_template, self.document_template):
            if template is not None and split_template(template)[1]:
                raise ValueError(
                    f"a template must end with {TEXT}, so that the export can name it as a prompt, got {template!r}."
                )
        if self.negatives is not None and self.negatives < 0:
            raise ValueError(f"negatives must be at least 0, got {self.negatives}.")
        if self.measured_documents < 1:
            raise ValueError(f"measured_documents must be at least 1, got {self.measured_documents}.")
        if self.batching.cluster_rows == 1:
            refuse_idle(self.batching, ["cluster_epochs"], because="without --cluster-rows")
        if not self.loss.matryoshka:
            refuse_idle(self.loss, ["matryoshka_weights"], because="without --matryoshka")
        if not self.loss.scores_weight:
            refuse_idle(self.loss, ["scores_temperature", "cosine_temperature"], because="without --scores-weight")
            refuse_idle(self.pairs, ["scores_column"], because="without --scores-weight")

    def encoder(self, model: str, *, length: int) -> Encoder:
        """The model, and how its files and these settings read it out: texts of at most `length` tokens."""
        found = open_encoder(model, pooling=self.pooling, is_causal=False if self.bidirectional else None)
        return open_encoder(
            model, pooling=self.pooling, is_causal=False if self.bidirectional else None,
            max_tokens=min(length, found.max_tokens),
        )  # fmt: skip

    def prompts(self, encoder: Encoder) -> dict[str, str]:
        """What stands before a query and before another text."""
        query = instructed(self.instruction) if self.instruction else encoder.prompt(QUERY) + PLAIN
        templates = {
            QUERY: self.query_template or query,
            DOCUMENT: self.document_template or encoder.prompt(DOCUMENT) + PLAIN,
        }
        return {name: template.removesuffix(TEXT) for name, template in templates.items()}

    def check_model(self, model: str, *, length: int) -> None:
        """Refuse a model that can't be read out so, whatever the rows are.

        Raises
        ------
        ValueError
            With the model or the setting.
        """
        self.check()
        encoder = self.encoder(model, length=length)
        for prompt in self.prompts(encoder).values():
            Embed(
                model, prompt + PLAIN, pooling=self.pooling, is_causal=False if self.bidirectional else None,
                max_tokens=encoder.max_tokens, token_budget=encoder.max_tokens,
            ).check()  # fmt: skip
        # what needs negatives is looked at again when it is known how many rows have
        many = 2 if self.negatives is None else self.negatives
        self.loss.check(n_dimensions=encoder.n_dimensions, n_negatives=many)

    def load(
        self, data: Sequence[str], *, model: str, length: int, heldout_share: float, domain_column: str | None,
        where: str | None,
    ) -> PairSets:  # fmt: skip
        """The pairs of the files, as this model's tokenizer reads them, each text cut to `length` tokens."""
        encoder = self.encoder(model, length=length)
        prompts = self.prompts(encoder)

        def tokenise(texts: Sequence[str], prompt: str) -> list[np.ndarray | None]:
            cutter = Cutter(model, prompt + PLAIN, encoder.max_tokens, 1, encoder.files.lowers_case)
            return [pieces.ids[0] if pieces.ids else None for pieces in cutter(texts)]

        found = read_pairs(
            data, self.pairs, queries=lambda texts: tokenise(texts, prompts[QUERY]),
            documents=lambda texts: tokenise(texts, prompts[DOCUMENT]), heldout_share=heldout_share,
            n_negatives=self.negatives, has_scores=self.loss.scores_weight > 0, domain_column=domain_column,
            where=where,
        )  # fmt: skip
        self.loss.check(n_dimensions=encoder.n_dimensions, n_negatives=found.n_negatives)
        return found


def digest_of_pairs(pairs: Sequence[Pair]) -> str:
    """SHA-256 of all that training sees of pairs."""
    digest = sha256()
    for pair in pairs:
        for text in (pair.query, pair.positive, *pair.negatives):
            digest.update(len(text).to_bytes(8, "big") + text.tobytes())
        digest.update(f"{pair.scores} {pair.domain}".encode())
    return digest.hexdigest()


def reading_of(encoder: Encoder) -> dict[str, Any]:
    """What vectors follow from beside weights and texts, for a card."""
    return {name: value for name, value in encoder.identity().items() if name != "model_sha256"}
