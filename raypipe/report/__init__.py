"""A run folder as a report: one HTML file that fetches nothing, and tables for the terminal."""

from raypipe.report.numbers.excerpts import ReadText, excerpts
from raypipe.report.numbers.run_numbers import Numbers, gather_numbers
from raypipe.report.numbers.sources import corpus_reader, scored_corpus
from raypipe.report.page.page import page
from raypipe.storage.folder import Folder

__all__ = ["FILE", "gather_numbers", "write_report"]

FILE = "report.html"


def write_report(
    run: Folder, *, read_text: ReadText | None = None, numbers: Numbers | None = None, limit_s: float = 60.0
) -> str:
    """Write the run's report.html and return its URI.

    `read_text` fetches documents for the excerpts, for about `limit_s` seconds; by default from the scored corpus.
    `numbers` are those of `gather_numbers` where they are at hand.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    """
    numbers = numbers or gather_numbers(run)
    corpus = scored_corpus(numbers.files.scores_card)
    if read_text is None and corpus is not None:
        read_text = corpus_reader(corpus)
    content = page(numbers, excerpts(numbers, read_text, limit_s=limit_s))
    run.write(FILE, content.encode("utf-8"))
    return f"{run.uri}/{FILE}"
