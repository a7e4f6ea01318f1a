"""Which documents a model has seen: compared with the tokens that it was trained on, by id, by text and by 13-grams."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from raypipe.arrays.ngrams import NGrams
from raypipe.corpus.rows import text_hash
from raypipe.models.tokenizer import Vocabulary
from raypipe.runs import card as cards
from raypipe.storage.folder import Folder
from raypipe.train.data.index import Mix, every_row_once, read_listing, read_mix

BATCH_ROWS = 1024


@dataclass(frozen=True)
class Shared:
    """What one document has in common with the training stream."""

    how: str | None
    """same id, same text, or the first 13-gram; None: nothing."""
    share: float
    """Of its 13-grams that were trained on."""


@dataclass(frozen=True)
class TrainingStream:
    """The rows that a run's mix gives a weight."""

    run: Folder
    tokens: str
    mix: Mix

    @classmethod
    def of(cls, run: Folder, *, tokens: str, selection: str, vocabulary: Vocabulary) -> "TrainingStream":
        """The stream of a run.

        Raises
        ------
        FileNotFoundError, ValueError
            If a stage isn't there or isn't finished, or its tokens are of another tokenizer than the model's.
        """
        made_by = cards.finished_card(run, tokens)["identity"]["tokenizer_sha256"]
        if made_by != vocabulary.sha256:
            raise ValueError(
                f"the model's tokenizer ({vocabulary.sha256[:12]}...) must be the one that {run.uri}/{tokens} was made "
                f"with ({made_by[:12]}...): a model with another tokenizer wasn't trained on these tokens."
            )
        listing = read_listing(run / tokens)
        if selection == "none":
            return cls(run, tokens, every_row_once(listing))
        cards.finished_card(run, selection)
        return cls(run, tokens, read_mix(listing, run / selection))

    def shared(self, texts: Sequence[str], ids: Sequence[str | None], vocabulary: Vocabulary) -> list[Shared]:
        """What each document shares; None among ids are compared with nothing."""
        hashes = [text_hash(text.encode("utf-8", "surrogatepass")) for text in texts]
        index, runs = NGrams(texts), [dict[str, None]() for _ in texts]
        seen_ids, seen_hashes, wanted = set[str](), set[int](), {one for one in ids if one is not None}
        for row_ids, row_hashes, tokens in self._rows():
            seen_ids |= wanted.intersection(row_ids)
            seen_hashes |= set(row_hashes)
            for text in vocabulary.backend.decode_batch(tokens, skip_special_tokens=False):
                for match in index.matches(text):
                    runs[match.owner][match.words] = None
        found = []
        for at, (name, digest) in enumerate(zip(ids, hashes, strict=True)):
            how = (
                "same id" if name in seen_ids else "same text" if digest in seen_hashes else next(iter(runs[at]), None)
            )
            found.append(Shared(how, index.shared(at, set(runs[at]))))
        return found

    def _rows(self) -> Iterator[tuple[list[str], list[int], list[list[int]]]]:
        """Ids, text hashes and tokens of the rows with a weight, some at a time."""
        listing, folder = self.mix.listing, self.run / self.tokens
        for number, name in enumerate(listing.files):
            row = int(listing.borders[number])
            with folder.open(name) as file:
                for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS, columns=["id", "text_hash", "tokens"]):
                    kept = batch.take(np.flatnonzero(self.mix.weight[row : row + len(batch)] > 0))
                    row += len(batch)
                    rows = kept.filter(kept["tokens"].is_valid()).to_pydict()
                    yield rows["id"], rows["text_hash"], rows["tokens"]
