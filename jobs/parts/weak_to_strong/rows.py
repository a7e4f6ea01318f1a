"""What a model of weak-to-strong learning is given: rows, debates, and the labels that its teachers predicted."""

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.contracts.rows import Document
from raypipe.label.debate.debate import DebateQuestion, Transcript
from raypipe.label.debate.transcripts import read_transcripts
from raypipe.models.boundary import continued
from raypipe.models.presets import SHAPES
from raypipe.models.tokenizer import Vocabulary, open_vocabulary
from raypipe.runs import card as cards
from raypipe.storage.folder import Folder
from raypipe.train.data.binary import BinaryRows
from raypipe.train.data.splits import Halves, exchanged, split_halves

from ..common import stage_name
from .arms import Arm
from .settings import WeakToStrongSettings

STAGE = "weak_to_strong"
"""The stage of the run that holds all links."""
PREDICTIONS = "predictions.parquet"
SCHEMA = pa.schema([("row", pa.int64()), ("probability", pa.float32())])


def arm_name(name: str, seed: int) -> str:
    """An arm's link in the chain, which is its folder in the stage: card, metrics, predictions."""
    return f"seed-{seed}/{name}"


@dataclass(frozen=True)
class Loaded:
    """The rows that all arms share, and the tokenizers of both models."""

    rows: BinaryRows
    vocabularies: dict[str, Vocabulary]
    """By role."""


@lru_cache(maxsize=1)
def load_rows(config: WeakToStrongSettings) -> Loaded:
    """The rows that fit both models; the others are counted."""
    from_scratch = config.weak in SHAPES
    vocabularies = {
        "strong": open_vocabulary(config.strong),
        "weak": open_vocabulary(config.strong if from_scratch else config.weak),
    }
    rows = config.rows.load()
    fits = np.ones(len(rows.rows), bool)
    for vocabulary in vocabularies.values():
        sizes = [len(one.ids) for one in vocabulary.backend.encode_batch([row.text for row in rows.rows])]
        fits &= (np.array(sizes) <= config.length) & (np.array(sizes) > 0)
    for at in np.flatnonzero(~fits):
        rows.left_out.add(f"longer than {config.length} tokens", path=rows.rows[at].path, row=rows.rows[at].row)
    return Loaded(rows.of(np.flatnonzero(fits)), vocabularies)


def halves_of(config: WeakToStrongSettings, rows: BinaryRows, seed: int) -> Halves:
    """The rows of a seed's halves and of the test."""
    return split_halves(rows.text_hash, seed=seed, test_share=config.rows.test_share)


def soft_labels(config: WeakToStrongSettings, arm: Arm, seed: int, halves: Halves) -> np.ndarray:
    """What an arm learns: the mean of its teachers on the second half [b, 2], or the truth of the first [a, 2]."""
    rows = load_rows(config).rows
    if arm.teachers:
        learnt = halves.second
        second = np.mean([read_predictions(config, name, seed, learnt) for name in arm.teachers], axis=0)
    else:
        learnt = halves.first
        second = rows.labels[learnt].astype(float)
    if arm.has_shuffled_labels:
        second = second[exchanged(rows.text_hash[learnt], seed=seed)]
    return np.stack([1 - second, second], axis=1)


def documents_of(
    config: WeakToStrongSettings, arm: Arm, seed: int, numbers: np.ndarray, *, labels: np.ndarray | None = None
) -> list[Document]:
    """Rows as an arm's model sees them."""
    loaded = load_rows(config)
    rows, vocabulary = loaded.rows.of(numbers), loaded.vocabularies[arm.role]
    if arm.transcript is None:
        ids = [list(one.ids) for one in vocabulary.backend.encode_batch([row.text for row in rows.rows])]
    else:
        said = transcript_texts(config, arm, seed, rows)
        sizes = {"max_first": config.length, "max_second": config.transcript_tokens}
        ids = [
            text_and_debate(vocabulary, row.text, debate, **sizes) for row, debate in zip(rows.rows, said, strict=True)
        ]
    soft = [None] * len(ids) if labels is None else list(labels)
    return [
        Document(np.array(one, np.int32), "all", row.path, row.row, soft_label=label)
        for one, row, label in zip(ids, rows.rows, soft, strict=True)
    ]


def text_and_debate(vocabulary: Vocabulary, text: str, debate: str, *, max_first: int, max_second: int) -> list[int]:
    """Ids of a text that its debate follows, as in one text: no end of text stands between them."""
    both = continued(vocabulary, text, debate)
    begins = int((~both.is_second).sum())
    return both.ids[: min(begins, max_first) + max_second]


def transcript_texts(config: WeakToStrongSettings, arm: Arm, seed: int, rows: BinaryRows) -> list[str]:
    """What follows each text: the debate about it, or about another text where the arm is that control."""
    asked = question_of(config.debates)
    texts = ["\n\n" + held.text(asked) for held in debates_about(config, rows, int(arm.transcript or 0))]
    if not arm.has_shuffled_transcripts:
        return texts
    return [texts[other] for other in exchanged(rows.text_hash, seed=seed)]


def debates_about(config: WeakToStrongSettings, rows: BinaryRows, transcript: int) -> list[Transcript]:
    """The debate of a seed about each row.

    Raises
    ------
    ValueError
        If a row hasn't been debated.
    """
    folder = config.debates
    found = read_transcripts(folder, seed=transcript)
    if missing := [row for row in rows.rows if row.text_hash not in found]:
        raise ValueError(
            f"every row must have a debate of seed {transcript} in {folder.uri}, {len(missing):,} have none (the "
            f"first: {missing[0].path}:{missing[0].row}); give both jobs the same rows and test_share."
        )
    return [found[row.text_hash] for row in rows.rows]


def question_of(folder: Folder) -> DebateQuestion:
    """The question that a stage's debates were about."""
    identity = (cards.read_card(folder) or {"identity": {}})["identity"]
    return DebateQuestion(**{name: identity[name] for name in asdict(DebateQuestion()) if name in identity})


def write_predictions(folder: Folder, numbers: np.ndarray, probability: np.ndarray) -> None:
    """Probability of label 1 by row number, in one file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"row": numbers, "probability": probability.astype(np.float32)}, schema=SCHEMA), sink)
    folder.write(PREDICTIONS, sink.getvalue())


def read_predictions(config: WeakToStrongSettings, name: str, seed: int, numbers: np.ndarray) -> np.ndarray:
    """Probability of label 1 that an arm gives to these rows: [n] -> [n] float64."""
    with (Folder(config.run.output) / stage_name(STAGE, config.run) / arm_name(name, seed)).open(PREDICTIONS) as source:
        table = pq.read_table(source, schema=SCHEMA)
    known = dict(zip(table["row"].to_pylist(), table["probability"].to_pylist(), strict=True))
    return np.array([known[int(number)] for number in numbers], np.float64)
