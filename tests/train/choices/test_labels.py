"""Labels are single tokens, of any tokenizer that has enough."""

import pytest

from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from raypipe.train.choices.labels import CUE, continuation, find_labels


def check(vocabulary, labels, n):
    assert len(labels.names) == len(labels.ids) == len(set(labels.ids.tolist())) == len(set(labels.names)) == n
    cue = vocabulary.backend.encode(CUE, add_special_tokens=False).ids
    for name, number in zip(labels.names, labels.ids, strict=True):
        assert vocabulary.backend.encode(f"{CUE} {name}", add_special_tokens=False).ids == [*cue, number]
        assert vocabulary.backend.decode([int(number)]) == f" {name}"


def test_the_letters_are_single_tokens_of_the_sample():
    vocabulary = open_vocabulary("sample")
    labels = find_labels(vocabulary, 26)
    assert "".join(labels.names) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    check(vocabulary, labels, 26)


@pytest.mark.parametrize(("n", "has_others"), [(27, False), (150, False), (430, True)])
def test_beyond_z_there_are_pairs_and_then_other_letters(n, has_others):
    vocabulary = open_vocabulary("sample")
    labels = find_labels(vocabulary, n)
    check(vocabulary, labels, n)
    assert labels.names[:28] == (*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AA", "AB")[: min(n, 28)]
    assert any(not name.isascii() for name in labels.names) == has_others


def test_a_small_vocabulary_gives_the_labels_that_it_has(vocabulary):
    labels = find_labels(vocabulary, 3)
    assert labels.names == ("A", "B", "C")
    check(vocabulary, labels, 3)


def test_too_few_labels_are_refused(tmp_path, vocabulary):
    with pytest.raises(
        ValueError, match=r"a single token each, 200 of them, but the tokenizer has \d+; .*fewer choices"
    ):
        find_labels(vocabulary, 200)
    train_tokenizer(["no capitals"], vocabulary_size=257, folder=tmp_path)
    with pytest.raises(ValueError, match=r"2 of them, but the tokenizer has 0"):
        find_labels(open_vocabulary(str(tmp_path)), 2)


def test_a_text_that_melts_with_the_cue_has_no_tokens_of_its_own(tmp_path):
    train_tokenizer(["Answer:X " * 9], vocabulary_size=270, folder=tmp_path)
    from tokenizers import Tokenizer, models

    from raypipe.models.tokenizer import Vocabulary

    melted = Tokenizer(models.BPE(vocab={"A": 0, "n": 1, "s": 2, "w": 3, "e": 4, "r": 5, ":": 6, "x": 7, ":x": 8},
                                  merges=[(":", "x")]))  # fmt: skip
    vocabulary = Vocabulary(None, melted, "", 9, None)
    assert continuation(vocabulary, "x") is None
    assert continuation(vocabulary, "w") == [3]
