"""Texts to token ids."""

import json

import numpy as np
import pyarrow as pa
import pytest

from raypipe.columns import SOURCE
from raypipe.models.tokenizer import END_OF_TEXT, open_vocabulary, train_tokenizer
from raypipe.train.data.tokenise import NO_TOKENS, TOKENS, Tokenise

TEXTS = ["the cat sat on the mat", "", f"a control string {END_OF_TEXT} stays text", "naïve ümlaut 数学 🙂"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS * 3, vocabulary_size=300, folder=folder)
    return str(folder)


def source(texts):
    rows = [
        {"id": str(at), "text": text, "domain": "all", "reason": "empty" if text is None else None, "n_bytes": 1}
        for at, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=SOURCE)


def test_rows_stay_rows_and_decode_to_their_text(tokenizer):
    table = Tokenise(tokenizer).prepare(source([*TEXTS, None]))
    vocabulary = open_vocabulary(tokenizer)
    ids = table["tokens"].to_pylist()
    assert table["reason"].to_pylist() == [None, NO_TOKENS, None, None, "empty"]
    assert ids[1] is None
    assert ids[4] is None
    for at in (0, 2, 3):
        assert ids[at][-1] == vocabulary.end
        assert vocabulary.tokenizer.decode(ids[at][:-1]) == TEXTS[at]
    assert table["n_tokens"].to_pylist() == [None if row is None else len(row) for row in ids]


def test_control_strings_inside_a_document_stay_text(tokenizer):
    ids = Tokenise(tokenizer).prepare(source([TEXTS[2]]))["tokens"][0].as_py()
    assert ids.count(open_vocabulary(tokenizer).end) == 1


def test_no_end_is_appended_unless_asked_for(tokenizer):
    with_end = Tokenise(tokenizer).prepare(source(TEXTS[:1]))["tokens"][0].as_py()
    without = Tokenise(tokenizer, append_end=False).prepare(source(TEXTS[:1]))["tokens"][0].as_py()
    assert with_end[:-1] == without


def test_batches_hold_each_row_with_tokens_once_and_give_it_back(tokenizer):
    op = Tokenise(tokenizer)
    prepared = op.prepare(source([*TEXTS, None]))
    rows = np.concatenate(op.batches(prepared))
    assert rows.tolist() == [0, 2, 3]
    assert op(prepared.take(rows)).schema == TOKENS
    assert op.cost(prepared) == sum(len(ids) for ids in prepared["tokens"].to_pylist() if ids)


def test_the_same_texts_give_the_same_tokenizer(tokenizer, tmp_path):
    train_tokenizer(TEXTS * 3, vocabulary_size=300, folder=tmp_path)
    assert open_vocabulary(str(tmp_path)).sha256 == open_vocabulary(tokenizer).sha256
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["type"] == "BPE"


def test_wrong_tokenizers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="vocabulary_size must be at least 257"):
        train_tokenizer(TEXTS, vocabulary_size=100, folder=tmp_path)
    with pytest.raises(ValueError, match="no/such/tokenizer"):
        open_vocabulary("no/such/tokenizer")
