"""The debate job, in this process: a tiny random Llama argues, its transcripts are fixed, files aren't redone."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from jobs.debate import Config, main
from jobs.parts import debates
from jobs.parts.debates import debated
from raypipe.label.debate.debate import DebateQuestion, Transcript, turn_prompt
from raypipe.label.debate.transcripts import read_transcripts
from raypipe.models.causal import open_model
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from raypipe.runs.card import IdentityChanged, read_card
from raypipe.runs.signals import Stopped
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder
from raypipe.train.data.splits import split_halves


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Thirty rows and a debater of random weights."""
    folder = tmp_path_factory.mktemp("debate")
    train_tokenizer(
        [turn_prompt("the leaf is green", Transcript(1, ()), DebateQuestion())], vocabulary_size=350, folder=folder
    )
    vocabulary = open_vocabulary(str(folder))
    shape = config_of("tiny", vocabulary_size=vocabulary.size, length=64, end=vocabulary.end)
    new_model(shape, seed=0, initialisation="normal").save_pretrained(folder)
    rows = [{"text": f"the leaf {n} is green", "label": n % 2} for n in range(30)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return built(
        Config, data=(str(folder / "rows.jsonl"),), debater=str(folder), output=str(folder / "run"), transcripts=2,
        max_new_tokens=5, rows_per_file=8, batch_rows=4, test_share=0.3, question="Is it green?",
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(config):
    assert main(config) == 0
    return files(config)


def files(config):
    return {
        str(path.relative_to(config.run.output)): path for path in Path(config.run.output, "debate").rglob("*.parquet")
    }


def tables(config):
    return {name: pq.read_table(path).to_pylist() for name, path in files(config).items()}


def test_every_row_but_the_tests_is_debated_once_a_seed(config, whole):
    rows = debated(config.rows)
    test = split_halves(config.rows.load().text_hash, seed=0, test_share=0.3).test
    keys = {int(config.rows.load().text_hash[at]) for at in test}
    for seed in (1, 2):
        found = read_transcripts(Folder(config.run.output) / "debate", seed=seed)
        assert list(found) == rows.text_hash.tolist()
        assert not keys & set(found)
        assert all(len(held.turns) == 3 and any(held.turns) for held in found.values())
    one, two = (read_transcripts(Folder(config.run.output) / "debate", seed=seed) for seed in (1, 2))
    assert one != two
    card = read_card(Folder(config.run.output) / "debate")
    assert (card["status"], card["counts"]) == ("finished", {"rows": len(rows.rows), "transcripts": 2 * len(rows.rows)})


def test_a_card_names_what_cards_of_0_1_0_name(config, whole):
    found, model = read_card(Folder(config.run.output) / "debate")["identity"], open_model(config.speaker.debater)
    assert found == {
        "rows_sha256": debated(config.rows).sha256, "debater_sha256": model.sha256(),
        "tokenizer_sha256": model.tokenizer_sha256(), "chat_template": None, "dtype": "float32",
        "question": "Is it green?", "answer_no": "no", "answer_yes": "yes", "template": "{text}",
        "label_column": "label", "choices_column": None, "gold_column": "gold",
        "max_new_tokens": 5, "temperature": 0.7, "batch_rows": 4, "rows_per_file": 8,
    }  # fmt: skip


def test_the_same_settings_give_the_same_transcripts_elsewhere(config, whole, tmp_path):
    again = changed(config, output=str(tmp_path), transcripts=1)
    assert main(again) == 0
    assert tables(again) == {name: rows for name, rows in tables(config).items() if "seed-1" in name}


def test_only_missing_files_are_held_again_and_come_out_the_same(config, whole, monkeypatch):
    before, names = tables(config), sorted(whole)
    times = {name: whole[name].stat().st_mtime_ns for name in names}
    whole[names[1]].unlink()
    asked = []
    hold_debates = debates.hold_debates
    monkeypatch.setattr(debates, "hold_debates", lambda texts, *rest, **more: (
        asked.extend(texts), hold_debates(texts, *rest, **more))[1])  # fmt: skip
    assert main(config) == 0
    assert asked == [f"the leaf {row['row']} is green" for row in before[names[1]]]
    assert tables(config) == before
    assert all(files(config)[name].stat().st_mtime_ns == times[name] for name in names if name != names[1])


def test_a_stop_leaves_whole_files_and_the_same_command_goes_on(config, whole, tmp_path, monkeypatch):
    import threading

    stopped, event = changed(config, output=str(tmp_path)), threading.Event()
    open_sampler = debates.open_sampler

    def stop_soon(speaker):
        event.set()  # in the first file
        return open_sampler(speaker)

    monkeypatch.setattr(debates, "open_sampler", stop_soon)
    with pytest.raises(Stopped, match="between two files"):
        debates.hold(stopped, debated(stopped.rows), Folder(stopped.run.output) / "debate", event)
    assert list(files(stopped)) == ["debate/seed-1/00000000-00000008.parquet"]
    monkeypatch.setattr(debates, "open_sampler", open_sampler)
    assert main(stopped) == 0
    assert tables(stopped) == tables(config)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"temperature": 0.1}, IdentityChanged, "temperature was 0.7 and is now 0.1.*--restart debate"),
        ({"question": "Is it red?"}, IdentityChanged, "question was 'Is it green.' and is now 'Is it red.'"),
        ({"transcripts": 0}, ValueError, "transcripts and batch_rows must be at least 1, got 0 and 4"),
        ({"debater": "nobody"}, ValueError, "model must be a folder, .* got 'nobody'"),
        ({"name": "long", "max_new_tokens": 3000}, ValueError, r"the model's 2048 positions, got \d+ \+ 3000 tokens"),
        ({"name": "cold", "temperature": -1.0}, ValueError, "temperature at least 0, got 5 and -1.0"),
    ],
)
def test_other_or_wrong_settings_are_refused(config, whole, settings, error, message):
    with pytest.raises(error, match=message):
        main(changed(config, **settings))


def test_transcripts_of_another_chat_template_are_refused(config, whole, tmp_path):
    other = tmp_path / "debater"
    shutil.copytree(config.speaker.debater, other)
    tokenizer = open_vocabulary(str(other)).tokenizer
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer.save_pretrained(other)
    with pytest.raises(IdentityChanged, match="chat_template was"):
        main(changed(config, debater=str(other)))
