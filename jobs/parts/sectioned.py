"""Documents with sections: read by header rules, vectors of their lines, a tagger learned and judged on them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.corpus.records import read_records
from raypipe.label.sections import SectionRules
from raypipe.storage.folder import Folder

from .settings import read_yaml

Json = dict[str, Any]
MIN_DOCUMENTS = 4
"""With headers: some to learn from and some to be judged on."""


@dataclass(frozen=True)
class Sectioned:
    """A document's lines without its headers, and the class that these give each."""

    name: str
    text: str
    lines: list[str]
    labels: list[str | None]

    @property
    def is_labelled(self) -> bool:
        """Whether every line has a class."""
        return bool(self.labels) and all(label is not None for label in self.labels)

    def without_gaps(self) -> "Sectioned":
        """With the lines that have a class alone."""
        kept = [at for at, label in enumerate(self.labels) if label is not None]
        return Sectioned(self.name, self.text, [self.lines[at] for at in kept], [self.labels[at] for at in kept])


@dataclass(frozen=True)
class Tagged:
    """A row a document, and how good the tagger is."""

    rows: list[Json]
    figures: Json


def read_rules(path: str) -> SectionRules:
    """The rules of a YAML file: `headers` maps classes to headers; `ends` and `before` may be missing.

    Raises
    ------
    OSError, ValueError
        If it can't be read or isn't so.
    """
    given = read_yaml(path)
    if not isinstance(given, dict) or not isinstance(given.get("headers"), dict) or set(given) - {
        "headers", "ends", "before"
    }:  # fmt: skip
        raise ValueError(f"{path} must map headers to classes with their headers, and may have ends and before; "
                         f"got {str(given)[:200]}.")  # fmt: skip
    headers = {str(label): tuple(map(str, words or ())) for label, words in given["headers"].items()}
    if len(headers) < 2:
        raise ValueError(f"{path}: headers must be of two classes at least, got {sorted(headers)}.")
    return SectionRules(headers, tuple(map(str, given.get("ends") or ())), given.get("before"))


def read_documents(uris: Sequence[str], rules: SectionRules, *, text_column: str) -> list[Sectioned]:
    """The documents of Parquet or JSON files; those without a text are left out.

    Raises
    ------
    KeyError
        If no row has the column.
    ValueError
        If no document has a header, or a class's headers never occur.
    """
    found, columns = list[Sectioned](), set[str]()
    for record in read_records(tuple(uris)):
        columns |= record.values.keys()
        text = record.values.get(text_column)
        if record.reason is None and isinstance(text, str) and text.strip():
            name = str(record.values.get("id", f"{record.path}:{record.row}"))
            found.append(Sectioned(name, text, *rules.lines_of(text)))
    if text_column not in columns:
        raise KeyError(
            f"no row of {', '.join(uris)} has a column {text_column!r}; they have {', '.join(sorted(columns))}."
        )
    seen = Counter(label for one in found for label in one.labels)
    if never := [label for label in rules.headers if not seen[label]]:
        raise ValueError(
            f"no line of {len(found):,} documents stands below a header of {never[0]!r}; see how the documents write "
            f"{list(rules.headers[never[0]])}."
        )
    return found


def judged(
    documents: Sequence[Sectioned], *, heldout_share: float, n_dimensions: int, hidden: int, n_epochs: int, seed: int,
    folder: Folder,
) -> Tagged:  # fmt: skip
    """Learn a tagger, judge it on held-out documents beside one without context, tag all, and store it in the folder.

    Raises
    ------
    ValueError
        If fewer than four documents have lines below headers.
    """
    from raypipe.classify.section_tagger import SectionTagger
    from raypipe.fitting.words import WordVectors
    from raypipe.models.fitted import save_fitted

    labelled = [whole for one in documents if (whole := one.without_gaps()).lines]
    if len(labelled) < MIN_DOCUMENTS:
        raise ValueError(f"{MIN_DOCUMENTS} documents at least must have lines below headers, got {len(labelled)}.")
    order = np.random.default_rng(seed).permutation(len(labelled))
    n_heldout = min(len(labelled) - 2, max(1, round(heldout_share * len(labelled))))
    heldout, learned = [[labelled[at] for at in part] for part in np.split(order, [n_heldout])]
    words = WordVectors(("text",), n_dimensions=n_dimensions).fit(_table(learned))
    settings: Json = {"n_epochs": n_epochs, "random_state": seed}
    figures: Json = {"documents": len(documents), "learned": len(learned), "heldout": len(heldout), "accuracy": {}}
    tags = [[str(label) for label in one.labels] for one in learned]
    for name, made in (
        ("each line by itself", SectionTagger(hidden=0, chains=False, **settings)),
        ("Bi-LSTM-CRF", SectionTagger(hidden=hidden, **settings)),
    ):
        made.fit(_vectors(words, learned), tags)
        said = np.concatenate(made.predict(_vectors(words, heldout)))
        true = np.array([str(label) for one in heldout for label in one.labels])
        figures["accuracy"][name] = {"right": int((said == true).sum()), "n": len(true)}
    save_fitted(made, folder, feed=words)
    asked = [one for one in documents if one.lines]
    answers = made.predict(_vectors(words, asked))
    rows = [{"id": one.name, "lines": one.lines, "headers_say": one.labels, "tagger_says": of.tolist()}
            for one, of in zip(asked, answers, strict=True)]  # fmt: skip
    return Tagged(rows, figures)


def _table(documents: Sequence[Sectioned]) -> pa.Table:
    return pa.table({"text": [line for one in documents for line in one.lines]})


def _vectors(words: Any, documents: Sequence[Sectioned]) -> list[np.ndarray]:
    X, _ = words.encode(_table(documents))
    return np.split(X, np.cumsum([len(one.lines) for one in documents])[:-1])


def table_of(figures: Json) -> list[str]:
    """The figures for a terminal."""
    from raypipe.arrays.intervals import wilson_interval

    lines = [f"learned from {figures['learned']:,} documents with headers, of {figures['documents']:,}"]
    for name, of in figures["accuracy"].items():
        share = of["right"] / of["n"]
        low, high = wilson_interval(share, of["n"])
        lines.append(
            f"  {name:<20} {100 * share:5.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {of['n']:,} lines of "
            f"{figures['heldout']:,} held-out documents (against their headers)"
        )
    return lines
