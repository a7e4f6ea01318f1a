"""The rules of Gopher, C4 and FineWeb over the columns of `describe_corpus`: what a row is kept by, as published.

Sources: Rae et al., arXiv 2112.11446, section A.1.1 and table A1; Raffel et al., JMLR 21 (2020), section 2.2; Penedo et
al., arXiv 2406.17557, section 3.5. What each column counts, and where it departs, stands with it in `raypipe.describe`.
"""

from typing import Literal, get_args

RuleSet = Literal["gopher", "c4", "fineweb"]
RULE_SETS: tuple[RuleSet, ...] = get_args(RuleSet)

PUBLISHED: dict[RuleSet, tuple[str, ...]] = {
    "gopher": (
        "n_words >= 50",
        "n_words <= 100000",
        "mean_word_length >= 3",
        "mean_word_length <= 10",
        "hashes_per_word <= 0.1",
        "ellipses_per_word <= 0.1",
        "bullet_lines <= 0.9",
        "ellipsis_lines <= 0.3",
        "words_with_letters >= 0.8",
        "n_stop_words >= 2",
        "duplicate_lines <= 0.3",
        "duplicate_paragraphs <= 0.3",
        "duplicate_line_chars <= 0.2",
        "duplicate_paragraph_chars <= 0.2",
        "top_2gram_chars <= 0.2",
        "top_3gram_chars <= 0.18",
        "top_4gram_chars <= 0.16",
        "duplicate_5gram_chars <= 0.15",
        "duplicate_6gram_chars <= 0.14",
        "duplicate_7gram_chars <= 0.13",
        "duplicate_8gram_chars <= 0.12",
        "duplicate_9gram_chars <= 0.11",
        "duplicate_10gram_chars <= 0.1",
    ),
    "c4": ("c4_sentences >= 5", "not c4_lorem_ipsum", "not c4_curly_bracket"),
    "fineweb": (
        "punctuated_lines >= 0.12",
        "short_lines <= 0.67",
        "repeated_line_chars <= 0.01",
        "line_ends_per_word <= 0.3",
    ),
}
"""Conditions of SQL on the columns of a description; where one has no value, it doesn't hold."""
