"""The evaluate_model job, in this process."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jobs.evaluate_model import Config, main
from jobs.parts.evaluation.model import EvaluatedModel
from raypipe.corpus.rows import text_hash
from raypipe.models.causal import open_model
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.runs.card import read_card
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder
from tests.models.tokenizers_of_five_kinds import saved
from tests.train.synthetic import finished, write_selection


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
    return built(
        Config, model=model, output=str(tmp_path / "run"), max_tokens=128, n_threads=1, group_column="part",
        benchmarks=(f"one={write(tmp_path / 'bench.jsonl', asked)}",),
        corpus=(write(tmp_path / "texts.jsonl", [*texts, {"text": " "}]),), domain_column="lang",
    )  # fmt: skip


def evaluation(config):
    return json.loads((Folder(config.run.output) / "evaluation").read("evaluation.json"))


def test_benchmarks_and_documents_are_measured_with_intervals(config, capsys):
    assert main(config) == 0
    assert "<bdi>running</bdi>" not in Folder(config.run.output).read("report.html").decode()
    found = evaluation(config)
    one = found["benchmarks"]["one"]
    items = pq.read_table(f"{config.run.output}/evaluation/items-one.parquet").to_pylist()
    right = [item["raw"] == item["gold"] for item in items]
    assert one["accuracy"]["raw"]["mean"] == pytest.approx(sum(right) / 30)
    assert all(item["log_likelihood"][item["raw"]] == max(item["log_likelihood"]) for item in items)
    assert one["chance"] == pytest.approx(1 / 3)
    assert set(one["groups"]) == {"a", "b"}
    assert {name: of["n"] for name, of in found["corpus"]["domains"].items()} == {"a": 10, "b": 10}
    said = capsys.readouterr()
    assert "left out: 1 documents" in said.err
    assert "bits per byte" in said.out


def test_a_card_names_what_cards_of_0_1_0_name(config):
    assert main(config) == 0
    found, model = read_card(Folder(config.run.output) / "evaluation")["identity"], open_model(config.evaluated.model)
    assert list(found.pop("questions")) == ["one"]
    assert len(found.pop("documents")) == 64
    assert found == {
        "model_sha256": model.sha256(), "tokenizer_sha256": model.tokenizer_sha256(), "max_tokens": 128,
        "dtype": "float32",
    }  # fmt: skip


def test_what_is_done_is_not_asked_again_and_another_template_is_refused(config, monkeypatch):
    assert main(config) == 0
    monkeypatch.setattr(EvaluatedModel, "decoder", property(lambda _: pytest.fail("asked again")))
    assert main(config) == 0
    with pytest.raises(ValueError, match=r"questions was .* and is now"):
        main(changed(config, template="{query}"))


@pytest.fixture
def every_kind(config, tmp_path):
    """Questions of every kind; the model is random, so its answers are wrong."""
    solved = [{"question": f"How many is {n} and 1?", "answer": f"#### {n + 1}"} for n in range(6)]
    tasks = [{"text": "Write one.", "test_list": ["assert one() == 1"]}] * 2
    labelled = [{"text": f"river {n}", "label": "xyz"[n % 3]} for n in range(12)]
    return changed(
        config, benchmarks=(), corpus=(), domain_column=None, group_column=None, new_tokens=4, batch=3,
        generate=(f"gsm={write(tmp_path / 'gsm.jsonl', solved)}",), shown=1,
        code=(f"mbpp={write(tmp_path / 'mbpp.jsonl', tasks)}",), samples=2, k=(1, 2), code_network=True,
        many_shot=(f"kinds={write(tmp_path / 'kinds.jsonl', labelled)}",), shots=(0, 3),
        in_context=True, max_tokens=300,
    )  # fmt: skip


def test_every_kind_of_question_is_asked_and_has_intervals(every_kind, capsys):
    assert main(every_kind) == 0
    found = evaluation(every_kind)["benchmarks"]
    assert {name: (of["kind"], of["n"]) for name, of in found.items()} == {
        "gsm": ("generation", 5), "mbpp": ("code", 2), "kinds": ("many-shot", 9), "in-context": ("in-context", 72),
    }  # fmt: skip
    assert set(found["gsm"]["accuracy"]) == {"strict", "flexible"}
    assert found["mbpp"]["accuracy"]["pass@2"] == {"mean": 0.0, "low": 0.0, "high": pytest.approx(0.66, abs=0.01)}
    assert set(found["kinds"]["accuracy"]) == {"0 examples", "3 examples"}
    assert set(found["in-context"]["groups"]) == {"copy of 16 tokens", "copy of 64 tokens", "one fact of 4"}
    items = pq.read_table(f"{every_kind.run.output}/evaluation/items-mbpp.parquet").to_pylist()
    assert [one["ended"] for one in items] == [["failed", "failed"]] * 2
    assert "pass@1" in capsys.readouterr().out


def test_questions_that_leave_no_room_or_no_question_are_refused_early(every_kind):
    for changes, message in [
        ({"new_tokens": 2040}, "must fit into the model's 2048 positions, got"),
        ({"shown": 6}, "shown must leave questions to ask, got 6 of the 6"),
        ({"k": (3,)}, r"k must be from 1 to --samples \(2\), got \(3,\)"),
        ({"shots": (12,)}, "12 rows must hold 12 examples to show and others to ask"),
        ({"program_mb": 8}, "64 MB of memory, got"),
        ({"code": (), "k": (1,), "samples": 1}, "--code-network has no effect without --code"),
    ]:
        with pytest.raises(ValueError, match=message):
            main(changed(every_kind, **changes))
    assert not (Folder(every_kind.run.output) / "evaluation").files(recursive=True)


def trained_run(folder, vocabulary, texts):
    """A run whose tokens are these texts, the last of them never seen."""
    ids = [vocabulary.backend.encode(text).ids for text in texts]
    rows = {
        "id": [f"t{n}" for n in range(len(texts))],
        "text_hash": [text_hash(text.encode()) for text in texts], "domain": ["a"] * len(texts),
        "n_tokens": pa.array([len(one) for one in ids], pa.int32()), "tokens": pa.array(ids, pa.list_(pa.int32())),
        "status": ["scored"] * len(texts),
    }  # fmt: skip
    record = {"raypipe.source_path": "a.jsonl", "raypipe.start": "0"}
    (folder / "tokens").mkdir(parents=True)
    pq.write_table(pa.table(rows).replace_schema_metadata(record), folder / "tokens/a.parquet")
    (folder / "tokens/card.json").write_bytes(finished({"tokenizer_sha256": vocabulary.sha256}))
    tokens = Folder(str(folder)) / "tokens"
    write_selection(folder / "selection", tokens, weight=lambda n: float(n < len(texts) - 1), identity={"share": 1})
    return str(folder)


def test_documents_that_were_trained_on_are_told_and_measured_apart(config, tmp_path, model, capsys):
    run = "river stone bread window little green under over carry night morning paper say yes no river"
    vocabulary = open_vocabulary(model)
    trained = trained_run(tmp_path / "trained", vocabulary, ["a text", f"before {run} after", "another", "not seen"])
    held = [
        ("h0", f"Other words, then {run.title()}!"),
        ("h1", "a text"),
        ("t2", "by id"),
        ("h3", "not seen"),
        ("h4", "new"),
    ]
    corpus = write(tmp_path / "held.jsonl", [{"key": key, "text": text} for key, text in held])
    config = changed(config, benchmarks=(), group_column=None, corpus=(corpus,), domain_column=None, id_column="key",
                     trained_on=trained)  # fmt: skip
    assert main(config) == 0
    documents = pq.read_table(f"{config.run.output}/evaluation/documents.parquet").to_pylist()
    assert [one["shared"] for one in documents] == [" ".join(run.split()[:13]), "same text", "same id", None, None]
    assert documents[0]["shared_ngrams"] == pytest.approx(4 / 7)
    found = evaluation(config)["corpus"]
    assert (found["trained_on"]["n_shared"], found["all"]["n"], found["unseen"]["all"]["n"]) == (3, 5, 2)
    assert "3 documents share their id, text or 13 words" in capsys.readouterr().out
    (tmp_path / "trained/tokens/card.json").write_bytes(finished({"tokenizer_sha256": "0" * 64}))
    with pytest.raises(ValueError, match="a model with another tokenizer wasn't trained on these tokens"):
        main(changed(config, output=f"{config.run.output}-2"))


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
        ({"samples": 3}, "--samples has no effect without --code"),
        ({"selection": "none"}, "--selection has no effect without --trained-on"),
        ({"lm_eval_tasks": ("arc_easy",)}, r"needs lm-eval, which isn't installed; pip install 'raypipe\[eval\]'"),
        ({"trained_on": "nowhere"}, "nowhere has no stage 'tokens'"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(config, changes, message):
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        main(changed(config, **changes))
    assert not (Folder(config.run.output) / "evaluation").files(recursive=True)
