"""Augmentation by generated texts: is what a generator adds worth more than nothing, and is its filter worth anything?

Descriptions of Debian packages, five classes, n = 20, 100 and 500 training texts by a seed, 300 to test. Generators are
a language model of 0.2 M parameters, pretrained once on the sample's documents (but for its catalogue, which is of the
same packages) and adapted to each class, at n = 20 and 100; chains of a class's word triples, the floor; and swaps and
deletions of words (EDA). The classifier is a regression on TF-IDF of words; MiniLM's vectors without augmentation stand
beside it. The filter's vectors are TF-IDF on 48 axes of the training texts. Whether a text kept its label is judged by
a regression on all rows but the training texts. In the controls half of the triples are another class's, and the
classes of the model's texts are shuffled. Bars are the dossier's (section f), those of the language model set before
its first run; "up to" figures of the abstract are no bars. A larger model (SmolLM2 with adapters) is the default of
`augment_texts` and hasn't been run here: no figure says anything of one.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from raypipe import sample
from raypipe.evaluate.claims import Claim
from raypipe.label.augment.generators import Draft, swaps_and_deletions, word_triples
from raypipe.label.augment.made_texts import Keeping, MadeText, augmented, copy_rate, sifted
from raypipe.label.augment.numbered_texts import Prompting
from raypipe.run.chain import Step
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from ..parts.class_generators import Adapting, drafts_of_class
from .named_texts import minilm, named_texts
from .open_data import made
from .small_model import prepare, pretrain
from .study import Study

BASE = ("vocabulary", "shape", "passes", "max_documents")
ADAPTED = ("epochs", "learning_rate", "max_new_tokens")


def stage(settings: Mapping[str, Any], data: str, own: Folder) -> Step:
    """The language model that is adapted to each class, pretrained once for all trials."""
    chosen = {name: settings[name] for name in BASE}

    def work(card: dict[str, Any], stopping: Any) -> None:
        """Write its folder."""
        with tempfile.TemporaryDirectory() as temporary:
            files = sorted(Path(_pretrained(Path(temporary), **chosen)).iterdir())
            for file in files:
                own.write(file.name, file.read_bytes())
        card["counts"] = {"files": len(files)}

    return Step({"pretrained_on": "sample", **chosen}, work)


def _pretrained(where: Path, *, vocabulary: int, shape: str, passes: float, max_documents: int) -> str:
    import torch

    torch.set_num_threads(1)
    files = [file for file in sorted(sample.corpus_folder().glob("*.jsonl")) if file.stem != "catalogue"]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    texts = [json.loads(line)["text"] for line in lines[:: max(1, len(lines) // max_documents)]]
    prepare(texts, where, vocabulary_size=vocabulary)
    model = pretrain(
        where, np.ones(len(texts)), shape=shape, passes=passes, learning_rate=3e-3, batch_tokens=1024, seed=0
    )
    model.save_pretrained(where / "model")
    return str(where / "model")


@lru_cache(maxsize=1)
def _base(*chosen: Any) -> tuple[str, Any]:
    """The model's folder, from the stage where there is one, and what keeps it there."""
    kept = made("debtags")
    if kept is not None:
        return kept.uri, None
    temporary = tempfile.TemporaryDirectory()
    return _pretrained(Path(temporary.name), **dict(zip(BASE, chosen, strict=True))), temporary


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """With n training texts: accuracy, what the arm adds to it, labels kept, copies, the share that is kept."""
    rows = named_texts("debtags", settings["max_rows"])
    order = np.random.default_rng([seed, 51]).permutation(len(rows.texts))
    test, rest = np.split(order, [settings["n_test"]])
    labels, found = np.array(rows.names)[rows.y], dict[str, float]()
    is_model = settings["generator"].startswith("model")
    for n in settings["model_sizes"] if is_model else settings["sizes"]:
        known = _with_two_of_each(rest, rows.y, n)
        if settings["generator"] == "minilm":
            found[f"accuracy_{n}"] = _by_minilm(rows.texts, labels, known, test, settings["max_tokens"])
            continue
        texts, own = [rows.texts[at] for at in known], labels[known].tolist()
        judge, plain = _beside(settings["max_rows"], tuple(known), tuple(test))
        drafted = _made(settings, texts, own, seed)
        kept = [one for one in drafted if one.left_out is None]
        model = _classifier([*texts, *(one.text for one in kept)], [*own, *(one.label for one in kept)])
        more = float((model.predict([rows.texts[at] for at in test]) == labels[test]).mean())
        found |= {
            f"accuracy_{n}": more, f"gain_{n}": more - plain,
            f"kept_label_{n}": _kept_label(judge, kept), f"copies_{n}": copy_rate(drafted),
            f"copied_words_{n}": float(np.mean([one.copied for one in kept])) if kept else 0.0,
            f"kept_{n}": len(kept) / max(1, len(drafted)),
        }  # fmt: skip
    return found


@lru_cache(maxsize=3)
def _beside(max_rows: int, known: tuple[int, ...], test: tuple[int, ...]) -> tuple[Any, float]:
    """What all arms of a seed share: a judge that knows all other rows, and the accuracy without augmentation."""
    rows = named_texts("debtags", max_rows)
    labels, texts = np.array(rows.names)[rows.y], np.array(rows.texts, object)
    others = np.setdiff1d(np.arange(len(labels)), known)
    plain = _classifier(texts[list(known)], labels[list(known)])
    right = plain.predict(texts[list(test)]) == labels[list(test)]
    return _classifier(texts[others], labels[others]), float(right.mean())


def _made(settings: Mapping[str, Any], texts: list[str], labels: list[str], seed: int) -> list[MadeText]:
    generator, quantile = settings["generator"], settings["quantile"]
    if generator == "none":
        return []
    if generator == "eda":
        return augmented(texts, labels, swaps_and_deletions, _axes(texts), name="eda", quantile=0.0, seed=seed)
    if generator.startswith("model"):
        found = _by_model(settings, texts, labels, seed)
        return found if generator == "model" else _shuffled(found, seed)
    found = augmented(texts, labels, word_triples, _axes(texts), name="triples", quantile=quantile, seed=seed)
    return found if generator == "triples" else _half_wrong(found, seed)


def _by_model(settings: Mapping[str, Any], texts: list[str], labels: list[str], seed: int) -> list[MadeText]:
    """Class by class: one of which nothing can be kept adds nothing."""
    base = _base(*(settings[name] for name in BASE))[0]
    how, embed, found = tuple(settings[name] for name in ADAPTED), _axes(texts), list[MadeText]()
    for label in sorted(set(labels)):
        own = tuple(text for text, of in zip(texts, labels, strict=True) if of == label)
        drafts, keeping = {label: _drafts(base, own, seed, how)}, Keeping(quantile=settings["quantile"])
        try:
            found += sifted(own, [label] * len(own), drafts, embed, name="model", seed=seed, keeping=keeping)
        except ValueError as nothing_kept:
            if "can be kept" not in str(nothing_kept):
                raise
    return found


@lru_cache(maxsize=64)
def _drafts(base: str, texts: tuple[str, ...], seed: int, how: tuple[float, float, int]) -> list[Draft]:
    """Four a text, which all arms of a seed share."""
    adapting = Adapting(
        epochs=how[0], learning_rate=how[1], max_new_tokens=how[2], batch_rows=80,
        prompting=Prompting(temperatures=(0.9,)),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        return drafts_of_class(base, texts, 4 * len(texts), seed, how=adapting, folder=Folder(temporary))


def _half_wrong(found: list[MadeText], seed: int) -> list[MadeText]:
    """The control of the triples: labels of half of them are another's."""
    rng, names = np.random.default_rng([seed, 52]), sorted({one.label for one in found})
    return [
        replace(one, label=names[(names.index(one.label) + 1) % len(names)] if rng.random() < 0.5 else one.label)
        for one in found
    ]


def _shuffled(found: list[MadeText], seed: int) -> list[MadeText]:
    """The control of the model: its texts under labels that say nothing."""
    labels = np.random.default_rng([seed, 53]).permutation([one.label for one in found])
    return [replace(one, label=str(label)) for one, label in zip(found, labels, strict=True)]


def _by_minilm(texts: tuple[str, ...], labels: Any, known: np.ndarray, test: np.ndarray, max_tokens: int) -> float:
    """The harder baseline: vectors of a pretrained encoder, no augmentation."""
    from sklearn.linear_model import LogisticRegression

    X = minilm(texts, max_tokens)
    model = LogisticRegression(C=10.0, max_iter=200).fit(X[known], labels[known])
    return float(model.score(X[test], labels[test]))


def _axes(texts: list[str]) -> Any:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True)
    counts = words.fit_transform(texts)
    axes = TruncatedSVD(min(48, len(texts) - 1), random_state=0).fit(counts)
    return lambda given: axes.transform(words.transform(given))


def _classifier(texts: Sequence[str] | np.ndarray, labels: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    made = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10.0, max_iter=200))
    return made.fit(list(texts), list(labels))


def _kept_label(judge: Any, made: list[MadeText]) -> float:
    """The share of generated texts that the judge gives their label; 0 where there are none."""
    if not made:
        return 0.0
    return float(np.mean(judge.predict([one.text for one in made]) == np.array([one.label for one in made])))


def _with_two_of_each(order: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    """n rows in this order, of each class as many, and two at least."""
    each = max(2, n // (int(y.max()) + 1))
    return np.concatenate([order[y[order] == label][:each] for label in range(int(y.max()) + 1)])


def _arm(generator: str, **more: Any) -> dict[str, Any]:
    return {"generator": generator, "quantile": 0.0, **more}


NONE, EDA, RAW, CONTROL = "no augmentation", "swaps and deletions", "word triples, all", "half of another class"
FILTERED = {0.1: "word triples, filtered", 0.5: "word triples, the nearer half", 0.9: "word triples, the nearest tenth"}
MODEL, MODEL_RAW, MODEL_HALF = "language model, filtered", "language model, all", "language model, the nearer half"
SHUFFLED, MINILM = "language model, classes shuffled", "no augmentation, MiniLM vectors"
SIZES, MODEL_SIZES = (20, 100, 500), (20, 100)
STUDY = Study(
    source="M. Bayer et al., IJMLC 2022, arXiv 2103.14453, abstract; dossier f",
    trial=trial,
    stage=stage,
    arms={
        NONE: _arm("none"),
        EDA: _arm("eda"),
        RAW: _arm("triples"),
        **{name: _arm("triples", quantile=share) for share, name in FILTERED.items()},
        CONTROL: _arm("wrong"),
        MODEL: _arm("model", quantile=0.1),
        MODEL_RAW: _arm("model"),
        MODEL_HALF: _arm("model", quantile=0.5),
        SHUFFLED: _arm("model shuffled", quantile=0.1),
        MINILM: _arm("minilm"),
    },
    control=CONTROL,
    data=("debtags",),
    settings={
        "max_rows": 986, "n_test": 300, "sizes": SIZES, "model_sizes": MODEL_SIZES, "max_tokens": 64,
        "vocabulary": 1024, "shape": "tiny", "passes": 5, "max_documents": 172,
        "epochs": 10, "learning_rate": 2e-3, "max_new_tokens": 80,
    },
    quick={
        "max_rows": 90, "n_test": 20, "max_tokens": 8, "vocabulary": 300, "passes": 0.2, "max_documents": 8,
        "epochs": 0.2, "max_new_tokens": 4,
    },
    seeds=5,
    more_code=(f"{__package__}.small_model", f"{__package__.rpartition('.')[0]}.parts.class_generators"),
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
            sentence="What filtered triples add shrinks from 20 texts to 500",
            metric="gain_20", of=FILTERED[0.1], over=FILTERED[0.1], over_metric="gain_500",
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
        *(
            Claim(
                sentence=f"At {n} texts those of the language model, filtered, beat no augmentation",
                metric=f"accuracy_{n}", of=MODEL, over=NONE,
            )
            for n in MODEL_SIZES
        ),
        *(
            Claim(
                sentence=f"At 100 texts those of the language model, filtered, beat {name}",
                metric="accuracy_100", of=MODEL, over=arm,
            )
            for name, arm in (("swaps and deletions", EDA), ("filtered triples", FILTERED[0.1]))
        ),
        Claim(
            sentence="At 100 texts they are above MiniLM's vectors without augmentation",
            metric="accuracy_100", of=MODEL, over=MINILM,
        ),
        *(
            Claim(
                sentence=f"At {n} texts the filter leaves labels of the model's texts truer than raw: .03",
                metric=f"kept_label_{n}", of=MODEL_HALF, over=MODEL_RAW, at_least=0.03,
            )
            for n in MODEL_SIZES
        ),
        *(
            Claim(
                sentence=f"At {n} texts the model's texts do no worse filtered than raw: above -.01",
                metric=f"accuracy_{n}", of=MODEL, over=MODEL_RAW, at_least=-0.01,
            )
            for n in MODEL_SIZES
        ),
        Claim(
            sentence="At 100 texts the model's texts are above the same under shuffled classes: .03",
            metric="accuracy_100", of=MODEL, over=SHUFFLED, at_least=0.03,
        ),
        Claim(
            sentence="At 100 texts hardly any text of the model is a copy: .05",
            metric="copies_100", of=MODEL_RAW, over=NONE, within=0.05,
        ),
        Claim(
            sentence="What the model's texts add shrinks from 20 texts to 100",
            metric="gain_20", of=MODEL, over=MODEL, over_metric="gain_100",
        ),
    ),
)  # fmt: skip
