"""The rows that augmentation reads and writes: labelled texts in, new ones out with where they come from, counts."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from raypipe.corpus.records import read_records
from raypipe.label.augment.made_texts import MadeText, copy_rate, rows_of_classes
from raypipe.settings.identity import BY_CONTENT
from raypipe.storage.folder import Folder
from raypipe.train.data.labels import class_name, renamed_truths

Json = dict[str, Any]
ROWS, LEFT_OUT, FIGURES = "augmented.jsonl", "left_out.jsonl", "evaluation.json"
NO_TEXT, NO_LABEL = "no text", "no label"


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """The rows that new ones are made of."""

    rows: tuple[str, ...] = field(metadata=BY_CONTENT)
    """Parquet or JSON files of rows with a text and a label; none that a classifier is judged on. Repeatable."""
    text_column: str = field(default="text", metadata=BY_CONTENT)
    """Column of the text."""
    label_column: str = field(default="label", metadata=BY_CONTENT)
    """Column of the class."""


@dataclass(frozen=True)
class OwnRows:
    """What was read."""

    ids: list[str]
    texts: list[str]
    labels: list[str]
    left_out: Counter[str]

    @property
    def sha256(self) -> str:
        """Of texts and labels in their order."""
        return sha256(json.dumps([self.texts, self.labels]).encode()).hexdigest()


def read_own(given: LabelledTexts) -> OwnRows:
    """Rows with a text and a label; others are counted by reason.

    Raises
    ------
    KeyError
        If no row has a column.
    ValueError
        If there are fewer than two classes, or a class has fewer than two rows.
    """
    ids, texts, labels, left_out, seen = list[str](), list[str](), list[str](), Counter[str](), set[str]()
    for record in read_records(given.rows):
        seen |= record.values.keys()
        text, label = record.values.get(given.text_column), class_name(record.values.get(given.label_column))
        if record.reason or not isinstance(text, str) or not text.strip() or label is None:
            left_out[record.reason or (NO_LABEL if isinstance(text, str) and text.strip() else NO_TEXT)] += 1
            continue
        ids.append(str(record.values.get("id", f"{record.path}:{record.row}")))
        texts.append(text)
        labels.append(label)
    if missing := [name for name in (given.text_column, given.label_column) if name not in seen]:
        raise KeyError(f"no row of {', '.join(given.rows)} has a column {missing[0]!r}; they have "
                       f"{', '.join(sorted(seen))}.")  # fmt: skip
    truths = renamed_truths(labels)
    labels = [truths.get(label, label) for label in labels]
    if len(set(labels)) < 2:
        raise ValueError(f"{given.label_column} must have two classes at least, got {sorted(set(labels))}.")
    rows_of_classes(labels)
    return OwnRows(ids, texts, labels, left_out)


def written(made: Sequence[MadeText], rows: OwnRows, given: LabelledTexts, folder: Folder) -> None:
    """Rows that are kept, with the user's own names of columns, and those that aren't, with the reason."""
    kept, left_out, numbers = list[Json](), list[Json](), Counter[str]()
    for one in made:
        numbers[one.label] += 1
        row = {
            "id": f"{one.generator}-{one.seed}-{one.label}-{numbers[one.label]}",
            given.text_column: one.text,
            given.label_column: one.label,
            **{name: getattr(one, name) for name in ("generator", "seed", "prompt", "temperature")},
            "parent": None if one.parent is None else rows.ids[one.parent],
            "similarity": one.similarity,
            "nearest": None if one.nearest is None else rows.ids[one.nearest],
            "nearest_similarity": one.nearest_similarity,
            "copied": one.copied,
        }
        (kept if one.left_out is None else left_out).append(row | ({"reason": one.left_out} if one.left_out else {}))
    for name, lines in ((ROWS, kept), (LEFT_OUT, left_out)):
        folder.write(name, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())


def figures_of(made: Sequence[MadeText], rows: OwnRows, *, quantile: float, set_by_hand: Sequence[str]) -> Json:
    """What came of each class: counts, reasons, how much is copied; and who set the bounds."""
    classes: Json = {}
    for label in sorted(set(rows.labels)):
        own = [one for one in made if one.label == label]
        kept = [one for one in own if one.left_out is None]
        classes[label] = {
            "rows": rows.labels.count(label), "generated": len(own), "kept": len(kept),
            "left_out": dict(Counter(one.left_out for one in own if one.left_out).most_common()),
            "copied_words_of_kept": round(sum(one.copied for one in kept) / len(kept), 4),
        }  # fmt: skip
    rule = f"the {quantile:g} quantile of a class's own texts, each against the others"
    return {
        "rows": len(rows.texts), "generated": len(made), "kept": sum(one.left_out is None for one in made),
        "exact_copies": round(copy_rate(made), 4), "classes": classes,
        "bounds": {"rule": rule, "set_by_hand": list(set_by_hand)}, "rows_left_out": dict(rows.left_out),
    }  # fmt: skip


def table_of(figures: Json) -> list[str]:
    """For a terminal."""
    lines = [f"  {'class':<20} {'rows':>7} {'made':>7} {'kept':>7}  left out"]
    for label, of in figures["classes"].items():
        why = ", ".join(f"{n:,} {reason}" for reason, n in of["left_out"].items()) or "none"
        lines.append(f"  {label[:20]:<20} {of['rows']:>7,} {of['generated']:>7,} {of['kept']:>7,}  {why}")
    of_kept = [of["copied_words_of_kept"] * of["kept"] for of in figures["classes"].values()]
    copied = sum(of_kept) / max(1, figures["kept"])
    return [
        *lines,
        f"{figures['kept']:,} of {figures['generated']:,} texts are kept; {figures['exact_copies']:.1%} were copies",
        f"{copied:.1%} of the words of those kept stand in runs of eight words of an original",
    ]
