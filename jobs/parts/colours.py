"""A page of texts in colour, labelled ones or a corpus's: which words and sentences spoke for the class of each."""

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.classify.reading import WordReader, in_colour
from raypipe.columns import REASON, TEXT
from raypipe.corpus import Corpus
from raypipe.corpus.plan import Plan
from raypipe.corpus.read import read_shard, read_stream
from raypipe.report.escape import html_text, visible

if TYPE_CHECKING:
    from raypipe.classify.ss3 import SS3
    from raypipe.fitting.words import WordCounts

N_OF_CLASS, N_SHOWN, MAX_CHARACTERS = 2, 40, 2000
N_READ = 1000
"""Texts of a corpus that are looked through, the first ones."""
# Nothing runs and nothing is fetched, whatever a text says.
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Texts in colour</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>body {{ max-width: 46rem; margin: 2rem auto; font: 1rem/1.6 system-ui, sans-serif }}
h2 {{ font-size: 1rem; margin: 2rem 0 0 }}</style></head><body>
<h1>Texts in colour</h1>
<p>{n} of {rows}, {of_class} of a label at most. The stronger a word or sentence is tinted, the more
it says for the class that the text is given; the number is shown where the pointer rests.</p>
"""


def page_in_colour(model: "SS3", words: "WordCounts", texts: list[str], labels: list[str]) -> str:
    """HTML of the first texts of each label, as a fitted SS3 reads them; long ones lose their end."""
    return _page(model, words, texts, labels, rows=f"the {len(texts):,} labelled texts", labelled=True)


def corpus_in_colour(model: "SS3", words: "WordCounts", corpus: Corpus, plan: Plan) -> str:
    """HTML of the first texts of a corpus to which a fitted SS3 gives each label."""
    texts = first_texts(corpus, plan)
    table = pa.table({name: pa.array(texts, pa.string()) for name in words.columns})
    labels = [str(label) for label in model.predict(words.encode(table)[0])] if texts else []
    return _page(model, words, texts, labels, rows=f"the first {len(texts):,} texts of the corpus", labelled=False)


def first_texts(corpus: Corpus, plan: Plan) -> list[str]:
    """N_READ texts at most; one shard or part of a stream is in memory at a time."""
    found: list[str] = []
    for shard in plan:
        parts = (table for _, _, table in read_stream(corpus, shard, part_rows=N_READ)) if shard.cut == "part" else None
        for table in parts if parts is not None else (read_shard(corpus, shard),):
            usable = table.filter(pc.is_null(table[REASON]))
            found += usable[TEXT][: N_READ - len(found)].to_pylist()
            if len(found) >= N_READ:
                return found
    return found


def _page(
    model: "SS3", words: "WordCounts", texts: list[str], labels: list[str], *, rows: str, labelled: bool
) -> str:  # fmt: skip
    reader = WordReader.of(words.feature_names, model.confidences())
    shown = _first_of_each(labels)
    parts = [_HEAD.format(n=len(shown), rows=rows, of_class=N_OF_CLASS)]
    for at in shown:
        read = reader.read(visible(texts[at][:MAX_CHARACTERS], keep="\n\t"))
        of = int(read.vector.argmax())
        given = html_text(str(model.classes_[of])) if read.vector.any() else "no word says anything"
        own = f"; labelled {html_text(labels[at])}" if labelled else ""
        parts.append(f"<h2>{given}{own}</h2>\n{in_colour(read, of=of)}\n")
    return "".join(parts) + "</body></html>\n"


def _first_of_each(labels: list[str]) -> list[int]:
    """Places of the first rows of each label, in order."""
    seen: dict[str, int] = {}
    found = []
    for at, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= N_OF_CLASS:
            found.append(at)
    return found[:N_SHOWN]
