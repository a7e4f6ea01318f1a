"""SOAP notes: sections learned from headers by a Bi-LSTM-CRF, and carried over to a second source with few labels.

Made notes: sections S, O, A, P in order, of sentences whose vectors alone tell them badly; the second source has other
vectors, a plan before the assessment in half of its notes, and shorter sections. With --data, articles of the factbook
in `corpus`: lines of six sections of each country, of which three at least are there, as TF-IDF on 48 axes; the second
source are Africa's and the Americas', whose sections stand in the opposite order. Headers label the first source and
are taken out. Rivals: a linear layer on each sentence, a regression on its place alone, training from nothing on the
second source's labelled notes. Controls: the headers left in, sections shuffled before testing, and shuffled tags.
Clinical notes are none of these: the paper's 89.99 can't be compared. Bars are the dossier's (section f), found there
on ACI-BENCH.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from raypipe.classify.section_tagger import SectionTagger
from raypipe.evaluate.claims import Claim
from raypipe.label.sections import SectionRules
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import real
from .study import Study

Notes = tuple[list[np.ndarray], list[np.ndarray]]
"""Documents [t, d], and the tag of each sentence [t]."""
SHOTS = (5, 10, 20)
SECTIONS = {
    "geography": ("Geography",), "people": ("People and Society",), "government": ("Government",),
    "economy": ("Economy",), "energy": ("Energy",), "communications": ("Communications",),
}  # fmt: skip


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy and macro F1 at home and away, of whole notes and of shuffled sections, and with n notes from away."""
    home, away = _sources(settings["data"], settings["n_notes"], seed, settings["headers"])
    train, test = _cut(home, settings["n_notes"] // 2)
    if settings["tags"] == "shuffled":
        rng = np.random.default_rng([seed, 93])
        train = train[0], [rng.permutation(of) for of in train[1]]
    if settings["by"] == "place":
        return {"home": _by_place(train, test)}
    made = _tagger(settings, seed).fit(train[0], [of.astype(str) for of in train[1]])
    found = {"home": _right(made, test), "home_f1": _f1(made, test), "away_f1": _f1(made, away),
             "reordered": _right(made, _reordered(test, seed))}  # fmt: skip
    for n in SHOTS if settings["transfers"] else ():
        known, rest = _cut(away, n)
        for name, start in (("carried", made), ("scratch", None)):
            further = _tagger(settings, seed).fit(known[0], [of.astype(str) for of in known[1]], start=start)
            found[f"{name}_{n}"] = _right(further, (rest[0], rest[1]))
    if settings["transfers"]:
        found["gap_few"] = found[f"carried_{SHOTS[0]}"] - found[f"scratch_{SHOTS[0]}"]
        found["gap_many"] = found[f"carried_{SHOTS[-1]}"] - found[f"scratch_{SHOTS[-1]}"]
    return found


def _tagger(settings: Mapping[str, Any], seed: int) -> SectionTagger:
    hidden, chains = (0, False) if settings["by"] == "sentence" else (settings["hidden"], True)
    return SectionTagger(
        hidden=hidden, chains=chains, n_epochs=settings["epochs"], learning_rate=0.01, random_state=seed
    )


def _right(tagger: SectionTagger, notes: Notes) -> float:
    return float((np.concatenate(tagger.predict(notes[0])) == np.concatenate(notes[1]).astype(str)).mean())


def _f1(tagger: SectionTagger, notes: Notes) -> float:
    from sklearn.metrics import f1_score

    said, true = np.concatenate(tagger.predict(notes[0])), np.concatenate(notes[1]).astype(str)
    return float(f1_score(true, said, average="macro"))


def _by_place(train: Notes, test: Notes) -> float:
    """Accuracy of a regression on where in its note a sentence stands."""
    from sklearn.linear_model import LogisticRegression

    def places(notes: Notes) -> np.ndarray:
        at = np.concatenate([np.linspace(0, 1, len(of)) for of in notes[1]])
        return np.column_stack([at**power for power in (1, 2, 3, 4)])

    found = LogisticRegression(max_iter=1000, C=100).fit(places(train), np.concatenate(train[1]))
    return float((found.predict(places(test)) == np.concatenate(test[1])).mean())


def _cut(notes: Notes, n: int) -> tuple[Notes, Notes]:
    return (notes[0][:n], notes[1][:n]), (notes[0][n:], notes[1][n:])


def _reordered(notes: Notes, seed: int) -> Notes:
    """Sections in a random order."""
    rng, found = np.random.default_rng([seed, 92]), ([], [])  # type: ignore[var-annotated]
    for document, tags in zip(*notes, strict=True):
        order = np.concatenate([np.flatnonzero(tags == tag) for tag in rng.permutation(np.unique(tags))])
        found[0].append(document[order])
        found[1].append(tags[order])
    return found


def _sources(data: str, n_notes: int, seed: int, headers: bool) -> tuple[Notes, Notes]:
    return _made(n_notes, seed, headers) if data == "made" else _factbook(n_notes, seed, headers)


def _made(n: int, seed: int, headers: bool) -> tuple[Notes, Notes]:
    """Sentences around the centres of their sections; the second source's centres lie elsewhere in part."""
    rng, d = np.random.default_rng([seed, 91]), 16
    centres, heads = rng.normal(size=(4, d)), 6 * rng.normal(size=(4, d))
    other = 0.7 * centres + 0.7 * rng.normal(size=(4, d))

    def note(of: np.ndarray, order: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        tags = np.repeat(order, rng.integers(2, most, 4))
        document = of[tags] + 2.6 * rng.normal(size=(len(tags), d))
        if not headers:
            return document, tags
        first = np.flatnonzero(np.append(True, tags[1:] != tags[:-1]))
        return np.insert(document, first, heads[tags[first]], axis=0), np.insert(tags, first, tags[first])

    here = [note(centres, np.arange(4), 8) for _ in range(n)]
    there = [note(other, np.array([0, 1, 3, 2] if rng.random() < 0.5 else [0, 1, 2, 3]), 5) for _ in range(n)]
    return tuple(map(list, zip(*here, strict=True))), tuple(map(list, zip(*there, strict=True)))  # type: ignore[return-value]


def _factbook(n: int, seed: int, headers: bool) -> tuple[Notes, Notes]:
    """Countries as notes: the first eight lines of each section, by the header rules."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    home, away = _countries()
    rng, names = np.random.default_rng([seed, 94]), list(SECTIONS)
    chosen = [[of[at] for at in rng.permutation(len(of))[:n]] for of in (home, away)]
    notes = []
    for place, of in enumerate(chosen):
        order = names if place == 0 else names[::-1]
        notes.append([_lines(one, order, headers) for one in of])
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    first = words.fit_transform([line for lines, _ in notes[0][: n // 2] for line in lines])
    axes = TruncatedSVD(48, random_state=0).fit(first)
    scale = 1 / axes.transform(first).std()
    made = [[(axes.transform(words.transform(lines)) * scale, tags) for lines, tags in of] for of in notes]
    return tuple(tuple(map(list, zip(*of, strict=True))) for of in made)  # type: ignore[return-value]


def _lines(sections: Mapping[str, str], order: list[str], headers: bool) -> tuple[list[str], np.ndarray]:
    """Lines and their sections' places among SECTIONS, of one country in this order of sections."""
    names, rules = list(SECTIONS), SectionRules(SECTIONS)
    text = "\n".join(f"{SECTIONS[name][0]}\n{sections[name]}" for name in order if name in sections)
    lines, labels = rules.lines_of(text)
    tags = [names.index(str(label)) for label in labels]
    if headers:
        begins = [at for at in range(len(tags)) if at == 0 or tags[at] != tags[at - 1]]
        for at in reversed(begins):
            lines.insert(at, SECTIONS[names[tags[at]]][0])
            tags.insert(at, tags[at])
    return lines, np.array(tags)


@lru_cache(maxsize=1)
def _countries() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Countries that have three sections or more: those of other regions, and Africa's and the Americas'."""
    import pyarrow.parquet as pq

    heads = {words[0]: name for name, words in SECTIONS.items()}
    found: dict[str, dict[str, str]] = {}
    for path in sorted(real("corpus").glob("part-*.parquet")):
        table = pq.read_table(path, columns=["domain", "source", "text"])
        for row in table.to_pylist():
            title, _, body = row["text"].partition("\n")
            if row["domain"] == "encyclopedia" and (name := heads.get(title.rpartition(" - ")[2])):
                body = "\n".join([line for line in body.splitlines() if line.strip()][:8])
                found.setdefault(row["source"].rpartition(" ")[2], {})[name] = body
    whole = {source: of for source, of in sorted(found.items()) if len(of) >= 3}
    is_away = {source: source.split("/")[0].startswith(("africa", "south", "north", "central")) for source in whole}
    return [of for source, of in whole.items() if not is_away[source]], [
        of for source, of in whole.items() if is_away[source]
    ]


def _arm(by: str = "tagger", **more: Any) -> dict[str, Any]:
    return {"by": by, "headers": False, "tags": "own", "transfers": False, **more}


TAGGER, SENTENCE, PLACE = "Bi-LSTM-CRF", "each sentence by itself", "place in the note alone"
HEADERS, CONTROL = "headers left in", "shuffled tags"
STUDY = Study(
    source="J. Kwon et al., arXiv 2211.14539, abstract; dossier d and f",
    trial=trial,
    arms={
        TAGGER: _arm(transfers=True),
        SENTENCE: _arm("sentence"),
        PLACE: _arm("place"),
        HEADERS: _arm(headers=True),
        CONTROL: _arm(tags="shuffled"),
    },
    control=CONTROL,
    more_data=("corpus",),
    settings={"n_notes": 44, "hidden": 16, "epochs": 10},
    quick={"n_notes": 26, "hidden": 4, "epochs": 1},
    seeds=5,
    more_code=("raypipe.classify.section_network", "raypipe.classify.crf"),
    claims=(
        Claim(
            sentence="Context is worth .05 against each sentence by itself",
            metric="home", of=TAGGER, over=SENTENCE, at_least=0.05,
        ),
        Claim(
            sentence="It is more than the place in the note: .05",
            metric="home", of=TAGGER, over=PLACE, at_least=0.05,
        ),
        Claim(
            sentence="Without adaptation macro F1 falls by .1 at the second source",
            metric="home_f1", of=TAGGER, over=TAGGER, over_metric="away_f1", at_least=0.1,
        ),
        *(
            Claim(
                sentence=f"With {n} labelled notes from there what was carried over beats training from nothing",
                metric=f"carried_{n}", of=TAGGER, over=TAGGER, over_metric=f"scratch_{n}",
            )
            for n in SHOTS
        ),
        Claim(
            sentence="The fewer the notes the larger the gain of carrying over",
            metric="gap_few", of=TAGGER, over=TAGGER, over_metric="gap_many",
        ),
        Claim(
            sentence="Headers left in make it look better at home",
            metric="home", of=HEADERS, over=TAGGER,
        ),
        Claim(
            sentence="The order of sections is a shortcut: accuracy falls by .03 where it is shuffled",
            metric="home", of=TAGGER, over=TAGGER, over_metric="reordered", at_least=0.03,
        ),
        Claim(
            sentence="Tags of the note are above shuffled ones: .3",
            metric="home", of=TAGGER, over=CONTROL, at_least=0.3,
        ),
    ),
)  # fmt: skip
