"""Conversations as messages come: what is learnt of them, and what is left out with its reason."""

import json
from itertools import permutations

import numpy as np
import pytest

from raypipe.models.tokenizer import open_vocabulary
from raypipe.train.data.conversation import CHANGES, conversation
from raypipe.train.data.examples import ExampleColumns, read_examples
from tests.models.tokenizers_of_five_kinds import byte_level

PLAIN = (
    "{% for m in messages %}<|im|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im|>assistant\n{% endif %}"
)
STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + PLAIN
FORGETFUL = (  # what an assistant thought is shown in the last message only
    "{% for m in messages %}<|im|>{{ m.role }}\n"
    "{{ m.content if loop.last else m.content.split('</think>')[-1] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im|>assistant\n{% endif %}"
)
ASK, ANSWER = {"role": "user", "content": "say yes"}, {"role": "assistant", "content": "yes"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("tokenizer")
    byte_level(extra=("<|im|>",)).save_pretrained(made)
    return str(made)


@pytest.fixture
def chatty(folder, monkeypatch):
    vocabulary = open_vocabulary(folder)
    monkeypatch.setattr(vocabulary.tokenizer, "chat_template", PLAIN)
    return vocabulary


def learnt(vocabulary, messages) -> str:
    ids, marked = conversation(messages, vocabulary)
    return vocabulary.tokenizer.decode([number for number, is_learnt in zip(ids, marked, strict=True) if is_learnt])


def test_content_in_parts_is_one_text(chatty):
    parts = {"role": "user", "content": [{"type": "text", "text": "say "}, "yes"]}
    assert conversation([parts, ANSWER], chatty)[0] == conversation([ASK, ANSWER], chatty)[0]
    assert learnt(chatty, [parts, ANSWER]) == "yes<|end|>"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (None, "messages is null"),
        ("a string", "messages isn't a list, but str"),
        ({"role": "user"}, "messages isn't a list, but dict"),
        ([], "no answer"),
        ([ASK], "no answer"),
        (["say yes", ANSWER], "a message isn't an object"),
        ([{"content": "no role"}, ANSWER], "a message without a role"),
        ([{"role": None, "content": "x"}, ANSWER], "a message without a role"),
        ([{"role": "user", "content": None}, ANSWER], "a message without content that is text"),
        ([{"role": "user", "content": []}, ANSWER], "a message without content that is text"),
        ([{"role": "user", "content": [{"type": "image"}]}, ANSWER], "a message without content that is text"),
        ([{"role": "user", "content": 7}, ANSWER], "a message without content that is text"),
        ([{"role": "robot", "content": "hm"}, ANSWER], "role 'robot' isn't one of system, developer, user"),
        ([ANSWER, ASK], "the assistant speaks first"),
        ([ASK, ASK, ANSWER], "two messages of the user, one after the other"),
        ([ASK, ANSWER, ANSWER], "two messages of the assistant, one after the other"),
    ],
)
def test_an_odd_conversation_is_left_out_with_its_reason(chatty, messages, reason):
    assert conversation(messages, chatty).startswith(reason)


def test_a_tool_speaks_between_two_messages_of_the_assistant(chatty):
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    messages = [ASK, call, {"role": "tool", "content": "no"}, ANSWER]
    assert learnt(chatty, messages) == "<|end|>yes<|end|>"


def test_what_a_template_refuses_is_left_out_with_its_words(chatty, monkeypatch):
    monkeypatch.setattr(chatty.tokenizer, "chat_template", STRICT)
    assert conversation([{"role": "system", "content": "x"}, ASK, ANSWER], chatty) == (
        "the chat template refuses it: no system role"
    )
    assert learnt(chatty, [ASK, ANSWER]) == "yes<|end|>"


def test_a_template_that_forgets_leaves_out_those_rows_only(chatty, monkeypatch):
    monkeypatch.setattr(chatty.tokenizer, "chat_template", FORGETFUL)
    thinking = {"role": "assistant", "content": "no</think>yes"}
    assert conversation([ASK, thinking, ASK, thinking], chatty) == CHANGES
    assert learnt(chatty, [ASK, thinking]) == "no</think>yes<|end|>"


def test_control_strings_are_text_in_prompts_and_tokens_in_conversations_in_every_order(tmp_path, chatty):
    rows = {
        "chat": {"messages": [{"role": "user", "content": "say <|im|>"}, ANSWER]},
        "prompt": {"prompt": "say <|im|>", "answer": " no"},
        "answer": {"prompt": "say", "answer": "<|end|> no"},
    }
    (control,) = chatty.tokenizer.convert_tokens_to_ids(["<|im|>"])
    for order in permutations(rows):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(rows[name]) + "\n" for name in order))
        found = read_examples(
            [str(tmp_path / "rows.jsonl")], ExampleColumns(), chatty, learn="answers", length=200, heldout_share=0.0
        )
        n_controls = {name: int((one.ids == control).sum()) for name, one in zip(order, found.train, strict=True)}
        n_ends = {name: int((one.ids == chatty.end).sum()) for name, one in zip(order, found.train, strict=True)}
        assert n_controls == {"chat": 3, "prompt": 0, "answer": 0}
        assert n_ends == {"chat": 2, "prompt": 1, "answer": 1}


def test_rows_that_are_left_out_are_said_with_file_and_row(tmp_path, chatty):
    rows = [[ASK, ANSWER], [{"content": "x"}, ANSWER], None, "a string", [ASK, ASK, ANSWER], [{"content": "y"}, ANSWER]]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    found = read_examples(
        [str(tmp_path / "chat.jsonl")], ExampleColumns(), chatty, learn="answers", length=200, heldout_share=0.0
    )
    assert [one.row for one in found.train] == [0]
    assert found.left_out.lines()[0] == "left out: 2 rows: a message without a role (chat.jsonl:1, chat.jsonl:5)"
    assert "left out: 1 row: messages is null (chat.jsonl:2)" in found.left_out.lines()
    assert sum(found.left_out.counts.values()) == 5


def test_a_conversation_needs_a_template(chatty, monkeypatch):
    monkeypatch.setattr(chatty.tokenizer, "chat_template", None)
    with pytest.raises(ValueError, match="tokenizer with a chat template"):
        conversation([ASK, ANSWER], chatty)


def test_every_answer_is_learnt_and_nothing_of_the_user(chatty):
    ids, marked = conversation([ASK, ANSWER, {"role": "user", "content": "no"}, ANSWER], chatty)
    assert chatty.tokenizer.decode(np.array(ids)[marked]) == "yes<|end|>yes<|end|>"
