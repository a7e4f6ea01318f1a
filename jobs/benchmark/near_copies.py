"""Texts with planted near copies, and their exact Jaccard similarities."""

import json
from pathlib import Path

import numpy as np

N_FILES = 4


def make_texts(n: int, *, seed: int, share: float = 0.3, n_words: int = 20_000) -> list[str]:
    """n texts of a median of 150 words of Zipf's frequencies; `share` of them are edited copies of another.

    A copy has between no and a fifth of its words replaced, taken away or doubled, so that Jaccard similarities of its
    5-grams lie anywhere between 1 and .2.
    """
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(150), 0.6, n), 20, 1500).astype(int)
    frequency = 1 / (np.arange(n_words) + 10.0)
    cumulative = np.cumsum(frequency) / frequency.sum()
    texts = [np.searchsorted(cumulative, rng.random(length)) for length in lengths]
    copies = rng.choice(n, int(share * n), replace=False)
    originals = np.setdiff1d(np.arange(n), copies)
    for row in copies:
        texts[row] = _edited(texts[rng.choice(originals)], rng.uniform(0, 0.2), rng, n_words)
    names = [_letters(number) for number in range(n_words)]
    return [" ".join(names[word] for word in words) for words in texts]


def _letters(number: int) -> str:
    """A word of letters alone: what stands for all numbers alike would make them one."""
    found = ""
    while True:
        number, letter = divmod(number, 26)
        found = chr(ord("a") + letter) + found
        if not number:
            return f"x{found}"


def _edited(words: np.ndarray, rate: float, rng: np.random.Generator, n_words: int) -> np.ndarray:
    what = rng.random(len(words))
    new = np.where(what < rate / 2, rng.integers(0, n_words, len(words)), words)
    times = np.where(
        (what >= rate / 2) & (what < 0.75 * rate), 0, np.where((what >= 0.75 * rate) & (what < rate), 2, 1)
    )
    return np.asarray(np.repeat(new, times) if times.sum() else words)


def write(texts: list[str], folder: Path) -> None:
    """The texts as JSON lines, in files of as many."""
    folder.mkdir(parents=True)
    for at, rows in enumerate(np.array_split(np.arange(len(texts)), N_FILES)):
        lines = (json.dumps({"id": str(row), "text": texts[row]}) + "\n" for row in rows)
        (folder / f"{at:02d}.jsonl").write_text("".join(lines))


def jaccards(texts: list[str], ngram: int, *, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of texts of at least this Jaccard similarity: rows [2, p], the first lower, and similarities [p].

    Counted exactly, by a product of the sparse matrix of texts and their n-grams, which are told apart by themselves.
    """
    from scipy.sparse import csr_array

    from raypipe.arrays.ngrams import words_of

    numbers: dict[tuple[str, ...], int] = {}
    rows, columns = list[int](), list[int]()
    for row, text in enumerate(texts):
        words = words_of(text)
        found = {tuple(words[at : at + ngram]) for at in range(max(len(words) - ngram + 1, 1))}
        rows += [row] * len(found)
        columns += [numbers.setdefault(one, len(numbers)) for one in found]
    has = csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(texts), len(numbers)))
    shared = (has @ has.T).tocoo()
    upper = shared.row < shared.col
    one, other, both = shared.row[upper], shared.col[upper], shared.data[upper]
    sizes = np.bincount(rows, minlength=len(texts))
    similarity = both / (sizes[one] + sizes[other] - both)
    kept = similarity >= least
    return np.stack([one[kept], other[kept]]).astype(np.int64), similarity[kept]
