"""Answers, conversations and labels as examples."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.models.tokenizer import Vocabulary, open_vocabulary, train_tokenizer
from raypipe.train.data.examples import ExampleColumns, label_counts, read_examples
from tests.models.tokenizers_of_five_kinds import KINDS, saved

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory) -> Vocabulary:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["a question and an answer to it, several words"], vocabulary_size=280, folder=folder)
    return open_vocabulary(str(folder))


@pytest.fixture
def chatty(vocabulary, monkeypatch):
    monkeypatch.setattr(vocabulary.tokenizer, "chat_template", TEMPLATE)
    return vocabulary


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return (str(path),)


def read(uris, vocabulary, *, learn="answers", length=200, share=0.0, columns=None):
    return read_examples(uris, columns or ExampleColumns(), vocabulary, learn=learn, length=length, heldout_share=share)


def text(vocabulary, ids):
    return vocabulary.tokenizer.decode(ids)


def test_only_the_answer_and_its_end_are_learnt(tmp_path, vocabulary):
    uris = write(tmp_path / "a.jsonl", [{"prompt": "a question: ", "answer": "an answer"}])
    (example,) = read(uris, vocabulary).train
    assert text(vocabulary, example.ids[~example.has_loss]) == "a question:"
    assert text(vocabulary, example.ids[example.has_loss][:-1]) == " an answer"  # a token has the blank and "an"
    assert example.ids[-1] == vocabulary.end
    assert (example.path, example.row) == ("a.jsonl", 0)


def test_every_turn_of_the_assistant_is_learnt_with_its_end(tmp_path, chatty):
    messages = [("system", "be brief"), ("user", "a question"), ("assistant", "an answer"), ("user", "and"),
                ("assistant", "several words")]  # fmt: skip
    uris = write(tmp_path / "a.jsonl", [{"messages": [{"role": r, "content": c} for r, c in messages]}])
    (example,) = read(uris, chatty).train
    learnt = text(chatty, example.ids[example.has_loss])
    assert learnt == "an answer<|end|>several words<|end|>"
    assert text(chatty, example.ids).startswith("<|system|>\nbe brief<|end|>\n<|user|>")


def test_a_conversation_needs_a_template(tmp_path, vocabulary):
    uris = write(tmp_path / "a.jsonl", [{"messages": [{"role": "user", "content": "a"}]}])
    with pytest.raises(ValueError, match="tokenizer with a chat template"):
        read(uris, vocabulary)


def test_what_cant_be_learnt_is_counted_by_reason(tmp_path, chatty):
    rows = [
        {"messages": [{"role": "user", "content": "a"}]},
        {"messages": [{"role": "user", "content": "a " * 500}, {"role": "assistant", "content": "b"}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    ]
    found = read(write(tmp_path / "a.jsonl", rows), chatty)
    assert found.left_out.counts == {"no answer": 1, "longer than 200 tokens": 1}
    assert [example.row for example in found.train] == [2]


def test_classes_are_numbered_by_name_and_rows_without_one_left_out(tmp_path, vocabulary):
    rows = [{"prompt": f"words {n}", "label": label} for n, label in enumerate(["no", "yes", None, "no", "maybe"])]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = read((str(tmp_path),), vocabulary, learn="class")
    assert found.labels == ["maybe", "no", "yes"]
    assert [example.label for example in found.train] == [1, 2, 1, 0]
    assert found.left_out.counts == {"no label": 1}


def test_numbers_are_taken_as_they_are(tmp_path, vocabulary):
    rows = [{"prompt": "words", "label": value} for value in (1, "2.5", "many", "nan", None, [3])]
    found = read(write(tmp_path / "a.jsonl", rows), vocabulary, learn="number")
    assert [example.label for example in found.train] == [1.0, 2.5]
    assert found.labels == []
    assert found.left_out.counts == {"label isn't a number": 3, "no label": 1}


def test_numeric_classes_are_numbered_by_value_and_have_one_form(tmp_path, vocabulary):
    values = [*range(12), "2", 11.0, True, False]
    rows = [{"prompt": f"words {value}", "label": value} for value in values]
    found = read(write(tmp_path / "a.jsonl", rows), vocabulary, learn="class")
    assert found.labels == [str(number) for number in range(12)]
    assert [example.label for example in found.train] == [float(value) for value in values]
    assert label_counts(found.train, 12) == [2, 2, 2, *[1] * 8, 2]


@pytest.mark.parametrize("label", ["spam", 3, None])
def test_labels_that_dont_differ_are_refused(tmp_path, vocabulary, label):
    uris = write(tmp_path / "a.jsonl", [{"prompt": "words", "label": label}] * 20)
    for learn in ("class", "number"):
        with pytest.raises(ValueError, match=r"got only '?(spam|3)'? in all 20|can be learnt from: .*label"):
            read(uris, vocabulary, learn=learn)


def test_a_column_that_no_row_has_is_refused_and_a_row_without_one_left_out(tmp_path, vocabulary):
    uris = write(tmp_path / "a.jsonl", [{"prompt": "words", "answer": "a"}, {"prompt": "words"}, {"prompt": 7}])
    found = read(uris, vocabulary)
    assert found.left_out.counts == {"no answer": 1, "prompt isn't text": 1}
    for columns in (ExampleColumns(domain_column="lang"), ExampleColumns(messages_column="chats")):
        with pytest.raises(KeyError, match=r"an example has no column '(lang|chats)'; its columns are"):
            read(uris, vocabulary, columns=columns)


@pytest.mark.parametrize("name", KINDS)
def test_an_answer_follows_its_prompt_as_in_one_text(tmp_path, name):
    """No blank, begin or end of text comes between, whatever the tokenizer puts around a text."""
    other = open_vocabulary(saved(name, tmp_path / "tokenizer"))
    rows = [{"prompt": "river stone:", "answer": answer} for answer in ("bread window", " bread window", "\n42")]
    for row, example in zip(rows, read(write(tmp_path / "a.jsonl", rows), other).train, strict=True):
        plain = other.backend.encode(row["prompt"] + row["answer"], add_special_tokens=False).ids
        end = [other.end] if other.end is not None else []
        assert example.ids.tolist()[-len(plain + end) :] == plain + end
        n_before = len(other.backend.encode(row["prompt"], add_special_tokens=False).ids)
        assert example.has_loss.sum() == len(plain + end) - n_before


def test_a_share_is_held_out_and_always_the_same(tmp_path, vocabulary):
    uris = write(tmp_path / "a.jsonl", [{"prompt": f"q{n}", "answer": "a"} for n in range(200)])
    first, again = (read(uris, vocabulary, share=0.2) for _ in range(2))
    assert 20 < len(first.heldout) < 60
    assert len(first.train) + len(first.heldout) == 200
    assert [d.row for d in first.heldout] == [d.row for d in again.heldout]
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(first.train, again.train, strict=True))


def test_wrong_files_and_columns_are_refused(tmp_path, vocabulary):
    with pytest.raises(KeyError, match="an example has no column 'answer'"):
        read(write(tmp_path / "a.jsonl", [{"prompt": "a"}]), vocabulary)
    (tmp_path / "b.jsonl").write_text('{"prompt": "a", "answer"')
    with pytest.raises(ValueError, match=r"no example .*'unparsable': 1"):
        read((str(tmp_path / "b.jsonl"),), vocabulary)
    (tmp_path / "c.txt").write_text("a")
    with pytest.raises(ValueError, match=r"has no known suffix; known are .parquet"):
        read((str(tmp_path / "c.txt"),), vocabulary)
    with pytest.raises(ValueError, match=r"no example .* can be learnt from"):
        read(write(tmp_path / "d.jsonl", []), vocabulary)


def test_lines_end_at_line_feeds_only(tmp_path, vocabulary):
    """A line separator or a next-line sign is text; JSON may hold it as it is."""
    texts = ["two\u2028words", "a\x85next", "plain"]
    lines = [json.dumps({"prompt": text, "answer": "b"}, ensure_ascii=False) for text in texts]
    (tmp_path / "x.jsonl").write_bytes(("\ufeff" + "\r\n".join(lines) + "\n").encode())
    found = read((str(tmp_path / "x.jsonl"),), vocabulary)
    assert [document.row for document in found.train] == [0, 1, 2]
