"""Vectors are those of sentence-transformers, whatever is packed beside them; what is stored follows from them."""

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import raypipe
from raypipe.contracts.parts import apply
from raypipe.corpus.rows import source_of
from raypipe.embed.embed import Embed
from raypipe.embed.template import PLAIN
from raypipe.models.causal import open_model
from raypipe.settings.identity import identity_of
from tests.embed.tiny_encoders import TEXTS, TINY, put, save
from tests.models.folders import reconfigure, rewrite, small_model

STORED = json.loads((Path(__file__).parent / "stored/sentence_transformers.json").read_text())


@cache
def folder(name: str) -> str:
    path = mkdtemp()
    save(Path(path), name)
    return path


def embedded(texts: list[str | None], name: str = "bert", **settings: Any) -> pa.Table:
    op = Embed(folder(name) if name in TINY else name, **{"token_budget": 160, **settings})
    op.check()
    op.setup(n_threads=1)
    return apply(op, source_of(texts))


def vectors(table: pa.Table) -> np.ndarray:
    return np.stack(table["embedding"].to_numpy()).astype(np.float64)


def cosines(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    return (X * Y).sum(1) / (np.linalg.norm(X, axis=1) * np.linalg.norm(Y, axis=1))


def test_the_expected_vectors_are_of_the_texts_here() -> None:
    assert STORED["texts"] == TEXTS
    assert STORED["versions"]["sentence-transformers"] == "6.2.0"


@pytest.mark.parametrize("name", [name for name in STORED["vectors"] if name != "mini"])
def test_vectors_are_those_of_sentence_transformers(name: str) -> None:
    kind = next(one for one in TINY if name.startswith(one))
    prompt = TINY[kind].prompts.get(name.removeprefix(kind).strip(), "")
    found, expected = vectors(embedded(TEXTS, kind, template=prompt + PLAIN)), np.array(STORED["vectors"][name])
    assert cosines(found, expected).min() > 0.9999
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_vectors_of_mini_are_those_of_sentence_transformers() -> None:
    try:
        open_model("mini")
    except ValueError as error:
        pytest.skip(str(error))
    found = vectors(embedded(TEXTS[:4], "mini", token_budget=256))
    assert cosines(found, np.array(STORED["vectors"]["mini"])).min() > 0.9999


def test_a_vector_does_not_follow_from_what_is_packed_beside_it() -> None:
    whole, alone = vectors(embedded(TEXTS)), [vectors(embedded([text]))[0] for text in TEXTS]
    np.testing.assert_allclose(whole, alone, atol=1e-5)


def test_a_long_text_is_its_first_tokens_or_the_mean_of_its_chunks() -> None:
    text = "abcdefgh" * 5
    first = embedded([text], max_tokens=18)
    assert [first[name][0].as_py() for name in ("n_tokens", "n_tokens_total", "n_chunks", "truncated")] == [
        18, 42, 1, True,
    ]  # fmt: skip
    chunks = embedded([text], max_tokens=18, max_chunks=3)
    assert [chunks[name][0].as_py() for name in ("n_tokens", "n_chunks", "truncated")] == [46, 3, False]
    parts = vectors(embedded([text[:16], text[16:32], text[32:]]))
    np.testing.assert_allclose(vectors(first)[0], parts[0], atol=1e-5)
    mean = (parts * np.array([[18], [18], [10]])).sum(0)
    np.testing.assert_allclose(vectors(chunks)[0], mean / np.linalg.norm(mean), atol=1e-5)
    tight = vectors(embedded([text, "abc"], max_tokens=18, max_chunks=3, token_budget=18))  # more than a budget holds
    np.testing.assert_allclose(tight[0], vectors(chunks)[0], atol=1e-5)


def test_first_dimensions_are_those_of_the_whole_brought_to_length_one_again() -> None:
    whole, cut = vectors(embedded(TEXTS)), vectors(embedded(TEXTS, dimensions=4))
    assert cut.shape == (len(TEXTS), 4)
    np.testing.assert_allclose(cut, whole[:, :4] / np.linalg.norm(whole[:, :4], axis=1, keepdims=True), atol=1e-6)


def test_number_formats_hold_the_vector() -> None:
    whole = vectors(embedded(TEXTS))
    half = embedded(TEXTS, number_format="float16")
    assert half.schema.field("embedding").type == pa.list_(pa.float16(), 16)
    np.testing.assert_allclose(vectors(half), whole, atol=1e-3)
    eight = embedded(TEXTS, number_format="int8")
    assert eight.schema.field("embedding").type == pa.list_(pa.int8(), 16)
    restored = vectors(eight) * eight["embedding_scale"].to_numpy()[:, None]
    assert np.abs(restored - whole).max() <= np.abs(whole).max() / 127 / 2 + 1e-6
    assert cosines(vectors(eight), whole).min() > 0.999
    bits = embedded(TEXTS, number_format="binary")
    assert bits.schema.field("embedding").type == pa.list_(pa.uint8(), 2)
    np.testing.assert_array_equal(np.unpackbits(vectors(bits).astype(np.uint8), axis=1), whole > 0)


def test_an_end_of_text_is_appended_once() -> None:
    bare, ended = (embedded(["abc"], "qwen2", appends_end=end)["n_tokens"][0].as_py() for end in (False, True))
    assert (bare, ended) == (3, 4)
    assert embedded(["abc"], "bert", appends_end=True)["n_tokens"][0].as_py() == 5  # <s> a b c </s>


def test_rows_without_a_text_or_with_a_vector_that_is_not_finite_have_a_reason(tmp_path: Path) -> None:
    save(tmp_path, "bert")
    name = "embeddings.word_embeddings.weight"

    def spoil(weights: dict[str, Any]) -> dict[str, Any]:
        weights[name][3 + sorted_bytes().index("z")] = 3e38  # finite, but its square isn't
        return weights

    rewrite(tmp_path, spoil)
    found = embedded(["abc", None, " ", "z", "def"], str(tmp_path))
    assert found["reason"].to_pylist() == [None, "null text", "empty", "vector isn't finite", None]
    assert found["embedding"].null_count == 3
    assert found["embedding"][4].as_py() == pytest.approx(vectors(embedded(["def"], str(tmp_path)))[0], abs=1e-5)


def sorted_bytes() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dimensions": 17}, "dimensions must be between 1 and the 16 of .* got 17"),
        ({"dimensions": 12, "number_format": "binary"}, "multiple of 8 for binary vectors, got 12"),
        ({"token_budget": 63}, r"token_budget must be at least max_tokens \(64\), got 63"),
        ({"max_chunks": 0}, "max_chunks must be at least 1, got 0"),
        ({"template": "no place"}, r"template must hold \{text\} once, got 0"),
        ({"template": "x" * 62 + "{text}"}, "must leave room for a text beside the 64 tokens"),
        ({"pooling": "cls"}, "pooling must be 'mean', as the files of encoder"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        embedded([], **settings)


def test_a_model_without_a_tokenizer_or_that_leaves_prompts_out_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "bert")
    put(tmp_path, "1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False})
    with pytest.raises(ValueError, match="leaves a prompt out of its pooling"):
        embedded([], str(tmp_path), template="query: {text}")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"must have a fast tokenizer, but .*tokenizer\.json isn't there"):
        embedded([], str(tmp_path))


def test_what_changes_a_vector_changes_the_identity_and_nothing_else_does() -> None:
    op = Embed(folder("bert"))

    def identity(**changes: Any) -> dict[str, Any]:
        changed = Embed(folder("bert"), **changes)
        return identity_of(changed, **changed.identity())

    assert identity() == identity(pooling="mean", is_causal=False, max_tokens=64)  # what its files say anyway
    for change in ({"max_tokens": 9}, {"template": "x {text}"}, {"dimensions": 4}, {"dtype": "bfloat16"}):
        assert identity(**change) != identity()
    assert "model" not in identity_of(op, **op.identity())


def test_a_decoder_of_a_long_context_embeds_in_this_process(tmp_path: Path) -> None:
    small_model(tmp_path)
    reconfigure(tmp_path, max_position_embeddings=40_000)
    found = raypipe.embed(["abc"], model=str(tmp_path), pooling="last")
    assert found["status"].to_pylist() == ["scored"]
    with pytest.raises(ValueError, match="pooling must be given"):
        raypipe.embed(["abc"], model=str(tmp_path))
    cut = raypipe.embed(["one two three four five six"], model=str(tmp_path), pooling="last", max_tokens=2)
    assert cut["n_tokens"].to_pylist() == [2]


def test_texts_in_this_process() -> None:
    found = raypipe.embed(["abc", None], model=folder("bert"), dimensions=8)
    assert found["status"].to_pylist() == ["scored", "skipped"]
    assert found.schema.field("embedding").type == pa.list_(pa.float32(), 8)
