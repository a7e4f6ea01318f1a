"""The tables of a page as a reader sees them: by caption, headers and rows of words."""

from html.parser import HTMLParser


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self.scopes: list[str | None] = []
        self.regions: list[str] = []
        self._caption, self._rows, self._text = "", None, None

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        if known.get("role") == "region":
            self.regions.append(known["aria-label"])
        if tag == "table":
            self._caption, self._rows = "", []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td", "caption"):
            self._text = ""
        if tag == "th":
            self.scopes.append(known.get("scope"))

    def handle_data(self, data):
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag):
        if tag == "caption":
            self._caption, self._text = self._text.strip(), None
        elif tag in ("th", "td"):
            self._rows[-1].append(self._text.strip())
            self._text = None
        elif tag == "table":
            assert self._caption not in self.found, f"two tables are called {self._caption!r}"
            self.found[self._caption] = self._rows


def tables(page: str) -> dict[str, list[dict[str, str]]]:
    """By caption the rows of each table, each by header."""
    parser = _Tables()
    parser.feed(page)
    assert all(caption for caption in parser.found)
    assert set(parser.scopes) <= {"col", "row"}
    assert parser.regions == list(parser.found)
    rows = {}
    for caption, (headers, *body) in parser.found.items():
        assert len(set(headers)) == len(headers), caption
        rows[caption] = [dict(zip(headers, row, strict=True)) for row in body]
    return rows
