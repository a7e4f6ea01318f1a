"""finetune --learn embedding, in this process: what is refused, learnt, exported and measured."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from jobs.finetune import Config, main
from jobs.parts.embedding_evaluation import heldout_set
from jobs.parts.embedding_training import export, load_pairs, make, plan_embedding, task_of
from raypipe.embed.texts import embed
from raypipe.settings.nested import built, changed
from raypipe.storage.folder import Folder
from raypipe.train.data.left_out import LeftOut
from raypipe.train.data.loader import BatchLayout
from raypipe.train.data.pairs import PairSets, PairTexts
from raypipe.train.loop.checkpoint import State
from tests.embed.test_embed import STORED
from tests.embed.tiny_encoders import TEXTS, save

WORDS = ["red", "green", "blue", "black", "white", "brown", "grey", "pink"]
NAMES = ["ox", "hen", "cat", "dog", "pig", "cow", "fly", "bee"]
"""What belongs to each of them: nothing of the letters says so."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


def config_of(folder: Path, kind: str = "bert", **settings: Any) -> Config:
    save(folder / "model", kind)
    rows = [
        {"query": f"{word} {n}", "positive": f"{NAMES[at]}", "negatives": [NAMES[at - 1], NAMES[at - 2]],
         "scores": [1.0, 0.2, 0.1]}
        for n in range(24) for at, word in enumerate(WORDS)
    ]  # fmt: skip
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {
        "data": (str(folder / "pairs.jsonl"),), "model": str(folder / "model"), "output": str(folder / "run"),
        "learn": "embedding", "length": 32, "batch_examples": 16, "micro_batch": 16, "steps": 2, "weight_decay": 0.0,
        "learning_rate": 1e-2, "cpus_per_worker": 1, "heldout_share": 0.2,
    }  # fmt: skip
    return built(Config, **{**given, **settings})


def test_an_export_is_read_out_as_sentence_transformers_reads_the_model(tmp_path):
    """The expected vectors are its own: of the same weights, and of these files that say how."""
    for kind, named in (("bert", "bert"), ("xlm-roberta", "xlm-roberta query"), ("qwen2", "qwen2 query")):
        config = config_of(tmp_path / kind, kind, negatives=0)
        identity = plan_embedding(config, Folder("nowhere"), load_pairs(config)).identity
        weights = dict(task_of(config, n_negatives=0).models.trained.named_parameters())
        export(config, Folder(str(tmp_path / kind)) / "out", identity, weights, State())
        out = tmp_path / kind / "out/model"
        prompts = json.loads((out / "config_sentence_transformers.json").read_text())["prompts"]
        length = {"bert": 64, "xlm-roberta": 40, "qwen2": 64}[kind]
        found = embed(TEXTS, model=str(out), template=prompts["query"] + "{text}", max_tokens=length)
        X = np.stack(found["embedding"].to_numpy())
        np.testing.assert_allclose(X, STORED["vectors"][named], rtol=1e-3, atol=1e-3)
        assert json.loads((out / "sentence_bert_config.json").read_text())["max_seq_length"] == 32


@pytest.mark.learns
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id=""),
        pytest.param({"lora_rank": 4, "pair_mixtures": 1, "scores_weight": 1.0}, id="lora", marks=pytest.mark.slow),
    ],
)
def test_pairs_are_learnt_and_held_out_queries_find_theirs(tmp_path, capsys, settings):
    config = config_of(tmp_path, steps=40, focal_gamma=0.5, matryoshka=(16, 8), **settings)
    assert main(config) == 0
    found = json.loads((tmp_path / "run/finetune/evaluation.json").read_text())
    before, after = (found["retrieval"][name]["nDCG@10"]["mean"] for name in ("untrained", "finetuned"))
    assert after > before  # by .08 and .09 where it was written
    assert (found["n"], found["n_documents"]) == (len({text.query for text in load_pairs(config).heldout_texts}), 8)
    said = capsys.readouterr()
    assert "finetuned minus untrained, nDCG@10: +" in said.out
    assert "2 negatives each" in said.err
    assert main(config) == 0  # finished: nothing is trained again
    with pytest.raises(ValueError, match="focal_gamma"):
        main(changed(config, focal_gamma=1.0))


def test_like_queries_come_into_a_batch_together_once_clusters_have_grown(tmp_path):
    config = config_of(tmp_path, steps=None, epochs=2, cluster_rows=8, heldout_every=1000)
    assert main(config) == 0
    n, path = len(load_pairs(config).train), tmp_path / "run/finetune/clusters"
    clusters = load_file(path)["clusters"]
    assert clusters.shape == (3, n)
    assert all(np.bincount(of).max() <= size for size, of in zip((2, 4, 8), clusters, strict=True))
    _, loader = make(config, Folder(str(tmp_path / "run")) / "finetune", None, BatchLayout(0, 1, 16, 16))
    together = [len({clusters[2, pair] for pair in loader.order(epoch)[:16]}) for epoch in (0, 9)]
    assert together[1] <= 4 < together[0]
    again = plan_embedding(changed(config, cluster_rows=4), Folder("nowhere"), load_pairs(config)).identity
    assert again != plan_embedding(config, Folder("nowhere"), load_pairs(config)).identity
    plain = plan_embedding(changed(config, cluster_rows=1), Folder("nowhere"), load_pairs(config)).identity
    assert not any("cluster" in name for name in plain)  # cards of before are still understood


def test_documents_to_find_are_the_held_out_ones_then_others_up_to_a_number():
    rows = [PairTexts(f"q{n}", f"p{n}", (f"n{n}", "p0")) for n in range(10)]
    pairs = PairSets([], [], [*rows[3:]], [*rows[:3], PairTexts("q0", "p1")], 2, LeftOut())
    data = heldout_set(pairs, at_most=8)
    assert len(data.documents) == 8
    assert {"p0", "p1", "p2", "n0", "n1", "n2"} <= {*data.documents}
    assert data.queries == ("q0", "q1", "q2")
    assert {data.documents[at] for at in data.relevance[0]} == {"p0", "p1"}
    assert len(heldout_set(pairs, at_most=1).documents) == 6  # what is held out is never left out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pooling": "cls"}, "pooling must be 'mean', as the files of encoder"),
        ({"query_template": "{text} is asked"}, "a template must end with {text}, so that the export"),
        ({"matryoshka": (17,)}, r"matryoshka must be numbers from 1 to 16, got \[17\]"),
        ({"matryoshka_weights": (1.0,)}, "--matryoshka-weights has no effect without --matryoshka"),
        ({"scores_temperature": 1.0}, "--scores-temperature has no effect without --scores-weight"),
        ({"kind": "qwen2", "learn": "class", "focal_gamma": 1.0}, "--focal-gamma has no effect with --learn class"),
        ({"negatives": 1, "pair_mixtures": 1}, "pair_mixtures need rows of at least 2 negatives, got 1"),
        ({"bidirectional": True, "compile": True}, "--compile has no effect with --learn embedding"),
        ({"best_by": "accuracy", "take": "best"}, "best_by must be one of loss, recall@1 with --learn embedding"),
        ({"cluster_rows": 17}, "cluster_rows must be from 1 to the rows of a batch, 16, got 17"),
        ({"cluster_epochs": 2}, "--cluster-epochs has no effect without --cluster-rows"),
        ({"prompt_column": "text"}, "--prompt-column has no effect with --learn embedding"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, said):
    with pytest.raises(ValueError, match=said):
        config_of(tmp_path, **settings).check()
