"""Min-K% Prob: whether a model was trained on a text, told from its least likely tokens.

A small model is pretrained on passages of the sample's documents, drawn at random from the same documents as those that
it never sees, so that nothing but training sets the two apart; a classifier of words alone, the blind baseline, must
find nothing. Bars are the dossier's (section f): AUROC above .8 after five passes or more, .5 where neither half was
trained on, rising with how often a passage was planted, and an audit after passages were finetuned away.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raypipe import sample
from raypipe.contracts.parts import apply
from raypipe.evaluate.auroc import auroc
from raypipe.evaluate.claims import Claim
from raypipe.evaluate.membership import told_by
from raypipe.runs.trials import Metrics
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.statistics.lowercase import Lowercase
from raypipe.score.statistics.min_k import MinK
from raypipe.score.statistics.min_k_plus_plus import MinKPlusPlus
from raypipe.score.statistics.zlib_loss import ZlibLoss
from raypipe.storage.folder import Folder

from .small_model import LENGTH, prepare, pretrain, source_table
from .study import Study

STATISTICS = (MinK(), MinKPlusPlus(), ZlibLoss(), Lowercase())
PLANTED = (1, 4, 16)
Parts = dict[str, np.ndarray]


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """AUROC of members against others by every statistic, of planted passages by count, of forgotten ones."""
    torch.set_num_threads(1)
    texts, parts = _passages(settings, seed)
    with tempfile.TemporaryDirectory() as temporary:
        where = Path(temporary)
        prepare(texts, where, vocabulary_size=settings["vocabulary"])
        model = _trained(where, parts, settings, seed)
        scores = _scores(model, where, texts)
        rows = np.concatenate([parts["members"], parts["others"]])
        is_member = np.arange(len(rows)) < len(parts["members"])
        told = told_by({name: of[rows] for name, of in scores.items()}, is_member, [texts[row] for row in rows])
        found = {"half": 0.5, **{name: of.auroc for name, of in told.items()}}
        found |= {f"{name}_tpr": of.tpr_at_5_fpr for name, of in told.items()}
        for count in PLANTED:
            found[f"planted_{count}"] = _area(scores["min_k"], parts[f"planted {count}"], parts["others"])
        if settings["train"] == "forget":
            found["before"] = _area(scores["min_k"], parts["forgotten"], parts["others"])
            after = _scores(_finetuned_away(model, where, parts, settings, seed), where, texts)
            found["after"] = _area(after["min_k"], parts["forgotten"], parts["others"])
    return found


def _passages(settings: Mapping[str, Any], seed: int) -> tuple[list[str], Parts]:
    """Passages of so many words of the sample's documents, and which are members, others, planted ...: by the seed."""
    words = settings["words"]
    pieces = [
        " ".join(of[start : start + words]) for of in _documents() for start in range(0, len(of) - words + 1, words)
    ]
    pieces = list(dict.fromkeys(pieces))
    n, n_planted = settings["n"], settings["n_planted"]
    sizes = {"members": n, "others": n, "neither": n} | {f"planted {count}": n_planted for count in PLANTED}
    if sum(sizes.values()) > len(pieces):
        raise ValueError(f"{len(pieces)} passages of {words} words must hold {sizes}; lower n or words.")
    order = np.random.default_rng([seed, 0]).permutation(len(pieces))[: sum(sizes.values())]
    parts = dict(zip(sizes, np.split(np.arange(len(order)), np.cumsum(list(sizes.values()))[:-1]), strict=True))
    parts["forgotten"] = parts["members"][: n // 4]
    return [pieces[at] for at in order], parts


@lru_cache(maxsize=1)
def _documents() -> list[list[str]]:
    files = sorted(Path(sample.corpus_folder()).glob("*.jsonl"))
    return [json.loads(line)["text"].split() for file in files for line in file.read_text("utf-8").splitlines()]


def _trained(where: Path, parts: Parts, settings: Mapping[str, Any], seed: int) -> Any:
    times = np.zeros(sum(len(rows) for name, rows in parts.items() if name != "forgotten"))
    if settings["train"] == "neither":
        times[parts["neither"]] = 1
    else:
        times[parts["members"]] = 1
    if settings["train"] == "planted":
        for count in PLANTED:
            times[parts[f"planted {count}"]] = count
    return pretrain(where, times, passes=settings["passes"], seed=seed, **_recipe(settings))


def _recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in ("shape", "learning_rate", "batch_tokens")}


def _finetuned_away(model: Any, where: Path, parts: Parts, settings: Mapping[str, Any], seed: int) -> Any:
    """The model after a few passes over what it never saw, without the passages that it is to forget."""
    times = np.zeros(sum(len(rows) for name, rows in parts.items() if name != "forgotten"))
    times[parts["neither"]] = 1
    return pretrain(where, times, passes=settings["forget_passes"], seed=seed + 1, start=model, **_recipe(settings))


def _scores(model: Any, where: Path, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Every statistic of every text, and the mean log-probability; higher means a member."""
    model.save_pretrained(where / "model")
    op = ForwardPass(str(where / "model"), STATISTICS, max_tokens=4 * LENGTH, token_budget=4096)
    op.setup(n_threads=1)
    table = apply(op, source_table(texts))
    found = {part.score.column: table[part.score.column].to_numpy() for part in STATISTICS}
    return {"loss": -table["loss"].to_numpy(), **found}


def _area(score: np.ndarray, members: np.ndarray, others: np.ndarray) -> float:
    rows = np.concatenate([members, others])
    return auroc(score[rows], np.arange(len(rows)) < len(members)).auroc


MANY, ONE, NEITHER = "members, ten passes", "members, one pass", "trained on neither"
PLANTS, FORGET = "planted 1, 4 and 16 times in one pass", "finetuned away"
STUDY = Study(
    source="W. Shi et al., arXiv 2310.16789, sections 4 to 6; J. Zhang et al., arXiv 2404.02936; dossier f",
    trial=trial,
    arms={
        MANY: {"train": "members", "passes": 10},
        ONE: {"train": "members", "passes": 1},
        PLANTS: {"train": "planted", "passes": 1},
        FORGET: {"train": "forget", "passes": 10},
        NEITHER: {"train": "neither", "passes": 10},
    },
    control=NEITHER,
    data=("sample",),
    settings={
        "words": 32, "n": 160, "n_planted": 50, "vocabulary": 1024, "shape": "tiny", "learning_rate": 1e-2,
        "batch_tokens": 512, "forget_passes": 3,
    },
    quick={"n": 16, "n_planted": 5, "vocabulary": 300, "forget_passes": 1},
    seeds=5,
    more_code=(f"{__package__}.small_model", "raypipe.train.loop.loop", "raypipe.train.data.order"),
    claims=(
        Claim(
            sentence="After ten passes Min-K% tells members from others: AUROC above .8",
            metric="min_k", of=MANY, over=MANY, over_metric="half", at_least=0.3,
        ),
        Claim(
            sentence="Min-K% tells more than the plain loss after ten passes",
            metric="min_k", of=MANY, over=MANY, over_metric="loss",
        ),
        Claim(
            sentence="Min-K%++ tells more than Min-K% after ten passes",
            metric="min_k_plus_plus", of=MANY, over=MANY, over_metric="min_k",
        ),
        Claim(
            sentence="Ten passes leave more traces than one: AUROC .1 higher",
            metric="min_k", of=MANY, over=ONE, at_least=0.1,
        ),
        Claim(
            sentence="A model that was trained on neither half tells nothing: .5 within two standard errors (.065)",
            metric="min_k", of=NEITHER, over=NEITHER, over_metric="half", within=0.065,
        ),
        Claim(
            sentence="Words alone tell nothing: the blind baseline is below .55",
            metric="blind", of=MANY, over=MANY, over_metric="half", at_least=-0.05, lower_is_better=True,
        ),
        Claim(
            sentence="Passages planted 4 times in one pass are told better than those planted once",
            metric="planted_4", of=PLANTS, over=PLANTS, over_metric="planted_1",
        ),
        Claim(
            sentence="Passages planted 16 times are told better than those planted 4 times",
            metric="planted_16", of=PLANTS, over=PLANTS, over_metric="planted_4",
        ),
        Claim(
            sentence="Planted 16 times they are told: AUROC above .8",
            metric="planted_16", of=PLANTS, over=PLANTS, over_metric="half", at_least=0.3,
        ),
        Claim(
            sentence="Finetuning on other passages hides what is forgotten: AUROC falls by more than .05",
            metric="before", of=FORGET, over=FORGET, over_metric="after", at_least=0.05,
        ),
        Claim(
            sentence="An audit after it still tells what was forgotten: AUROC above .55",
            metric="after", of=FORGET, over=FORGET, over_metric="half", at_least=0.05,
        ),
        Claim(
            sentence="Ten passes tell more than a model of neither half: AUROC .2 higher",
            metric="min_k", of=MANY, over=NEITHER, at_least=0.2,
        ),
    ),
)  # fmt: skip
