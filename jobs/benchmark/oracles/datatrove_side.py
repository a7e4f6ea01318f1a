"""datatrove's side of the comparison: python datatrove_side.py ASKED.json ANSWERED.json.

Runs in an environment that has datatrove and spaCy, and needs nothing of this project. Says of every text which rule of
each filter drops it, every rule asked for itself, and how long the filters take as they are meant to be used.
"""

import json
import sys
import time
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datatrove.data import Document  # type: ignore[import-not-found]
from datatrove.pipeline.filters import (  # type: ignore[import-not-found]
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils import text as cutting  # type: ignore[import-not-found]

FILTERS = (GopherQualityFilter, GopherRepetitionFilter, C4QualityFilter, FineWebQualityFilter)
QUALITY = {
    "min_doc_words": 50, "max_doc_words": 100000, "min_avg_word_length": 3, "max_avg_word_length": 10,
    "max_symbol_word_ratio": 0.1, "max_bullet_lines_ratio": 0.9, "max_ellipsis_lines_ratio": 0.3,
    "max_non_alpha_words_ratio": 0.8, "min_stop_words": 2,
}  # fmt: skip
REPETITION = {"dup_line_frac": 0.3, "dup_para_frac": 0.3, "dup_line_char_frac": 0.2, "dup_para_char_frac": 0.2}
TOP, AGAIN = ((2, 0.2), (3, 0.18), (4, 0.16)), ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))


def single_rules() -> dict:
    """Each rule by itself: the others of its filter are turned off."""
    found = {}
    off = dict.fromkeys(QUALITY)
    for name, value in QUALITY.items():
        found[f"gopher.{name}"] = GopherQualityFilter(**{**off, name: value})
    off = {**dict.fromkeys(REPETITION), "top_n_grams": (), "dup_n_grams": ()}
    for name, value in REPETITION.items():
        found[f"gopher.{name}"] = GopherRepetitionFilter(**{**off, name: value})
    for n, value in TOP:
        found[f"gopher.top_{n}_gram"] = GopherRepetitionFilter(**{**off, "top_n_grams": ((n, value),)})
    for n, value in AGAIN:
        found[f"gopher.duplicated_{n}_n_grams"] = GopherRepetitionFilter(**{**off, "dup_n_grams": ((n, value),)})
    off = {"filter_lorem_ipsum": False, "filter_curly_bracket": False, "min_num_sentences": -1}
    for name, value in {"filter_lorem_ipsum": True, "filter_curly_bracket": True, "min_num_sentences": 5}.items():
        found[f"c4.{name}"] = C4QualityFilter(**{**off, name: value})
    off = {"line_punct_thr": 0, "short_line_thr": 1e9, "char_duplicates_ratio": 1e9, "new_line_ratio": 1e9}
    for name, value in {
        "line_punct_thr": 0.12, "short_line_thr": 0.67, "char_duplicates_ratio": 0.01, "new_line_ratio": 0.3,
    }.items():  # fmt: skip
        found[f"fineweb.{name}"] = FineWebQualityFilter(**{**off, name: value})
    return found


def drops(rule: Any, text: str) -> bool:
    """Whether a filter drops a text; one that divides by no words at all does."""
    try:
        answer = rule.filter(Document(text=text, id="0"))
    except ZeroDivisionError:
        return True
    return answer is not True and (answer is False or not answer[0])


def seconds(texts: list, *, all_filters: bool) -> tuple:
    """By the clock and of the CPU: the filters over texts; each text through all, or until one drops it."""
    filters = [kind() for kind in FILTERS]
    start, cpu = time.perf_counter(), time.process_time()
    for text in texts:
        for one in filters:
            if drops(one, text) and not all_filters:
                break
    return time.perf_counter() - start, time.process_time() - cpu


def main() -> None:
    """Read the texts, write verdicts, seconds and versions."""
    asked = json.loads(Path(sys.argv[1]).read_text())
    texts = asked["texts"]
    drops(GopherQualityFilter(), texts[0])  # loads what is loaded once
    timed = {}
    for name, all_filters in (("all", True), ("until one drops", False)):
        cutting.split_into_parts.cache_clear()
        timed[name] = seconds(texts, all_filters=all_filters)
    rules = single_rules()
    dropped: dict[str, list[bool]] = {name: [] for name in rules}
    n_words = []
    cutting.split_into_parts = lru_cache(maxsize=10_000)(cutting.split_into_parts.__wrapped__)  # each rule cuts anew
    for text in texts:
        cutting.split_into_parts.cache_clear()
        n_words.append(len(cutting.split_into_words(text)))
        for name, rule in rules.items():
            dropped[name].append(drops(rule, text))
    versions = {name: version(name) for name in ("datatrove", "spacy")}
    answer = {"seconds": timed, "dropped": dropped, "n_words": n_words, "versions": versions}
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
