"""A page of labelled texts in colour: which words and sentences spoke for the class that each was given."""

from typing import TYPE_CHECKING

from raypipe.classify.reading import WordReader, in_colour
from raypipe.report.escape import html_text, visible

if TYPE_CHECKING:
    from raypipe.classify.ss3 import SS3
    from raypipe.fitting.words import WordCounts

N_OF_CLASS, N_SHOWN, MAX_CHARACTERS = 2, 40, 2000
# Nothing runs and nothing is fetched, whatever a text says.
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Texts in colour</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>body {{ max-width: 46rem; margin: 2rem auto; font: 1rem/1.6 system-ui, sans-serif }}
h2 {{ font-size: 1rem; margin: 2rem 0 0 }}</style></head><body>
<h1>Texts in colour</h1>
<p>{n} of the {rows} labelled texts, {of_class} of a label at most. The stronger a word or sentence is tinted, the more
it says for the class that the text is given; the number is shown where the pointer rests.</p>
"""


def page_in_colour(model: "SS3", words: "WordCounts", texts: list[str], labels: list[str]) -> str:
    """HTML of the first texts of each label, as a fitted SS3 reads them; long ones lose their end."""
    reader = WordReader.of(words.feature_names, model.confidences())
    shown = _first_of_each(labels)
    parts = [_HEAD.format(n=len(shown), rows=f"{len(texts):,}", of_class=N_OF_CLASS)]
    for at in shown:
        read = reader.read(visible(texts[at][:MAX_CHARACTERS], keep="\n\t"))
        of = int(read.vector.argmax())
        given = html_text(str(model.classes_[of])) if read.vector.any() else "no word says anything"
        parts.append(f"<h2>{given}; labelled {html_text(labels[at])}</h2>\n{in_colour(read, of=of)}\n")
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
