"""Generated texts: what is made, what is kept, why the rest isn't, and what the filter is worth."""

import numpy as np
import pytest

from raypipe.label.augment.generators import Draft, swaps_and_deletions, word_triples
from raypipe.label.augment.made_texts import (
    COPIED,
    COPY,
    DOUBLE,
    FAR,
    SHORT,
    Keeping,
    augmented,
    copy_rate,
    left_one_out,
    sifted,
)
from raypipe.label.augment.numbered_texts import Prompting, numbered, numbered_texts

APPLES = ["red apple on the tree today", "green apple in the basket today", "sweet apple on the table now"]
TOOLS = ["steel hammer in the box today", "iron saw on the wall now", "old hammer in the shed today"]
TEXTS, LABELS = APPLES + TOOLS, ["a"] * 3 + ["t"] * 3
VOCABULARY = sorted({word for text in TEXTS for word in text.split()})


def bag(texts) -> np.ndarray:
    return np.array([[text.split().count(word) for word in VOCABULARY] for text in texts], float) + 1e-3


def given(*lines: str):
    return lambda texts, n, seed: [Draft(line) for line in lines]


def test_each_row_says_where_it_comes_from_and_why_it_is_left_out() -> None:
    lines = (
        "Red  apple on the tree today",
        "apple on the tree now",
        "apple on the tree now",
        "apple",
        "wall shed saw box",
    )

    def generate(texts, n, seed):
        return given(*lines)(texts, n, seed) if "apple" in texts[0] else [Draft("hammer in the box today", 1)]

    found = augmented(TEXTS, LABELS, generate, bag, name="made up", seed=7, quantile=0.1)
    assert [one.left_out for one in found] == [COPY, None, DOUBLE, SHORT, FAR, None]
    assert [one.parent for one in found] == [None] * 5 + [4]  # of all rows, not of the class
    assert {(one.generator, one.seed) for one in found} == {("made up", 7)}
    assert found[1].similarity > found[4].similarity
    assert copy_rate(found) == pytest.approx(1 / 6)
    alike = bag(["apple on the tree now", *APPLES])
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    to_each = alike[1:] @ alike[0]  # two are as near
    assert to_each[found[1].nearest] == pytest.approx(to_each.max())
    assert found[1].nearest_similarity == pytest.approx(to_each.max())


def test_the_bound_is_a_quantile_of_each_text_against_the_others() -> None:
    X = np.random.default_rng(0).normal(size=(6, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    slow = [X[at] @ (of := np.delete(X, at, axis=0).mean(axis=0)) / np.linalg.norm(of) for at in range(6)]
    np.testing.assert_allclose(left_one_out(X), slow)


def test_triples_follow_their_class_and_swaps_keep_their_parent_s_words() -> None:
    seen = {tuple(text.split()[at : at + 3]) for text in APPLES for at in range(4)}
    for one in word_triples(APPLES, 50, 0):
        words = one.text.split()
        assert one.parent is None
        assert all(tuple(words[at : at + 3]) in seen for at in range(len(words) - 2))
    for one in swaps_and_deletions(APPLES, 12, 0):
        assert set(one.text.split()) <= set(APPLES[one.parent].split())
    assert word_triples(APPLES, 9, 3) == word_triples(APPLES, 9, 3) != word_triples(APPLES, 9, 4)
    assert swaps_and_deletions(APPLES, 9, 3) == swaps_and_deletions(APPLES, 9, 3)


def test_the_filter_leaves_out_what_was_drawn_from_elsewhere() -> None:
    """A generator that mixes the other class in: far more of what is left is of its own class."""

    def mixed(texts, n, seed):
        rng = np.random.default_rng(seed)
        other = TOOLS if "apple" in texts[0] else APPLES
        theirs = other[0].split()[:3] + other[1].split()[:2]
        own = word_triples(texts, n, seed)
        return [one if rng.random() < 0.5 else Draft(" ".join(rng.permutation(theirs))) for one in own]

    words = {"a": {"apple", "red", "green", "sweet"}, "t": {"hammer", "saw", "steel", "iron", "old"}}

    def share(made):
        return np.mean([bool(set(one.text.split()) & words[one.label]) for one in made])

    found = augmented(TEXTS, LABELS, mixed, bag, name="mixed", per_text=20, quantile=0.5, seed=1)
    clean = [one for one in found if one.left_out in (None, FAR)]
    kept = [one for one in clean if one.left_out is None]
    assert share(kept) > share(clean) + 0.1


def test_what_can_t_be_is_refused() -> None:
    with pytest.raises(ValueError, match="every class must have two texts at least, 'b' has 1"):
        augmented([*TEXTS, "x y z"], [*LABELS, "b"], word_triples, bag, name="n")
    with pytest.raises(ValueError, match="quantile must be from 0 to below 1"):
        augmented(TEXTS, LABELS, word_triples, bag, name="n", quantile=1.0)
    copies = lambda texts, n, seed: [Draft(text, at) for at, text in enumerate(texts)]  # noqa: E731
    with pytest.raises(ValueError, match="nothing that parrot made of class 'a' can be kept: 3 a copy"):
        augmented(TEXTS, LABELS, copies, bag, name="parrot")
    with pytest.raises(ValueError, match="can be kept: it made nothing"):
        augmented(TEXTS, LABELS, lambda *_: [], bag, name="silent")
    with pytest.raises(ValueError, match="a text with a word at least"):
        word_triples(["", " "], 3, 0)
    with pytest.raises(ValueError, match="per_text must be above 0, got 0"):
        augmented(TEXTS, LABELS, word_triples, bag, name="n", per_text=0)
    with pytest.raises(ValueError, match="prompt_words must be at least 0 and temperatures above 0"):
        Prompting(temperatures=(0.0,)).check()


def test_a_person_s_bound_goes_before_the_quantile() -> None:
    drafts = {"a": [Draft("red apple tree"), Draft("wall shed saw box")], "t": [Draft("hammer in the box today")]}
    by_rule = sifted(TEXTS, LABELS, drafts, bag, name="n", seed=0, keeping=Keeping(quantile=0.0))
    assert [one.left_out for one in by_rule] == [None] * 3
    by_hand = sifted(TEXTS, LABELS, drafts, bag, name="n", seed=0, bounds={"a": by_rule[0].similarity - 1e-9, "t": -1})
    assert [one.left_out for one in by_hand] == [None, FAR, None]


def test_a_text_that_is_mostly_an_original_is_left_out_on_demand() -> None:
    long = "one two three four five six seven eight nine ten"
    texts, labels = [long, "eleven twelve thirteen", *TOOLS], ["a", "a", "t", "t", "t"]
    drafts = {
        "a": [Draft(f"zero {long[:39]} and so on"), Draft("eleven twelve thirteen more")],
        "t": [Draft("a saw b")],
    }
    found = sifted(texts, labels, drafts, lambda of: np.ones((len(of), 2)), name="n", seed=0,
                   keeping=Keeping(quantile=0.0, max_copied=0.5))  # fmt: skip
    assert [round(one.copied, 3) for one in found] == [round(8 / 12, 3), 0.0, 0.0]
    assert [one.left_out for one in found] == [COPIED, None, None]


def test_a_language_model_is_asked_by_number_with_a_seed_of_each_original() -> None:
    asked: list[tuple[str, int, float]] = []

    def go_on(prompts, seeds, temperature):
        asked.extend(zip(prompts, seeds, [temperature] * len(seeds), strict=True))
        return [f" goes on at {temperature}" for _ in prompts]

    prompting = Prompting(prompt_words=1, temperatures=(0.5, 1.0))
    assert numbered(1, APPLES[1], prompting) == ("1: green", " apple in the basket today")
    found = numbered_texts(APPLES, 7, 0, go_on=go_on, prompting=prompting)
    assert [one.temperature for one in found] == [0.5] * 3 + [1.0] * 3 + [0.5]
    assert [one.parent for one in found] == [0, 1, 2, 0, 1, 2, 0]
    assert found[1] == Draft("green goes on at 0.5", 1, "1: green", 0.5)
    assert len({seed for _, seed, _ in asked}) == 7
    seeds = {seed for _, seed, _ in asked[:3] + asked[4:]}  # of two turns
    asked.clear()
    numbered_texts(APPLES[::-1], 6, 0, go_on=go_on, prompting=prompting)
    assert {seed for _, seed, _ in asked} == seeds  # an original's seeds don't depend on its place
