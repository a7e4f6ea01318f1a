"""Classes by language models: losses are those of a slow pass, dropped classes read no further, trained models tell."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from raypipe.contracts.parts import apply
from raypipe.corpus.rows import source_of
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.score.class_likelihoods import ClassLikelihoods, ClassModel
from raypipe.settings.identity import identity_of

TEXTS = ["river stone", None, "x", "a longer text than the others", "", "w" * 60]


@pytest.fixture(scope="module")
def folders(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three models of one tokenizer."""
    root = tmp_path_factory.mktemp("classes")
    for seed in range(3):
        shutil.copytree(tiny_folder, root / str(seed))
        torch.manual_seed(100 + seed)
        config = AutoModelForCausalLM.from_pretrained(tiny_folder).config
        AutoModelForCausalLM.from_config(config).save_pretrained(root / str(seed))
    return [str(root / str(seed)) for seed in range(3)]


def classified(classes: tuple[ClassModel, ...], texts: list, **settings) -> list[dict]:
    op = ClassLikelihoods(classes, **{"token_budget": 128, **settings})
    op.check()
    op.setup(n_threads=1)
    return apply(op, source_of(texts)).to_pylist()


def of_models(folders: list[str]) -> tuple[ClassModel, ...]:
    return tuple(ClassModel(f"c{at}", folder) for at, folder in enumerate(folders))


def slow(folder: str, prompt: str, text: str, n: int) -> float:
    """Nats a token of the first n tokens of the text, through transformers; a model without a prompt sees its end."""
    model, vocabulary = open_model(folder).weights(dtype="float32", device="cpu"), open_vocabulary(folder)
    before = vocabulary.backend.encode(prompt).ids or [vocabulary.end]
    ids = [*before, *vocabulary.backend.encode(text).ids[:n]]
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return -float(np.mean([log_p[at - 1, ids[at]] for at in range(len(before), len(ids))]))


def test_losses_are_those_of_a_slow_pass_over_each_prefix_under_each_class(folders):
    found = classified(of_models(folders), TEXTS, schedule="1:16")
    assert [row["reason"] for row in found] == [None, "null text", None, None, "empty", None]
    for row in (0, 2, 3, 5):
        expected = [slow(folder, "", TEXTS[row], 16) for folder in folders]
        assert found[row]["losses"] == pytest.approx(expected, rel=1e-4)
        assert found[row]["label"] == f"c{np.argmin(expected)}"
        assert found[row]["margin"] == pytest.approx(np.diff(np.sort(expected))[0], rel=1e-3)
        assert found[row]["n_tokens"] == min(16, len(TEXTS[row]))
        assert found[row]["n_evaluated"] == 3 * (1 + found[row]["n_tokens"])
        assert 1 / 3 < found[row]["probability"] <= 1


def test_one_model_after_a_prompt_for_each_class(folders):
    classes = tuple(ClassModel(name, folders[0], f"About {name}:\n") for name in ("stones", "music"))
    found = classified(classes, TEXTS, schedule="1:16")
    expected = [slow(folders[0], f"About {name}:\n", TEXTS[3], 16) for name in ("stones", "music")]
    assert found[3]["losses"] == pytest.approx(expected, rel=1e-4)


def test_dropped_classes_read_no_further_and_are_never_better_than_those_that_stayed(folders):
    all_of, staged = (classified(of_models(folders), TEXTS, schedule=one) for one in ("1:32", "2:8 1:32"))
    for row in (3, 5):
        early = [slow(folder, "", TEXTS[row], 8) for folder in folders]
        n = min(32, len(TEXTS[row]))
        dropped = int(np.argmax(early))
        kept = [at for at in range(3) if at != dropped]
        assert staged[row]["n_evaluated"] == 3 * 9 + 2 * (n + 1) < all_of[row]["n_evaluated"] + 3 * 9
        assert np.array(staged[row]["losses"])[kept] == pytest.approx(np.array(all_of[row]["losses"])[kept], rel=1e-4)
        assert staged[row]["losses"][dropped] >= max(np.array(staged[row]["losses"])[kept]) - 1e-6
        assert staged[row]["label"] != f"c{dropped}"
    assert staged[2]["n_evaluated"] == 3 * 2  # a text that ends in the first stage isn't read again
    assert staged[2]["losses"] == pytest.approx(all_of[2]["losses"], rel=1e-4)


def test_an_answer_does_not_follow_from_the_rows_beside_it(folders):
    together = classified(of_models(folders), TEXTS, schedule="2:8 1:32")
    for row in (0, 2, 3, 5):
        [alone] = classified(of_models(folders), [TEXTS[row]], schedule="2:8 1:32", token_budget=64)
        assert alone["label"] == together[row]["label"]
        assert alone["losses"] == pytest.approx(together[row]["losses"], rel=1e-4)


@pytest.mark.learns
def test_models_of_two_kinds_of_texts_tell_them(folders, tmp_path):
    kinds, rng = ("abba ", "xyz "), np.random.default_rng(0)
    for at, kind in enumerate(kinds):
        shutil.copytree(folders[at], tmp_path / str(at))
        model = AutoModelForCausalLM.from_pretrained(folders[at])
        ids = torch.tensor([open_vocabulary(folders[at]).backend.encode(kind * 8).ids[:24]])
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(20):
            optimiser.zero_grad()
            model(input_ids=ids, labels=ids).loss.backward()
            optimiser.step()
        model.save_pretrained(tmp_path / str(at))
    texts = [kinds[row % 2][rng.integers(3) :] + kinds[row % 2] * 4 for row in range(12)]
    classes = (*of_models([str(tmp_path / "0"), str(tmp_path / "1")]), ClassModel("untaught", folders[2]))
    found = classified(classes, texts, schedule="2:4 1:16")
    assert [row["label"] for row in found] == ["c0", "c1"] * 6
    assert all(row["margin"] > 0.5 for row in found)


def test_classes_that_cannot_be_compared_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="classes must be two at least, each once, got c0"):
        ClassLikelihoods(of_models(folders[:1])).check()
    with pytest.raises(ValueError, match="each once, got a, a"):
        ClassLikelihoods((ClassModel("a", folders[0]), ClassModel("a", folders[1]))).check()
    with pytest.raises(ValueError, match="schedule must be KEEP:EVALUATIONS"):
        ClassLikelihoods(of_models(folders), "3:5 2:9").check()
    with pytest.raises(ValueError, match=r"token_budget must hold a prefix and its prompt \(66 tokens\), got 32"):
        ClassLikelihoods(of_models(folders), "1:64", token_budget=32).check()
    shutil.copytree(folders[1], tmp_path / "other")
    path = tmp_path / "other/tokenizer.json"
    path.write_text(path.read_text().replace('"add_prefix_space":false', '"add_prefix_space":true').replace(
        '"add_prefix_space": false', '"add_prefix_space": true'))  # fmt: skip
    with pytest.raises(ValueError, match="must have one tokenizer"):
        ClassLikelihoods(of_models([folders[0], str(tmp_path / "other")]), "1:16").check()


def test_identity_follows_models_prompts_and_schedule(folders):
    a, b = ClassModel("a", folders[0]), ClassModel("b", folders[1])
    base = identity_of(ClassLikelihoods((a, b)))
    others = [
        ClassLikelihoods((a, ClassModel("b", folders[2]))), ClassLikelihoods((a, ClassModel("b", folders[1], "x"))),
        ClassLikelihoods((a, b), "1:9"),
    ]  # fmt: skip
    assert all(identity_of(other) != base for other in others)
