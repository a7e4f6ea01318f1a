"""Augmentation by generated texts: is what a generator adds worth more than nothing, and is its filter worth anything?

Descriptions of Debian packages, five classes, n = 20, 100 and 300 training texts by a seed, 300 to test. The generator
is the floor that the dossier asks for, chains of a class's word triples, and beside it swaps and deletions of words
(EDA); no language model generates here, so nothing is said of the paper's generator. Vectors for the filter are TF-IDF
on 48 axes of the training texts. Whether a text kept its label is judged by a regression on other real texts. The
classifier is a regression on TF-IDF of words. In the control half of the generated texts are another class's. "Up to"
figures of the abstract are no bars; bars are the dossier's (section f).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raypipe.evaluate.claims import Claim
from raypipe.label.augment.generators import swaps_and_deletions, word_triples
from raypipe.label.augment.made_texts import MadeText, augmented, copy_rate
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .named_texts import named_texts
from .study import Study


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy with n training texts and what the arm adds to them; share of labels kept, of copies and of the kept."""
    rows = named_texts("debtags", settings["max_rows"])
    order = np.random.default_rng([seed, 51]).permutation(len(rows.texts))
    test, judging, rest = np.split(order, [settings["n_test"], settings["n_test"] + settings["n_judging"]])
    labels = np.array(rows.names)[rows.y]
    judge = _classifier([rows.texts[at] for at in judging], labels[judging])
    found: dict[str, float] = {}
    for n in settings["sizes"]:
        known = _with_two_of_each(rest, rows.y, n)
        texts, own = [rows.texts[at] for at in known], labels[known].tolist()
        made = _made(settings, texts, own, seed)
        kept = [one for one in made if one.left_out is None]
        model = _classifier([*texts, *(one.text for one in kept)], [*own, *(one.label for one in kept)])
        said = model.predict([rows.texts[at] for at in test])
        found |= {
            f"accuracy_{n}": float((said == labels[test]).mean()),
            f"kept_label_{n}": _kept_label(judge, kept), f"copies_{n}": copy_rate(made),
            f"kept_{n}": len(kept) / max(1, len(made)),
        }  # fmt: skip
    return found


def _made(settings: Mapping[str, Any], texts: list[str], labels: list[str], seed: int) -> list[MadeText]:
    if settings["generator"] == "none":
        return []
    if settings["generator"] == "eda":
        return augmented(texts, labels, swaps_and_deletions, _axes(texts), name="eda", quantile=0.0, seed=seed)
    made = augmented(
        texts, labels, word_triples, _axes(texts), name="triples", quantile=settings["quantile"], seed=seed
    )
    if settings["generator"] == "triples":
        return made
    rng = np.random.default_rng([seed, 52])  # the control: labels of half of them are another's
    names = sorted(set(labels))
    return [
        MadeText(one.text, names[(names.index(one.label) + 1) % len(names)] if rng.random() < 0.5 else one.label,
                 None, "wrong", seed, one.similarity, one.left_out)
        for one in made
    ]  # fmt: skip


def _axes(texts: list[str]) -> Any:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True)
    counts = words.fit_transform(texts)
    axes = TruncatedSVD(min(48, len(texts) - 1), random_state=0).fit(counts)
    return lambda given: axes.transform(words.transform(given))


def _classifier(texts: Sequence[str], labels: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    made = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10.0, max_iter=200))
    return made.fit(list(texts), list(labels))


def _kept_label(judge: Any, made: list[MadeText]) -> float:
    """The share of generated texts that the judge gives their label."""
    if not made:
        return 1.0
    return float(np.mean(judge.predict([one.text for one in made]) == np.array([one.label for one in made])))


def _with_two_of_each(order: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    """n rows in this order, of each class as many, and two at least."""
    each = max(2, n // (int(y.max()) + 1))
    return np.concatenate([order[y[order] == label][:each] for label in range(int(y.max()) + 1)])


def _arm(generator: str, **more: Any) -> dict[str, Any]:
    return {"generator": generator, "quantile": 0.0, **more}


NONE, EDA, RAW, CONTROL = "no augmentation", "swaps and deletions", "word triples, all", "half of another class"
FILTERED = {0.1: "word triples, filtered", 0.5: "word triples, the nearer half", 0.9: "word triples, the nearest tenth"}
SIZES = (20, 100, 300)
STUDY = Study(
    source="M. Bayer et al., IJMLC 2022, arXiv 2103.14453, abstract; dossier f",
    trial=trial,
    arms={
        NONE: _arm("none"),
        EDA: _arm("eda"),
        RAW: _arm("triples"),
        **{name: _arm("triples", quantile=share) for share, name in FILTERED.items()},
        CONTROL: _arm("wrong"),
    },
    control=CONTROL,
    data=("debtags",),
    settings={"max_rows": 986, "n_test": 300, "n_judging": 300, "sizes": SIZES},
    quick={"max_rows": 240, "n_test": 40, "n_judging": 60, "sizes": SIZES},
    seeds=5,
    claims=(
        *(
            Claim(
                sentence=f"At {n} texts the filter leaves labels truer than they were raw: .03",
                metric=f"kept_label_{n}", of=FILTERED[0.5], over=RAW, at_least=0.03,
            )
            for n in SIZES
        ),
        *(
            Claim(
                sentence=f"At {n} texts filtered ones are no worse than raw ones: above -.01",
                metric=f"accuracy_{n}", of=FILTERED[0.5], over=RAW, at_least=-0.01,
            )
            for n in SIZES
        ),
        *(
            Claim(
                sentence=f"At {n} texts filtered triples beat no augmentation",
                metric=f"accuracy_{n}", of=FILTERED[0.1], over=NONE,
            )
            for n in SIZES
        ),
        Claim(
            sentence="At 100 texts filtered triples beat swaps and deletions",
            metric="accuracy_100", of=FILTERED[0.1], over=EDA,
        ),
        Claim(
            sentence="Keeping the nearest tenth alone is worse than keeping half: .005",
            metric="accuracy_100", of=FILTERED[0.5], over=FILTERED[0.9], at_least=0.005,
        ),
        Claim(
            sentence="Texts of the class itself are above those of which half are another's: .03",
            metric="accuracy_100", of=RAW, over=CONTROL, at_least=0.03,
        ),
        Claim(
            sentence="At 100 texts hardly any generated text is a copy: .05",
            metric="copies_100", of=RAW, over=NONE, within=0.05,
        ),
    ),
)  # fmt: skip
