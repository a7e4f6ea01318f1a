"""The evaluate_model job, in this process."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch

from jobs import evaluate_model
from jobs.evaluate_model import Config, main
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.storage.folder import Folder
from tests.models.tokenizers_of_five_kinds import saved


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    vocabulary = open_vocabulary(saved("byte_level", folder))
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=128, end=vocabulary.end)
    new_model(config, seed=0, initialisation="normal").save_pretrained(folder)
    return str(folder)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def config(tmp_path, model):
    asked = [{"query": f"river {n} stone?", "choices": ["yes", "no", "over"], "gold": n % 3, "part": "ab"[n % 2]}
             for n in range(30)]  # fmt: skip
    texts = [{"text": f"river stone bread {n} window", "lang": "ab"[n % 2]} for n in range(20)]
    return Config(
        model=model, output=str(tmp_path / "run"), max_tokens=128, n_threads=1, group_column="part",
        benchmarks=(f"one={write(tmp_path / 'bench.jsonl', asked)}",),
        corpus=(write(tmp_path / "texts.jsonl", [*texts, {"text": " "}]),), domain_column="lang",
    )  # fmt: skip


def evaluation(config):
    return json.loads((Folder(config.output) / "evaluation").read("evaluation.json"))


def test_benchmarks_and_documents_are_measured_with_intervals(config, capsys):
    assert main(config) == 0
    found = evaluation(config)
    one = found["benchmarks"]["one"]
    items = pq.read_table(f"{config.output}/evaluation/items-one.parquet").to_pylist()
    right = [item["raw"] == item["gold"] for item in items]
    assert one["accuracy"]["raw"]["mean"] == pytest.approx(sum(right) / 30)
    assert all(item["log_likelihood"][item["raw"]] == max(item["log_likelihood"]) for item in items)
    assert one["chance"] == pytest.approx(1 / 3)
    assert set(one["groups"]) == {"a", "b"}
    assert {name: of["n"] for name, of in found["corpus"]["domains"].items()} == {"a": 10, "b": 10}
    said = capsys.readouterr()
    assert "left out: 1 documents" in said.err
    assert "bits per byte" in said.out


def test_what_is_done_is_not_asked_again_and_another_template_is_refused(config, monkeypatch):
    assert main(config) == 0
    monkeypatch.setattr(evaluate_model, "answers", lambda *_, **__: pytest.fail("asked again"))
    assert main(config) == 0
    with pytest.raises(ValueError, match=r"questions was .* and is now"):
        main(replace(config, template="{query}"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmarks": (), "corpus": ()}, "give --benchmarks, --corpus or both"),
        ({"max_tokens": 1}, "max_tokens must be at least 2"),
        ({"max_tokens": 5000}, "max_tokens must be at most"),
        ({"text_column": "body"}, "no document in .* has a text|no column 'body'"),
        ({"domain_column": "domain"}, "no column 'domain'"),
        ({"template": "{question}"}, "bench.jsonl:0 isn't: the template names a column that it lacks"),
        ({"group_column": "subject"}, "bench.jsonl:0 isn't: no subject"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(config, changes, message):
    with pytest.raises((ValueError, KeyError), match=message):
        main(replace(config, **changes))
    assert not (Folder(config.output) / "evaluation").files(recursive=True)
