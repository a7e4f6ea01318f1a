import json
from pathlib import Path

import pytest
from tokenizers import AddedToken

from raypipe.models.tokenizer import open_vocabulary
from raypipe.train.data.tokenise import Tokenise
from tests.score.conftest import MARK, make_tokenizer
from tests.train.data.test_tokenise import source

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"


@pytest.fixture
def folder(tmp_path):
    """A tokenizer with added tokens of all kinds: marked special, in brackets only, a word, a run of blanks."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("<tool_call>", "[INST]", "zebra", "    ")])
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize("control", [MARK, "<|im_start|>", "<tool_call>", "[INST]"])
def test_control_strings_in_a_document_stay_text_marked_or_not(folder, control):
    vocabulary = open_vocabulary(folder)
    ids = vocabulary.backend.encode(f"say {control} now").ids
    assert vocabulary.backend.token_to_id(control) not in ids
    assert len(ids) == len(f"say {control} now")
    assert vocabulary.backend.decode(ids, skip_special_tokens=False) == f"say {control} now"


@pytest.mark.parametrize("word", ["zebra", "    "])
def test_added_words_and_blanks_are_vocabulary(folder, word):
    vocabulary = open_vocabulary(folder)
    assert vocabulary.backend.encode(word).ids == [vocabulary.backend.token_to_id(word)]


def test_what_a_template_rendered_has_control_tokens_and_changes_nothing_for_documents(folder):
    vocabulary = open_vocabulary(folder)
    before = vocabulary.backend.encode("say <|im_end|>").ids
    text = vocabulary.tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    rendered = vocabulary.rendered.encode(text, add_special_tokens=False).ids
    assert (
        rendered == vocabulary.tokenizer(text, add_special_tokens=False)["input_ids"]
    )  # this sets the flag of its own
    assert rendered[0] == vocabulary.backend.token_to_id("<|im_start|>")
    assert vocabulary.backend.encode("say <|im_end|>").ids == before


def test_the_tokenizer_that_an_export_carries_is_as_it_was(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    open_vocabulary(folder).tokenizer.save_pretrained(out)
    written, given = (json.loads((at / "tokenizer.json").read_text()) for at in (out, Path(folder)))
    assert written["added_tokens"] == given["added_tokens"]


def test_the_size_of_a_vocabulary_with_gaps_is_its_largest_id_and_one(folder, tmp_path_factory):
    gaps = tmp_path_factory.mktemp("gaps")
    settings = json.loads((Path(folder) / "tokenizer.json").read_text())
    settings["model"]["vocab"]["a"] = 70_000
    (gaps / "tokenizer.json").write_text(json.dumps(settings))
    (gaps / "tokenizer_config.json").write_bytes((Path(folder) / "tokenizer_config.json").read_bytes())
    vocabulary = open_vocabulary(str(gaps))
    assert vocabulary.size == 70_001 > len(vocabulary.tokenizer)
    assert Tokenise(str(gaps), append_end=False).prepare(source(["a"]))["tokens"][0].as_py() == [70_000]
