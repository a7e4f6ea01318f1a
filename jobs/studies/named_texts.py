"""Texts of classes with names and keywords, and vectors by all-MiniLM-L6-v2, for studies that label without labels.

Keywords were written from the names alone, before any text was looked at.
"""

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from raypipe import sample

from .open_data import real

KEYWORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "debtags": {
        "game": ("game", "puzzle", "arcade", "player", "levels", "board game"),
        "audio": ("audio", "music player", "sound", "mp3", "synthesizer", "MIDI"),
        "image": ("image", "photo", "picture viewer", "bitmap", "drawing", "JPEG"),
        "mail": ("e-mail", "mail server", "IMAP", "SMTP", "mailbox", "spam filter"),
        "database": ("database", "SQL", "PostgreSQL", "MySQL", "query", "tables"),
    },
    "sample": {
        "boilerplate": ("copyright notice", "permission is hereby granted", "package maintainer"),
        "catalogue": ("software package description", "library for developers", "command line tool"),
        "data_table": ("table of numbers", "comma separated values", "measurements"),
        "encyclopedia": ("country facts", "population", "geography", "economy"),
        "fiction": ("novel", "conversation between characters", "romance", "country house"),
        "legal_licence": ("software licence", "terms and conditions", "liability", "warranty"),
        "python_code": ("python source code", "function definition", "import", "class"),
        "tech_docs": ("technical documentation", "configuration", "manual page", "options"),
    },
    "clinc150": {
        "auto_and_commute": ("car", "traffic", "tire", "oil change", "gas"),
        "banking": ("bank account", "transfer money", "balance", "bill", "PIN"),
        "credit_cards": ("credit card", "credit limit", "credit score", "rewards"),
        "home": ("to-do list", "shopping list", "play music", "reminder", "smart home"),
        "kitchen_and_dining": ("restaurant", "recipe", "cooking", "calories", "reservation"),
        "meta": ("change your language", "change your name", "repeat that", "yes or no"),
        "small_talk": ("hello", "tell me a joke", "are you a robot", "your hobbies"),
        "travel": ("flight", "hotel", "luggage", "visa", "vacation"),
        "utility": ("timer", "alarm", "weather", "calculator", "spelling"),
        "work": ("payday", "vacation days from work", "meeting", "taxes", "salary"),
    },
}  # fmt: skip
"""By data set and class."""
NAMES = {"debtags": {"game": "a game", "audio": "audio", "image": "images", "mail": "e-mail", "database": "a database"}}
"""Of classes whose label isn't one in words."""


@dataclass(frozen=True)
class NamedTexts:
    """Rows, the class of each, and what the classes are called."""

    texts: tuple[str, ...]
    y: np.ndarray
    """[n]: a class by its place in `names`."""
    names: tuple[str, ...]
    keywords: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=8)
def named_texts(data: str, max_rows: int) -> NamedTexts:
    """Rows of `debtags`, `sample` or, with --data, `clinc150` (its domains), drawn once for all seeds."""
    rows = {"debtags": _debtags, "sample": _sample}.get(data, _clinc)()
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:max_rows])
    labels = list(KEYWORDS[data])
    names = tuple(NAMES.get(data, {}).get(label, label.replace("_", " ")) for label in labels)
    y = np.array([labels.index(rows[at][1]) for at in chosen])
    return NamedTexts(tuple(rows[at][0] for at in chosen), y, names, tuple(KEYWORDS[data].values()))


def _debtags() -> list[tuple[str, str]]:
    import pyarrow.parquet as pq

    return [(row["text"], row["label"]) for row in pq.read_table(sample.debtags_file()).to_pylist()]


def _sample() -> list[tuple[str, str]]:
    files = sorted(sample.corpus_folder().glob("*.jsonl"))
    lines = [(line, file.stem) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [(json.loads(line)["text"][:2000], name) for line, name in lines]


def _clinc() -> list[tuple[str, str]]:
    import pyarrow.parquet as pq

    rows = pq.read_table(real("clinc150") / "full.parquet").to_pylist()
    return [(row["text"], row["domain"]) for row in rows if row["domain"] != "oos"]


@lru_cache(maxsize=16)
def minilm(texts: tuple[str, ...], max_tokens: int) -> np.ndarray:
    """[n, 384] of length 1, by all-MiniLM-L6-v2."""
    from raypipe.contracts.parts import apply
    from raypipe.corpus.rows import source_of
    from raypipe.embed.embed import Embed

    op = Embed("mini", max_tokens=max_tokens)
    op.check()
    op.setup(n_threads=1)
    return np.stack(apply(op, source_of(texts))["embedding"].to_numpy()).astype(np.float64)
