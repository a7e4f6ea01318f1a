import numpy as np
import pytest

from raypipe.classify.reading import WordReader, decide_early, greatest, in_colour

WORDS = ["sad", "tired", "happy", "<b>"]
SAYS = np.array([[0.9, 0.0], [0.4, 0.1], [0.0, 0.8], [0.5, 0.5]])
TEXT = "I am sad & tired. Really sad!\n\nBut happy now."


def test_sentence_by_sentence_is_the_text_at_once() -> None:
    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(50)]
    reader = WordReader.of(words, rng.random((50, 3)))
    sentences = [" ".join(rng.choice(words, 9)) + "." for _ in range(30)]
    text = "\n\n".join(" ".join(sentences[at : at + 5]) for at in range(0, 30, 5))
    stream = np.zeros(3)
    for sentence in sentences:
        stream += reader.read(sentence).vector
    np.testing.assert_allclose(stream, reader.read(text).vector, atol=1e-9)


def test_a_text_is_paragraphs_of_sentences_of_words() -> None:
    read = WordReader.of(WORDS, SAYS).read(TEXT)
    assert [[one.text for one in paragraph.parts] for paragraph in read.parts] == [
        ["I am sad & tired.", "Really sad!"], ["But happy now."],
    ]  # fmt: skip
    np.testing.assert_allclose(read.vector, [2.2, 0.9])
    np.testing.assert_allclose(read.parts[0].parts[0].vector, [1.3, 0.1])


def test_a_summary_may_be_the_greatest_at_any_level() -> None:
    read = WordReader.of(WORDS, SAYS, of_words=greatest, of_paragraphs=greatest).read(TEXT)
    np.testing.assert_allclose(read.vector, [1.8, 0.8])


def test_a_text_without_known_words_says_nothing() -> None:
    for text in ("", "\n", "...", "some words"):
        assert WordReader.of(WORDS, SAYS).read(text).vector.tolist() == [0, 0]


def test_a_stream_is_positive_from_the_post_on_where_it_leads() -> None:
    posts = [np.array([0.0, 0.5]), np.array([0.4, 0.0]), np.array([0.2, 0.0]), np.array([0.0, 9.0])]
    assert decide_early(posts, positive=0) == (True, 3)
    assert decide_early(posts[:2], positive=0) == (False, 2)
    assert decide_early([], positive=0) == (False, 0)


def test_words_that_say_more_are_tinted_more_and_texts_are_escaped() -> None:
    page = in_colour(WordReader.of(WORDS, SAYS).read(TEXT), of=0)
    assert 'rgba(46,125,50,0.80)" title="0.900">sad</span>' in page
    assert 'rgba(46,125,50,0.36)" title="0.400">tired</span>' in page
    assert 'rgba(46,125,50,0.32)" title="1.300">I am ' in page  # a sentence: its own value, however weak its tint
    assert "&amp;" in page
    assert "happy</span>" not in page
    assert page.count("<p>") == 2
    assert "<script>" not in in_colour(WordReader.of(WORDS, SAYS).read("<script>sad</script>"), of=0)


@pytest.mark.parametrize("of", [0, 1])
def test_a_text_that_says_nothing_has_no_colour(of: int) -> None:
    assert "<span" not in in_colour(WordReader.of(WORDS, SAYS).read("nothing here"), of=of)
