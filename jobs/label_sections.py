"""Sections of documents: python -m jobs.label_sections --rows NOTES.jsonl --rules SECTIONS.yaml --output RUN.

Rules say which headers begin which section; lines below a header get its class, and the header is taken out. From the
documents that have headers a tagger is learned (Bi-LSTM under a CRF over the lines' words), judged on held-out ones
beside the same without context, and applied to all: RUN/sections/sections.jsonl has a row a document with its lines,
what the headers say of each, and what the tagger says. The rules, and the texts, which may be of any sort:

    headers: {S: [chief complaint, HPI], O: [physical exam, vitals], P: [plan, disposition]}
    ends: [signature]          # headers of no class; `before: NAME` is the class of lines above the first header
"""

import json
from dataclasses import dataclass
from hashlib import sha256

from raypipe.runs.stage import at_work

from .parts import settings
from .parts.common import RunSettings, life_of, run_job, stage_name
from .parts.sectioned import judged, read_documents, read_rules, table_of

STAGE, TAGGER, FILE = "sections", "section-tagger", "sections.jsonl"


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings):
    """Settings of label_sections."""

    rows: tuple[str, ...]
    """Parquet or JSON files of rows with a text. Repeatable."""
    rules: str
    """YAML file of sections and their headers."""
    text_column: str = "text"
    """Column of the text."""
    heldout_share: float = 0.2
    """Share of the documents with headers that the tagger is judged on and doesn't learn from."""
    dimensions: int = 64
    """Of the vectors that a line's words become, at most."""
    hidden: int = 64
    """Numbers of the LSTM in each direction."""
    epochs: int = 20
    """Passes over the documents."""
    seed: int = 0
    """Of the split and of the tagger."""


def main(config: Config) -> int:
    """Label, learn, judge and tag; a second start does it again."""
    if not 0 < config.heldout_share < 1:
        raise ValueError(f"heldout_share must be above 0 and below 1, got {config.heldout_share}.")
    rules = read_rules(config.rules)
    documents = read_documents(config.rows, rules, text_column=config.text_column)
    stage, tagger = stage_name(STAGE, config), stage_name(TAGGER, config)
    with life_of(config, "label_sections", stages=[stage, tagger]) as life:
        life.begin()
        folder, identity = life.run / stage, _identity(config, [one.text for one in documents])
        with at_work(folder, {"stage": stage, "kind": "sections", "identity": identity}) as own, life.at_once():
            found = judged(
                documents, heldout_share=config.heldout_share, n_dimensions=config.dimensions, hidden=config.hidden,
                n_epochs=config.epochs, seed=config.seed, folder=life.run / tagger,
            )  # fmt: skip
            lines = "".join(json.dumps(row) + "\n" for row in found.rows)
            folder.write(FILE, lines.encode())
            folder.write("evaluation.json", json.dumps(found.figures, indent=1).encode())
            own["counts"] = {"documents": len(documents), "lines": sum(len(one.lines) for one in documents)}
        print("\n".join(table_of(found.figures)))
        print(f"Sections: {folder.uri}/{FILE}")
        life.conclude()
    return life.status


def _identity(config: Config, texts: list[str]) -> dict[str, object]:
    digest = sha256(json.dumps(texts).encode()).hexdigest()
    names = ("rules", "text_column", "heldout_share", "dimensions", "hidden", "epochs", "seed")
    return {"texts_sha256": digest, **{name: getattr(config, name) for name in names}}


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
